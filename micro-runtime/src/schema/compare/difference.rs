//! One difference, as data and in words.

use std::fmt;

use crate::method::Kind;

/// One thing in which a schema of theirs differs from ours. As text it says what, for a person:
/// ``field 3 `age` of greeter.Request is string there and int32 here``.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Difference {
    /// The names of the methods that it concerns, `Hello`.
    pub methods: Vec<String>,
    /// Whether it is about what we write and they read, or the other way round.
    pub direction: Direction,
    /// The full name of the service, message or enum that differs, as it is here.
    pub here: String,
    /// Its full name there, as a rule the same.
    pub there: String,
    /// What differs.
    pub change: Change,
    /// What comes of it.
    pub severity: Severity,
}

impl Difference {
    /// Whether calls of `method` cannot be understood because of it.
    pub fn breaks(&self, method: &str) -> bool {
        self.severity == Severity::Breaks && self.methods.iter().any(|one| one == method)
    }
}

/// Which messages a difference is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Direction {
    /// Those that we write and they read; methods themselves count here.
    Request,
    /// Those that they write and we read.
    Reply,
}

/// What comes of a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// Nothing: all that is written is read, as what it was.
    Harmless,
    /// Nothing in protobuf's encoding. In JSON, which has names, something is not read.
    Text,
    /// All can be read, and something of it is dropped or cut, if it is there.
    Loses,
    /// Some values cannot be read, and calls with them fail; others can.
    Risks,
    /// It cannot be read, or as something else than it was. Nodes are not called so.
    Breaks,
}

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// Ours.
    Here,
    /// Theirs.
    There,
}

/// What differs; `here` is ours, `there` is theirs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// This side does not have the service.
    NoService(Side),
    /// This side does not have the method.
    NoMethod(Side),
    /// Which sides of the method stream.
    #[allow(missing_docs, reason = "here and there")]
    Kind { here: Kind, there: Kind },
    /// This side does not have the field.
    #[allow(missing_docs, reason = "they say it")]
    NoField {
        number: i32,
        name: String,
        side: Side,
    },
    /// The field's number.
    #[allow(missing_docs, reason = "here and there")]
    Number { name: String, here: i32, there: i32 },
    /// The field's name: it is another field, or the same renamed.
    #[allow(missing_docs, reason = "here and there")]
    Name {
        number: i32,
        here: String,
        there: String,
    },
    /// The field's name in JSON.
    #[allow(missing_docs, reason = "here and there")]
    JsonName {
        number: i32,
        here: String,
        there: String,
    },
    /// The field's type.
    #[allow(missing_docs, reason = "here and there")]
    Type {
        number: i32,
        name: String,
        here: String,
        there: String,
    },
    /// Whether the field is there once, several times, or must be: `implicit` (zero is not written),
    /// `optional`, `required`, `repeated`, `packed`.
    #[allow(missing_docs, reason = "here and there")]
    Label {
        number: i32,
        name: String,
        here: &'static str,
        there: &'static str,
    },
    /// The oneof that the field is a member of, or what else is in it.
    #[allow(missing_docs, reason = "here and there")]
    Oneof {
        number: i32,
        name: String,
        here: Option<String>,
        there: Option<String>,
    },
    /// This side's enum does not have the value.
    #[allow(missing_docs, reason = "they say it")]
    NoValue {
        number: i32,
        name: String,
        side: Side,
    },
    /// The number of an enum's value.
    #[allow(missing_docs, reason = "here and there")]
    ValueNumber { name: String, here: i32, there: i32 },
    /// The name of an enum's value.
    #[allow(missing_docs, reason = "here and there")]
    ValueName {
        number: i32,
        here: String,
        there: String,
    },
    /// Whether the enum is closed: has no other values than those with names.
    #[allow(missing_docs, reason = "here and there")]
    Closed { here: bool, there: bool },
    /// There was too much to compare; what was not compared is not known.
    TooLarge,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = &Of(self);
        let method = self.methods.first().map_or("", String::as_str);
        match &self.change {
            Change::NoService(side) => write!(f, "service {} is not {side}", self.here),
            Change::NoMethod(side) => write!(f, "method {method} of {} is not {side}", self.here),
            Change::Kind { here, there } => {
                let (here, there) = (kind(*here), kind(*there));
                write!(
                    f,
                    "method {method} of {} {there} there and {here} here",
                    self.here
                )
            }
            Change::NoField { number, name, side } => {
                write!(f, "field {number} `{name}` of {of} is not {side}")
            }
            Change::Number { name, here, there } => {
                write!(
                    f,
                    "field `{name}` of {of} has number {there} there and {here} here"
                )
            }
            Change::Name {
                number,
                here,
                there,
            } => {
                write!(
                    f,
                    "field {number} of {of} is called `{there}` there and `{here}` here"
                )
            }
            Change::JsonName {
                number,
                here,
                there,
            } => write!(
                f,
                "field {number} of {of} is called {there:?} in JSON there and {here:?} here"
            ),
            Change::Type {
                number,
                name,
                here,
                there,
            } => {
                write!(
                    f,
                    "field {number} `{name}` of {of} is {there} there and {here} here"
                )
            }
            Change::Label {
                number,
                name,
                here,
                there,
            } => {
                write!(
                    f,
                    "field {number} `{name}` of {of} is {there} there and {here} here"
                )
            }
            Change::Oneof {
                number,
                name,
                here,
                there,
            } => {
                let (here, there) = (Oneof(here), Oneof(there));
                write!(
                    f,
                    "field {number} `{name}` of {of} is in {there} there and in {here} here"
                )
            }
            Change::NoValue { number, name, side } => {
                write!(f, "value {number} `{name}` of enum {of} is not {side}")
            }
            Change::ValueNumber { name, here, there } => {
                write!(
                    f,
                    "value `{name}` of enum {of} has number {there} there and {here} here"
                )
            }
            Change::ValueName {
                number,
                here,
                there,
            } => {
                write!(
                    f,
                    "value {number} of enum {of} is called `{there}` there and `{here}` here"
                )
            }
            Change::Closed { here, there } => {
                let word = |closed| if closed { "closed" } else { "open" };
                write!(
                    f,
                    "enum {of} is {} there and {} here",
                    word(*there),
                    word(*here)
                )
            }
            Change::TooLarge => write!(f, "{of} is too large to be compared to the end"),
        }
    }
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Here => "here",
            Self::There => "there",
        })
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Harmless => "harmless",
            Self::Text => "lost in JSON",
            Self::Loses => "loses data",
            Self::Risks => "some values cannot be read",
            Self::Breaks => "cannot be read",
        })
    }
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Request => "request",
            Self::Reply => "reply",
        })
    }
}

/// The message or enum that differs.
struct Of<'a>(&'a Difference);

impl fmt::Display for Of<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Difference { here, there, .. } = self.0;
        f.write_str(here)?;
        if here != there {
            write!(f, " ({there} there)")?;
        }
        Ok(())
    }
}

struct Oneof<'a>(&'a Option<String>);

impl fmt::Display for Oneof<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(name) => write!(f, "oneof `{name}`"),
            None => f.write_str("no oneof"),
        }
    }
}

const fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Unary => "is unary",
        Kind::ServerStream => "streams replies",
        Kind::ClientStream => "streams requests",
        Kind::Bidi => "streams both ways",
    }
}
