//! Reads a `FileDescriptorSet`, which may come from a peer: bounded, and without trust.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use bytes::Bytes;

use super::model::{Enum, Field, Label, Message, Rpc, Scalar, Schema, Service, Type};
use crate::error::{Error, Result};
use crate::method::Kind;

/// How long a set may be, in bytes.
pub const MAX_SET: usize = 1 << 20;
/// How many messages, fields, enums, values, services and methods it may have, together.
const MAX_ITEMS: usize = 1 << 16;
/// How deep messages may be declared in each other.
const MAX_DEPTH: usize = 32;
/// The largest number of a field.
const MAX_NUMBER: i32 = (1 << 29) - 1;
/// The longest full name, in bytes.
const MAX_NAME: usize = 512;

const ID: &str = "go.micro.schema";

/// Descriptors as they are on the wire, as far as they are of use here. What is in a list is read one
/// by one: few bytes of a peer's would be large structs.
mod raw {
    use bytes::Bytes;
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Set {
        #[prost(bytes = "bytes", repeated, tag = "1")]
        pub(super) files: Vec<Bytes>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct File {
        #[prost(string, tag = "2")]
        pub(super) package: String,
        #[prost(bytes = "bytes", repeated, tag = "4")]
        pub(super) messages: Vec<Bytes>,
        #[prost(bytes = "bytes", repeated, tag = "5")]
        pub(super) enums: Vec<Bytes>,
        #[prost(bytes = "bytes", repeated, tag = "6")]
        pub(super) services: Vec<Bytes>,
        #[prost(string, tag = "12")]
        pub(super) syntax: String,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Type {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(bytes = "bytes", repeated, tag = "2")]
        pub(super) fields: Vec<Bytes>,
        #[prost(bytes = "bytes", repeated, tag = "3")]
        pub(super) messages: Vec<Bytes>,
        #[prost(bytes = "bytes", repeated, tag = "4")]
        pub(super) enums: Vec<Bytes>,
        #[prost(message, optional, tag = "7")]
        pub(super) options: Option<TypeOptions>,
        #[prost(bytes = "bytes", repeated, tag = "8")]
        pub(super) oneofs: Vec<Bytes>,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(super) struct TypeOptions {
        #[prost(bool, tag = "7")]
        pub(super) map_entry: bool,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Field {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(int32, tag = "3")]
        pub(super) number: i32,
        #[prost(int32, tag = "4")]
        pub(super) label: i32,
        #[prost(int32, tag = "5")]
        pub(super) ty: i32,
        #[prost(string, tag = "6")]
        pub(super) type_name: String,
        #[prost(message, optional, tag = "8")]
        pub(super) options: Option<FieldOptions>,
        #[prost(int32, optional, tag = "9")]
        pub(super) oneof: Option<i32>,
        #[prost(string, optional, tag = "10")]
        pub(super) json_name: Option<String>,
        #[prost(bool, tag = "17")]
        pub(super) proto3_optional: bool,
    }

    #[derive(Clone, Copy, PartialEq, Message)]
    pub(super) struct FieldOptions {
        #[prost(bool, optional, tag = "2")]
        pub(super) packed: Option<bool>,
    }

    /// Also a oneof, whose name is all that it has.
    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Named {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        /// An enum's values, a service's methods.
        #[prost(bytes = "bytes", repeated, tag = "2")]
        pub(super) items: Vec<Bytes>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Value {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(int32, tag = "2")]
        pub(super) number: i32,
    }

    #[derive(Clone, PartialEq, Message)]
    pub(super) struct Method {
        #[prost(string, tag = "1")]
        pub(super) name: String,
        #[prost(string, tag = "2")]
        pub(super) input: String,
        #[prost(string, tag = "3")]
        pub(super) output: String,
        #[prost(bool, tag = "5")]
        pub(super) client_streaming: bool,
        #[prost(bool, tag = "6")]
        pub(super) server_streaming: bool,
    }
}

impl Schema {
    /// Reads a `FileDescriptorSet`: a [`ServiceDescriptor`](crate::method::ServiceDescriptor)'s, or
    /// what a peer has sent.
    ///
    /// # Errors
    /// 400 for what is no such set, is longer than [`MAX_SET`], has more than 65,536 items, declares
    /// a name twice, or is of another syntax than proto2 and proto3.
    pub fn read(set: &[u8]) -> Result<Self> {
        if set.len() > MAX_SET {
            return Err(wrong(format_args!(
                "the descriptors have {} bytes, and may have {MAX_SET}",
                set.len()
            )));
        }
        let mut reader = Reader {
            schema: Self::default(),
            room: MAX_ITEMS,
            proto3: false,
        };
        for file in decode::<raw::Set>(&Bytes::copy_from_slice(set))?.files {
            reader.file(&decode(&file)?)?;
        }
        Ok(reader.schema)
    }
}

struct Reader {
    schema: Schema,
    /// For how many items there is room.
    room: usize,
    /// Whether the present file is of proto3.
    proto3: bool,
}

impl Reader {
    fn file(&mut self, file: &raw::File) -> Result<()> {
        self.proto3 = match &*file.syntax {
            "" | "proto2" => false,
            "proto3" => true,
            other => return Err(wrong(format_args!("the syntax {other:?} is not known"))),
        };
        if !file.package.is_empty() {
            check(&file.package)?;
        }
        for message in &file.messages {
            self.message(&file.package, message, 0)?;
        }
        for one in &file.enums {
            self.enumeration(&file.package, one)?;
        }
        for service in &file.services {
            self.service(&file.package, service)?;
        }
        Ok(())
    }

    fn message(&mut self, scope: &str, bytes: &Bytes, depth: usize) -> Result<()> {
        if depth == MAX_DEPTH {
            return Err(wrong("messages are declared too deep in each other"));
        }
        let raw: raw::Type = decode(bytes)?;
        self.take(raw.fields.len() + raw.oneofs.len() + 1)?;
        let name = within(scope, &raw.name)?;
        let oneofs: Vec<raw::Named> = raw.oneofs.iter().map(decode).collect::<Result<_>>()?;
        let mut message = Message {
            is_entry: raw.options.is_some_and(|options| options.map_entry),
            ..Message::default()
        };
        for field in &raw.fields {
            let field: raw::Field = decode(field)?;
            let number = field.number;
            if !(1..=MAX_NUMBER).contains(&number) {
                return Err(wrong(format_args!("no field has the number {number}")));
            }
            put(&mut message.fields, number, self.field(field, &oneofs)?)?;
        }
        put(&mut self.schema.messages, name.clone(), message)?;
        for inner in &raw.messages {
            self.message(&name, inner, depth + 1)?;
        }
        for one in &raw.enums {
            self.enumeration(&name, one)?;
        }
        Ok(())
    }

    fn field(&self, raw: raw::Field, oneofs: &[raw::Named]) -> Result<Field> {
        const REQUIRED: i32 = 2;
        const REPEATED: i32 = 3;
        check(&raw.name)?;
        let ty = ty(raw.ty, &raw.type_name)?;
        // That of `optional` in proto3 is there for old readers alone.
        let oneof = match raw.oneof.filter(|_| !raw.proto3_optional) {
            None => None,
            Some(index) => {
                let oneof = usize::try_from(index).ok().and_then(|at| oneofs.get(at));
                let oneof = oneof.ok_or_else(|| wrong("a field's oneof is not there"))?;
                check(&oneof.name)?;
                Some(oneof.name.clone())
            }
        };
        let packed = raw.options.and_then(|options| options.packed);
        let label = match raw.label {
            REQUIRED => Label::Required,
            REPEATED if is_number(&ty) && packed.unwrap_or(self.proto3) => Label::Packed,
            REPEATED => Label::Repeated,
            _ if self.proto3
                && !raw.proto3_optional
                && oneof.is_none()
                && !matches!(ty, Type::Message(_) | Type::Group(_)) =>
            {
                Label::Implicit
            }
            _ => Label::Optional,
        };
        let json = raw.json_name.unwrap_or_else(|| json_name(&raw.name));
        if json.chars().any(char::is_control) {
            return Err(wrong("a name in JSON has control characters"));
        }
        Ok(Field {
            name: raw.name,
            json,
            label,
            ty,
            oneof,
        })
    }

    fn enumeration(&mut self, scope: &str, bytes: &Bytes) -> Result<()> {
        let raw: raw::Named = decode(bytes)?;
        self.take(raw.items.len() + 1)?;
        let name = within(scope, &raw.name)?;
        let mut made = Enum {
            closed: !self.proto3,
            ..Enum::default()
        };
        for value in &raw.items {
            let value: raw::Value = decode(value)?;
            check(&value.name)?;
            if !(made.values.entry(value.number).or_default()).insert(value.name) {
                return Err(twice());
            }
        }
        put(&mut self.schema.enums, name, made)
    }

    fn service(&mut self, package: &str, bytes: &Bytes) -> Result<()> {
        let raw: raw::Named = decode(bytes)?;
        self.take(raw.items.len() + 1)?;
        let name = within(package, &raw.name)?;
        let mut service = Service::default();
        for method in &raw.items {
            let raw: raw::Method = decode(method)?;
            check(&raw.name)?;
            let rpc = Rpc {
                request: full_name(&raw.input)?,
                reply: full_name(&raw.output)?,
                kind: match (raw.client_streaming, raw.server_streaming) {
                    (false, false) => Kind::Unary,
                    (false, true) => Kind::ServerStream,
                    (true, false) => Kind::ClientStream,
                    (true, true) => Kind::Bidi,
                },
            };
            put(&mut service.methods, raw.name, rpc)?;
        }
        put(&mut self.schema.services, name, service)
    }

    /// Makes use of the room for so many items.
    fn take(&mut self, items: usize) -> Result<()> {
        self.room = self.room.checked_sub(items).ok_or_else(|| {
            wrong(format_args!(
                "the descriptors have more than {MAX_ITEMS} items"
            ))
        })?;
        Ok(())
    }
}

fn ty(number: i32, name: &str) -> Result<Type> {
    Ok(Type::Scalar(match number {
        1 => Scalar::Double,
        2 => Scalar::Float,
        3 => Scalar::Int64,
        4 => Scalar::Uint64,
        5 => Scalar::Int32,
        6 => Scalar::Fixed64,
        7 => Scalar::Fixed32,
        8 => Scalar::Bool,
        9 => Scalar::String,
        10 => return Ok(Type::Group(full_name(name)?)),
        11 => return Ok(Type::Message(full_name(name)?)),
        12 => Scalar::Bytes,
        13 => Scalar::Uint32,
        14 => return Ok(Type::Enum(full_name(name)?)),
        15 => Scalar::Sfixed32,
        16 => Scalar::Sfixed64,
        17 => Scalar::Sint32,
        18 => Scalar::Sint64,
        other => return Err(wrong(format_args!("no type has the number {other}"))),
    }))
}

/// Whether several can be packed into one.
fn is_number(ty: &Type) -> bool {
    match ty {
        Type::Scalar(scalar) => !matches!(scalar, Scalar::String | Scalar::Bytes),
        Type::Enum(_) => true,
        Type::Message(_) | Type::Group(_) => false,
    }
}

/// What protoc makes of a name that has none in JSON.
fn json_name(name: &str) -> String {
    let mut json = String::with_capacity(name.len());
    let mut after_underscore = false;
    for char in name.chars() {
        match char {
            '_' => after_underscore = true,
            _ if after_underscore => {
                json.push(char.to_ascii_uppercase());
                after_underscore = false;
            }
            _ => json.push(char),
        }
    }
    json
}

fn within(scope: &str, name: &str) -> Result<String> {
    check(name)?;
    let full = match scope {
        "" => name.to_owned(),
        scope => format!("{scope}.{name}"),
    };
    check(&full)?;
    Ok(full)
}

/// Descriptors write full names with a dot before them.
fn full_name(name: &str) -> Result<String> {
    let plain = name.strip_prefix('.').unwrap_or(name);
    check(plain)?;
    Ok(plain.to_owned())
}

/// Names are written into one text, one beside the other.
fn check(name: &str) -> Result<()> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
    if name.is_empty() || !name.bytes().all(fits) {
        return Err(wrong("a name is none"));
    }
    // A name is kept once for all that is declared in it: a long one would multiply.
    if name.len() > MAX_NAME {
        return Err(wrong(format_args!(
            "a name is longer than {MAX_NAME} bytes"
        )));
    }
    Ok(())
}

fn put<K: Ord, V>(into: &mut BTreeMap<K, V>, key: K, value: V) -> Result<()> {
    match into.entry(key) {
        Entry::Vacant(place) => {
            place.insert(value);
            Ok(())
        }
        Entry::Occupied(_) => Err(twice()),
    }
}

fn decode<M: prost::Message + Default>(bytes: &Bytes) -> Result<M> {
    M::decode(bytes.clone()).map_err(|error| {
        wrong(format_args!("the descriptors cannot be read: {error}")).with_source(error)
    })
}

fn twice() -> Error {
    wrong("the descriptors have something twice")
}

fn wrong(words: impl std::fmt::Display) -> Error {
    Error::bad_request(ID, words.to_string())
}
