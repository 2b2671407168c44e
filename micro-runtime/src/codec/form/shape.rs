//! What a message consists of: names, meanings, groups.

use std::fmt;
use std::sync::OnceLock;

/// The names and meanings of a message's fields, in the order of the `.proto` file.
#[derive(Debug)]
pub struct Shape {
    name: &'static str,
    fields: &'static [Field],
    oneofs: &'static [&'static str],
    /// Both names of each field, sorted; made when a wide message is first read.
    names: OnceLock<Box<[(&'static str, usize)]>>,
}

/// A message with at most this many fields is searched name by name.
const NARROW: usize = 8;

impl Shape {
    /// The shape of message `name` (`package.Message`). `oneofs` holds the names that Go gives the
    /// message's oneofs, in their order.
    pub const fn new(
        name: &'static str,
        fields: &'static [Field],
        oneofs: &'static [&'static str],
    ) -> Self {
        Self {
            name,
            fields,
            oneofs,
            names: OnceLock::new(),
        }
    }

    /// The full name: `package.Message`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The fields.
    pub fn fields(&self) -> &'static [Field] {
        self.fields
    }

    /// The index of the field called `name`, by its original or its lowerCamel name. `likely` is
    /// where it is looked for first: the index after the last one found.
    pub fn find(&self, name: &str, likely: usize) -> Option<usize> {
        if self.fields.get(likely).is_some_and(|field| field.is(name)) {
            return Some(likely);
        }
        if self.fields.len() <= NARROW {
            return self.fields.iter().position(|field| field.is(name));
        }
        let names = self.names.get_or_init(|| {
            let mut names: Vec<_> = (self.fields.iter().enumerate())
                .flat_map(|(index, field)| [(field.name, index), (field.json_name, index)])
                .collect();
            names.sort_unstable();
            names.dedup();
            names.into()
        });
        let at = names.binary_search_by_key(&name, |(name, _)| name).ok()?;
        names.get(at).map(|(_, index)| *index)
    }

    /// The name that Go gives the oneof number `oneof`.
    pub fn oneof_name(&self, oneof: u16) -> &'static str {
        self.oneofs.get(usize::from(oneof)).copied().unwrap_or("")
    }

    /// The number of the oneof that Go calls `name`.
    pub fn find_oneof(&self, name: &str) -> Option<u16> {
        let at = self.oneofs.iter().position(|oneof| *oneof == name)?;
        u16::try_from(at).ok()
    }

    /// The index of the member that Go calls `name`, in the oneof number `oneof`; the names that the
    /// field has elsewhere are understood too.
    pub fn find_member(&self, oneof: u16, name: &str) -> Option<usize> {
        self.fields.iter().position(|field| {
            (field.member.as_ref())
                .is_some_and(|member| member.oneof == oneof && member.go_name == name)
                || (field.oneof() == Some(oneof) && field.is(name))
        })
    }
}

/// A field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    name: &'static str,
    json_name: &'static str,
    meaning: Meaning,
    explicit: bool,
    member: Option<Member>,
}

/// A field's place in a oneof.
#[derive(Clone, Debug)]
struct Member {
    oneof: u16,
    go_name: &'static str,
}

impl Field {
    /// A field with its original and its lowerCamel name.
    pub const fn new(name: &'static str, json_name: &'static str) -> Self {
        Self {
            name,
            json_name,
            meaning: Meaning::Plain,
            explicit: false,
            member: None,
        }
    }

    /// The field with what its Rust type does not tell.
    #[must_use]
    pub const fn meaning(mut self, meaning: Meaning) -> Self {
        self.meaning = meaning;
        self
    }

    /// The field as one that knows whether it is set, so that a set zero is written too: proto3's
    /// `optional`, proto2's `optional` and `required`, a wrapper.
    #[must_use]
    pub const fn explicit(mut self) -> Self {
        self.explicit = true;
        self
    }

    /// The field as a member of the oneof number `oneof`, and its name in Go.
    #[must_use]
    pub const fn member(mut self, oneof: u16, go_name: &'static str) -> Self {
        self.member = Some(Member { oneof, go_name });
        self
    }

    /// The name in the `.proto` file.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The lowerCamel name, or the one that the file's `json_name` gives.
    pub fn json_name(&self) -> &'static str {
        self.json_name
    }

    /// The name in Go; known of members of a oneof only.
    pub fn go_name(&self) -> Option<&'static str> {
        self.member.as_ref().map(|member| member.go_name)
    }

    /// The number of the oneof that the field belongs to.
    pub fn oneof(&self) -> Option<u16> {
        self.member.as_ref().map(|member| member.oneof)
    }

    /// What the Rust type of the field does not tell.
    pub fn what(&self) -> Meaning {
        self.meaning
    }

    /// Whether a set zero differs from nothing; so of members of a oneof, too.
    pub fn has_presence(&self) -> bool {
        self.explicit || self.member.is_some()
    }

    fn is(&self, name: &str) -> bool {
        self.name == name || self.json_name == name
    }
}

/// What the Rust type of a field does not tell; of a list or a map it is about the values in it.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Meaning {
    /// The Rust type tells all.
    #[default]
    Plain,
    /// An `i32` that is an enum.
    Enum(&'static Enum),
    /// A scalar that is a message with one field `value`: `google.protobuf.StringValue` and its like.
    Wrapper,
    /// A `google.protobuf.Value`: null is a value of it.
    Value,
    /// A `google.protobuf.NullValue`.
    Null,
}

impl Meaning {
    /// Whether null is a value, and not the absence of one.
    pub fn takes_null(self) -> bool {
        matches!(self, Meaning::Value | Meaning::Null)
    }
}

/// An enum that knows its names: generated.
pub trait Enumeration {
    /// The names and numbers.
    const ENUM: Enum;
}

/// The names and numbers of an enum.
pub struct Enum {
    name: &'static str,
    to_name: fn(i32) -> Option<&'static str>,
    to_number: fn(&str) -> Option<i32>,
    closed: bool,
}

impl Enum {
    /// The enum `name` (`package.Enum`) by the functions that prost generates for it.
    pub const fn new(
        name: &'static str,
        to_name: fn(i32) -> Option<&'static str>,
        to_number: fn(&str) -> Option<i32>,
    ) -> Self {
        Self {
            name,
            to_name,
            to_number,
            closed: false,
        }
    }

    /// The enum as one that has no values but those with a name: proto2's.
    #[must_use]
    pub const fn closed(mut self) -> Self {
        self.closed = true;
        self
    }

    /// The full name: `package.Enum`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The name of `number`, the first where it has several.
    pub fn name_of(&self, number: i32) -> Option<&'static str> {
        (self.to_name)(number)
    }

    /// The number of the value called `name`.
    pub fn number_of(&self, name: &str) -> Option<i32> {
        (self.to_number)(name)
    }

    /// Whether `number` may stand in a message.
    pub fn allows(&self, number: i32) -> bool {
        !self.closed || self.name_of(number).is_some()
    }
}

impl fmt::Debug for Enum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Enum").field(&self.name).finish()
    }
}
