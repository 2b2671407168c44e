//! JSON, with the lines that values stand in.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{Item, Node, Wrong, line_of};

/// The members of the object that `text` is.
pub(super) fn parse(text: &str) -> Result<Vec<Item>, Wrong> {
    members(text, text)
}

fn members(whole: &str, text: &str) -> Result<Vec<Item>, Wrong> {
    let Members(found) = read(whole, text)?;
    let item = |(key, value): (String, &RawValue)| {
        Ok(Item {
            key,
            line: line(whole, value.get()),
            node: node(whole, value.get())?,
        })
    };
    found.into_iter().map(item).collect()
}

fn node(whole: &str, text: &str) -> Result<Node, Wrong> {
    Ok(match text.as_bytes().first() {
        Some(b'{') => Node::Table(members(whole, text)?),
        Some(b'[') => {
            let values: Vec<&RawValue> = read(whole, text)?;
            let item = |value: &RawValue| {
                Ok(Item {
                    key: String::new(),
                    line: line(whole, value.get()),
                    node: node(whole, value.get())?,
                })
            };
            Node::Many(values.into_iter().map(item).collect::<Result<_, _>>()?)
        }
        Some(b'"') => Node::One(read(whole, text)?),
        Some(b'n') => Node::Nothing,
        // A number, `true` or `false` is written as a flag takes it.
        _ => Node::One(text.to_owned()),
    })
}

fn read<'a, T: Deserialize<'a>>(whole: &str, text: &'a str) -> Result<T, Wrong> {
    serde_json::from_str(text).map_err(|error| {
        let words = error.to_string();
        let words = words.rsplit_once(" at line ").map_or(&*words, |(w, _)| w);
        // Lines count from the beginning of what was read.
        (
            line(whole, text) + error.line().max(1) - 1,
            words.to_owned(),
        )
    })
}

/// The line of `part`, which is a part of `whole`.
fn line(whole: &str, part: &str) -> usize {
    line_of(
        whole,
        (part.as_ptr() as usize).saturating_sub(whole.as_ptr() as usize),
    )
}

/// The members of an object in their order, twins too.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'a> Deserialize<'a> for Members<'a> {
    fn deserialize<D: Deserializer<'a>>(from: D) -> Result<Self, D::Error> {
        struct Object;

        impl<'a> Visitor<'a> for Object {
            type Value = Members<'a>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object whose keys are names of settings")
            }

            fn visit_map<M: MapAccess<'a>>(self, mut map: M) -> Result<Members<'a>, M::Error> {
                let mut found = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    found.push(pair);
                }
                Ok(Members(found))
            }
        }

        from.deserialize_map(Object)
    }
}
