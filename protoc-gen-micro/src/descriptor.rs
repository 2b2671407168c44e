//! Descriptor sets as bytes. They are never passed through prost's types, which lose custom options.

use std::collections::BTreeSet;

use prost::Message as _;
use prost::bytes::Buf;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost_reflect::{DescriptorPool, FileDescriptor, Kind, MessageDescriptor};

use crate::error::{Error, Result};
use crate::model::Model;
use crate::source;

/// A `FileDescriptorSet` whose files are not read.
#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct RawSet {
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub(crate) file: Vec<Vec<u8>>,
}

/// Reads a `FileDescriptorSet`, custom options included.
pub(crate) fn pool(descriptor_set: &[u8]) -> Result<DescriptorPool> {
    let broken = |error: &dyn std::fmt::Display| {
        Error::new(format!("this is not a descriptor set: {error}"))
    };
    let files = prost_types::FileDescriptorSet::decode(descriptor_set).map_err(|e| broken(&e))?;
    for file in &files.file {
        // Path 14 is the edition's, 12 the syntax's.
        if !matches!(file.syntax(), "" | "proto2" | "proto3") {
            let place = [[14], [12]]
                .iter()
                .map(|path| source::place_in(file, path))
                .max_by_key(|place| place.position.is_some());
            let message = "editions are not supported yet: write `syntax = \"proto3\";` or `syntax = \"proto2\";`";
            return Err(
                place.map_or_else(|| Error::new(message), |place| Error::at(place, message))
            );
        }
    }
    DescriptorPool::decode(descriptor_set).map_err(|error| {
        let file = files
            .file
            .iter()
            .find(|file| error.file() == Some(file.name()));
        match file {
            Some(file) => {
                let place = source::place_in(file, error.path().unwrap_or_default());
                Error::at(place, error.to_string())
            }
            None => broken(&error),
        }
    })
}

/// The files called `names`, with those that hold the types that they use, and so on: what
/// generated code must be there for. Well-known types, and what an `extern_path` holds, need none.
pub(crate) fn needed(model: &Model, names: &[String]) -> BTreeSet<String> {
    let mut needed = BTreeSet::new();
    let mut open: Vec<String> = names.to_vec();
    while let Some(name) = open.pop() {
        let Some(file) = model.pool().get_file_by_name(&name) else {
            continue;
        };
        if !needed.insert(name) {
            continue;
        }
        for (file, full_name) in used(&file) {
            if !model.is_extern(&full_name) {
                open.push(file);
            }
        }
    }
    needed
}

/// The types that `file`'s messages and services name: their files and full names.
pub(crate) fn used(file: &FileDescriptor) -> BTreeSet<(String, String)> {
    let mut used = BTreeSet::new();
    let mut open: Vec<MessageDescriptor> = file.messages().collect();
    while let Some(message) = open.pop() {
        for field in message.fields() {
            let (file, name) = match field.kind() {
                Kind::Message(ty) => (ty.parent_file(), ty.full_name().to_owned()),
                Kind::Enum(ty) => (ty.parent_file(), ty.full_name().to_owned()),
                _ => continue,
            };
            used.insert((file.name().to_owned(), name));
        }
        open.extend(message.child_messages());
    }
    for method in file
        .services()
        .flat_map(|service| service.methods().collect::<Vec<_>>())
    {
        for ty in [method.input(), method.output()] {
            used.insert((
                ty.parent_file().name().to_owned(),
                ty.full_name().to_owned(),
            ));
        }
    }
    used
}

/// A `FileDescriptorSet` of `files` and all that they import, imports first, without source info.
///
/// The bytes do not depend on which compiler made the descriptors: files are written anew, and
/// Google's own are those that we carry.
pub(crate) fn set_of(files: &[FileDescriptor]) -> Vec<u8> {
    fn add(file: &FileDescriptor, seen: &mut BTreeSet<String>, set: &mut RawSet) {
        if !seen.insert(file.name().to_owned()) {
            return;
        }
        let own = DescriptorPool::global().get_file_by_name(file.name());
        let file = own.as_ref().unwrap_or(file);
        for import in file.dependencies() {
            add(&import, seen, set);
        }
        set.file.push(without_source_info(&file.encode_to_vec()));
    }
    let (mut seen, mut set) = (BTreeSet::new(), RawSet::default());
    for file in files {
        add(file, &mut seen, &mut set);
    }
    set.encode_to_vec()
}

/// Leaves field 9 of a `FileDescriptorProto` out.
fn without_source_info(file: &[u8]) -> Vec<u8> {
    const SOURCE_INFO: u32 = 9;
    let mut out = Vec::with_capacity(file.len());
    let mut rest = file;
    while rest.has_remaining() {
        let before = rest;
        let Ok((tag, wire_type)) = decode_key(&mut rest) else {
            break;
        };
        if skip_field(wire_type, tag, &mut rest, DecodeContext::default()).is_err() {
            break;
        }
        if tag != SOURCE_INFO {
            out.extend_from_slice(&before[..before.len() - rest.len()]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use prost::encoding::{WireType, encode_key};

    use super::*;

    #[test]
    fn only_source_info_is_left_out() {
        let mut file = Vec::new();
        for (tag, text) in [(1, "a.proto"), (9, "comments"), (12, "proto3")] {
            encode_key(tag, WireType::LengthDelimited, &mut file);
            file.push(u8::try_from(text.len()).unwrap());
            file.extend_from_slice(text.as_bytes());
        }
        let out = without_source_info(&file);
        assert_eq!(out, b"\x0a\x07a.proto\x62\x06proto3");
    }

    #[test]
    fn what_is_no_descriptor_set_is_said_to_be_none() {
        let error = pool(b"syntax").unwrap_err().to_string();
        assert!(
            error.starts_with("this is not a descriptor set: "),
            "{error}"
        );
    }
}
