//! One text for all descriptors of a service that mean the same, and its hash.

use std::collections::BTreeSet;
use std::fmt::{self, Write as _};
use std::str::FromStr;

use super::model::{Enum, Message, Schema, Type};
use crate::method::Kind;

/// Names what a service looks like on the wire: FNV-1a of 64 bits, over the text that `docs/WIRE.md`
/// describes. As text it is 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash(u64);

impl Hash {
    fn of(text: &str) -> Self {
        const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
        const PRIME: u64 = 0x0000_0100_0000_01b3;
        let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(PRIME);
        Self(text.bytes().fold(BASIS, step))
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl FromStr for Hash {
    type Err = NoHash;

    /// Reads 16 hexadecimal digits in lower case.
    fn from_str(text: &str) -> Result<Self, NoHash> {
        let digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        match text.len() == 16 && text.bytes().all(digit) {
            true => u64::from_str_radix(text, 16).map(Self).map_err(|_| NoHash),
            false => Err(NoHash),
        }
    }
}

/// A text is no [`Hash`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoHash;

impl fmt::Display for NoHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a hash has 16 hexadecimal digits in lower case")
    }
}

impl std::error::Error for NoHash {}

impl Schema {
    /// The hash of `service`, by its full name. `None` where there is no such service, or where the
    /// schema lacks some of what it is made of.
    pub fn hash(&self, service: &str) -> Option<Hash> {
        self.canonical(service).as_deref().map(Hash::of)
    }

    /// The text that the hash is made of; `None` as for [`hash`](Self::hash).
    pub fn canonical(&self, service: &str) -> Option<String> {
        let methods = &self.services.get(service)?.methods;
        let mut text = format!("service {service}\n");
        // Writing to a string cannot fail.
        for (name, rpc) in methods {
            let kind = match rpc.kind {
                Kind::Unary => "unary",
                Kind::ServerStream => "server",
                Kind::ClientStream => "client",
                Kind::Bidi => "bidi",
            };
            let _ = writeln!(text, "rpc {name} {} {} {kind}", rpc.request, rpc.reply);
        }
        let roots = methods
            .values()
            .flat_map(|rpc| [&*rpc.request, &*rpc.reply]);
        let (messages, enums) = self.reachable(roots)?;
        for name in messages {
            write_message(&mut text, name, self.messages.get(name)?);
        }
        for name in enums {
            write_enum(&mut text, name, self.enums.get(name)?);
        }
        Some(text)
    }

    /// The messages and enums that `roots` are made of, sorted; `None` where one is not there.
    fn reachable<'a>(
        &'a self,
        roots: impl Iterator<Item = &'a str>,
    ) -> Option<(BTreeSet<&'a str>, BTreeSet<&'a str>)> {
        let (mut messages, mut enums) = (BTreeSet::new(), BTreeSet::new());
        let mut next: Vec<&str> = roots.collect();
        while let Some(name) = next.pop() {
            if !messages.insert(name) {
                continue;
            }
            for field in self.messages.get(name)?.fields.values() {
                match &field.ty {
                    Type::Scalar(_) => {}
                    Type::Message(name) | Type::Group(name) => next.push(name),
                    Type::Enum(name) => {
                        self.enums.get(name)?;
                        enums.insert(&**name);
                    }
                }
            }
        }
        Some((messages, enums))
    }
}

fn write_message(text: &mut String, name: &str, message: &Message) {
    let word = if message.is_entry { "entry" } else { "message" };
    let _ = writeln!(text, "{word} {name}");
    for (number, field) in &message.fields {
        let (label, oneof) = (field.label.name(), field.oneof.as_deref().unwrap_or("-"));
        let (name, json) = (&field.name, &field.json);
        let _ = write!(text, "{number} {name} {label} ");
        let _ = match &field.ty {
            Type::Scalar(scalar) => write!(text, "{}", scalar.name()),
            Type::Message(name) => write!(text, "message:{name}"),
            Type::Group(name) => write!(text, "group:{name}"),
            Type::Enum(name) => write!(text, "enum:{name}"),
        };
        // Last, since it may have blanks.
        let _ = writeln!(text, " {oneof} {json}");
    }
}

fn write_enum(text: &mut String, name: &str, one: &Enum) {
    let openness = if one.closed { "closed" } else { "open" };
    let _ = writeln!(text, "enum {name} {openness}");
    for (number, names) in &one.values {
        for name in names {
            let _ = writeln!(text, "{number} {name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_fnv_1a() {
        for (text, hash) in [
            ("", "cbf29ce484222325"),
            ("a", "af63dc4c8601ec8c"),
            ("foobar", "85944171f73967e8"),
        ] {
            assert_eq!(Hash::of(text).to_string(), hash);
            assert_eq!(hash.parse(), Ok(Hash::of(text)));
        }
    }

    #[test]
    fn a_hash_is_sixteen_digits_in_lower_case() {
        for wrong in [
            "",
            "cbf29ce48422232",
            "CBF29CE484222325",
            "cbf29ce4842223251",
            "+bf29ce484222325",
        ] {
            assert_eq!(wrong.parse::<Hash>(), Err(NoHash), "{wrong}");
        }
    }
}
