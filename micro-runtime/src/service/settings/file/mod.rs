//! A file of settings: the flags' names and their values, in JSON or TOML.
//!
//! `server_address` may also stand as `address` in a table `server`. What is empty or `null` is not set.

mod json;
#[cfg(test)]
mod tests;
#[cfg(feature = "cli")]
mod toml;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::origin::Stop;
use super::outside::nearest;
use super::table::{Setting, TABLE};

/// What a file says.
#[derive(Debug, Default)]
pub(super) struct SettingsFile {
    pub(super) path: PathBuf,
    values: BTreeMap<&'static str, Found>,
}

/// A value of a setting, and the line that it stands in.
#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) line: usize,
    pub(super) value: Value,
}

/// What stands for a setting.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// As a flag's value is written.
    Text(String),
    /// A table where the flag takes `KEY=VALUE,...`: values may have commas here.
    Pairs(BTreeMap<String, String>),
}

/// A key of a file with what stands there, whatever the format.
#[derive(Debug)]
struct Item {
    key: String,
    line: usize,
    node: Node,
}

#[derive(Debug)]
enum Node {
    /// `null`.
    Nothing,
    One(String),
    Many(Vec<Item>),
    Table(Vec<Item>),
    /// Nothing that a setting could be: a date.
    #[cfg_attr(
        not(feature = "cli"),
        expect(dead_code, reason = "JSON has nothing of the kind")
    )]
    Other(&'static str),
}

/// What is wrong, and in which line.
type Wrong = (usize, String);

impl SettingsFile {
    /// Reads the file at `path`, which `who` names.
    ///
    /// # Errors
    /// A [`Stop`] with the file and the line.
    pub(super) fn read(path: &Path, who: &str) -> Result<Self, Stop> {
        let shown = path.display();
        let extension = path.extension().and_then(|extension| extension.to_str());
        let parse = match extension {
            Some("json") => json::parse,
            #[cfg(feature = "cli")]
            Some("toml") => toml::parse,
            _ => {
                let known = match cfg!(feature = "cli") {
                    true => ".json or .toml",
                    false => ".json (and .toml with the feature cli)",
                };
                return Err(Stop::wrong(format!(
                    "{who} takes a file that ends with {known}, not \"{shown}\""
                )));
            }
        };
        let text = fs::read_to_string(path).map_err(|error| {
            Stop::wrong(format!("cannot read {shown}, which {who} names: {error}"))
        })?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
        let mut file = Self {
            path: path.to_owned(),
            values: BTreeMap::new(),
        };
        let read = parse(text).and_then(|items| file.take("", items));
        read.map_err(|(line, wrong)| Stop::wrong(format!("{shown}:{line}: {wrong}")))?;
        Ok(file)
    }

    /// What it says of a setting.
    pub(super) fn get(&self, setting: &Setting) -> Option<&Found> {
        self.values.get(setting.name)
    }

    /// Takes the items of a table whose keys begin with `prefix`.
    fn take(&mut self, prefix: &str, items: Vec<Item>) -> Result<(), Wrong> {
        for Item { key, line, node } in items {
            let name = format!("{prefix}{key}").replace('-', "_");
            let setting = TABLE.iter().find(|setting| setting.name == name);
            let value = match (node, setting) {
                (Node::Table(items), Some(setting)) if setting.takes_pairs() => {
                    Value::Pairs(pairs(items)?)
                }
                (Node::Table(items), _) if is_prefix(&name) => {
                    self.take(&format!("{name}_"), items)?;
                    continue;
                }
                (_, None) => return Err((line, unknown(&name))),
                (_, Some(setting)) if setting.name == "config" => {
                    return Err((line, "a settings file names no other".to_owned()));
                }
                (Node::Nothing, _) => continue,
                (Node::One(text), _) if text.is_empty() => continue,
                (Node::One(text), _) => Value::Text(text),
                (Node::Many(items), Some(setting)) if setting.takes_list() => {
                    Value::Text(joined(&name, items)?)
                }
                (Node::Many(_), _) => return Err((line, format!("{name} takes one value"))),
                (Node::Table(_), _) => return Err((line, format!("{name} takes no table"))),
                (Node::Other(what), _) => return Err((line, format!("{name} takes no {what}"))),
            };
            let Some(setting) = setting else { continue };
            if let Some(other) = self.values.insert(setting.name, Found { line, value }) {
                let other = other.line;
                return Err((line, format!("{name} is set in line {other} already")));
            }
        }
        Ok(())
    }
}

fn is_prefix(name: &str) -> bool {
    let begins = |setting: &Setting| {
        let rest = setting.name.strip_prefix(name);
        rest.is_some_and(|rest| rest.starts_with('_'))
    };
    TABLE.iter().any(begins)
}

fn unknown(name: &str) -> String {
    match nearest(name, TABLE.iter().map(|setting| setting.name)) {
        Some(nearest) => format!("there is no setting {name}; did you mean {nearest}?"),
        None => format!("there is no setting {name}"),
    }
}

/// A list as a flag takes it.
fn joined(name: &str, items: Vec<Item>) -> Result<String, Wrong> {
    let mut texts = Vec::new();
    for item in items {
        match item.node {
            Node::One(text) if text.contains(',') => {
                return Err((item.line, format!("a value of {name} has no comma")));
            }
            Node::One(text) => texts.push(text),
            _ => return Err((item.line, format!("{name} takes a list of plain values"))),
        }
    }
    Ok(texts.join(","))
}

fn pairs(items: Vec<Item>) -> Result<BTreeMap<String, String>, Wrong> {
    let pair = |item: Item| match item.node {
        Node::One(text) => Ok((item.key, text)),
        _ => Err((item.line, format!("{} takes one value", item.key))),
    };
    items.into_iter().map(pair).collect()
}

/// The line of the byte at `offset`.
fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    before.filter(|byte| **byte == b'\n').count() + 1
}
