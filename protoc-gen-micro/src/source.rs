//! Where things stand in `.proto` files.

use prost_reflect::FileDescriptor;
use prost_types::FileDescriptorProto;
use prost_types::source_code_info::Location;

use crate::error::Place;

/// The place of the item at `path` in `file`.
pub(crate) fn place(file: &FileDescriptor, path: &[i32]) -> Place {
    place_in(file.file_descriptor_proto(), path)
}

/// The place of the item at `path` in `file`.
pub(crate) fn place_in(file: &FileDescriptorProto, path: &[i32]) -> Place {
    let position = location(file, path).and_then(|location| match location.span[..] {
        [line, column, ..] => Some((
            u32::try_from(line).ok()? + 1,
            u32::try_from(column).ok()? + 1,
        )),
        _ => None,
    });
    Place {
        file: file.name().to_owned(),
        position,
    }
}

/// What the compiler has noted of the item at `path`: its span and its comments.
pub(crate) fn location<'a>(file: &'a FileDescriptorProto, path: &[i32]) -> Option<&'a Location> {
    file.source_code_info
        .as_ref()?
        .location
        .iter()
        .find(|location| location.path == path)
}
