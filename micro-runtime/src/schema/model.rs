//! What is known of a schema: of messages and enums that which can be seen on the wire.

use std::collections::{BTreeMap, BTreeSet};

use crate::method::Kind;

/// Services with the messages and enums that they are made of. Read by [`Schema::read`].
///
/// In it is what can be seen on the wire, in JSON too: names and kinds of methods; of messages the
/// numbers, names, types, labels and oneofs of their fields; of enums their values and whether they
/// are closed. Not in it are files, comments, options, default values, extensions, what is reserved,
/// and in which order things are declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    pub(super) services: BTreeMap<String, Service>,
    pub(super) messages: BTreeMap<String, Message>,
    pub(super) enums: BTreeMap<String, Enum>,
}

impl Schema {
    /// The full names of its services, sorted.
    pub fn services(&self) -> impl Iterator<Item = &str> {
        self.services.keys().map(String::as_str)
    }
}

/// Its methods by name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Service {
    pub(super) methods: BTreeMap<String, Rpc>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Rpc {
    pub(super) request: String,
    pub(super) reply: String,
    pub(super) kind: Kind,
}

/// Its fields by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Message {
    /// Whether it is an entry of a map.
    pub(super) is_entry: bool,
    pub(super) fields: BTreeMap<i32, Field>,
}

impl Message {
    /// The number of the field of this name.
    pub(super) fn number_of(&self, name: &str) -> Option<i32> {
        let mut fields = self.fields.iter();
        fields.find_map(|(number, field)| (field.name == name).then_some(*number))
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) json: String,
    pub(super) label: Label,
    pub(super) ty: Type,
    /// The oneof that it is a member of.
    pub(super) oneof: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Label {
    /// Zero is not written, and what is not written is zero.
    Implicit,
    /// Whether it is set can be told.
    Optional,
    Required,
    Repeated,
    /// All in one, as numbers can be.
    Packed,
}

impl Label {
    pub(super) const fn is_repeated(self) -> bool {
        matches!(self, Self::Repeated | Self::Packed)
    }

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Implicit => "implicit",
            Self::Optional => "optional",
            Self::Required => "required",
            Self::Repeated => "repeated",
            Self::Packed => "packed",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Type {
    Scalar(Scalar),
    Message(String),
    Group(String),
    Enum(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scalar {
    Double,
    Float,
    Int64,
    Uint64,
    Int32,
    Fixed64,
    Fixed32,
    Bool,
    String,
    Bytes,
    Uint32,
    Sfixed32,
    Sfixed64,
    Sint32,
    Sint64,
}

impl Scalar {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Double => "double",
            Self::Float => "float",
            Self::Int64 => "int64",
            Self::Uint64 => "uint64",
            Self::Int32 => "int32",
            Self::Fixed64 => "fixed64",
            Self::Fixed32 => "fixed32",
            Self::Bool => "bool",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Uint32 => "uint32",
            Self::Sfixed32 => "sfixed32",
            Self::Sfixed64 => "sfixed64",
            Self::Sint32 => "sint32",
            Self::Sint64 => "sint64",
        }
    }
}

/// The names of its values by number: some have several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Enum {
    /// Whether numbers without a name are no values: proto2's are such.
    pub(super) closed: bool,
    pub(super) values: BTreeMap<i32, BTreeSet<String>>,
}

impl Enum {
    /// The number of the value of this name.
    pub(super) fn number_of(&self, name: &str) -> Option<i32> {
        let mut values = self.values.iter();
        values.find_map(|(number, names)| names.contains(name).then_some(*number))
    }
}
