//! What generated code needs to know of messages: their Rust paths, fields and types, exactly as
//! prost-build forms them.
//!
//! All paths are relative to the module of a package, `from`, where all generated `impl`s stand.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Ident, TokenStream};
use prost_reflect::{
    DescriptorPool, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor,
    Syntax,
};
use quote::quote;

use crate::names;
use crate::options::Options;
use crate::paths;

/// All descriptors of a run, with its options.
#[derive(Debug)]
pub struct Model {
    pool: DescriptorPool,
    options: Options,
    /// What is generated elsewhere: proto path and Rust path.
    externs: Vec<(String, String)>,
    /// For a message the messages that it holds by value, itself included once it is recursive.
    held: RefCell<BTreeMap<String, BTreeSet<String>>>,
}

/// A message as a Rust struct.
#[derive(Clone, Debug)]
pub struct Message {
    /// The struct: `Outer`, `outer::Inner`.
    pub path: TokenStream,
    /// The fields outside oneofs, in the order of the `.proto`. Proto3 optional ones are here.
    pub fields: Vec<Field>,
    /// The oneofs, without those that proto3 optional makes.
    pub oneofs: Vec<Oneof>,
}

/// A field of a struct, or a variant of a oneof.
#[derive(Clone, Debug)]
pub struct Field {
    /// What the `.proto` says: names, number, default.
    pub descriptor: FieldDescriptor,
    /// The struct's field, or the variant.
    pub ident: Ident,
    /// How often it is there.
    pub cardinality: Cardinality,
    /// The type of one value. Of a map see [`Cardinality::Map`].
    pub ty: Type,
    /// Whether the value sits in a `Box` (inside the `Option`), since the message is recursive.
    pub boxed: bool,
}

/// How often a field is there.
#[derive(Clone, Debug)]
pub enum Cardinality {
    /// `T`: proto3 without `optional`, proto2 `required`, and each variant of a oneof.
    Plain,
    /// `Option<T>`: messages, `optional`, and all singular fields of proto2 but the required.
    Optional,
    /// `Vec<T>`.
    Repeated,
    /// A map; the field's own type is the value's.
    Map {
        /// The type of keys.
        key: Type,
        /// `BTreeMap` and not `HashMap`.
        ordered: bool,
    },
}

/// The type of one value.
#[derive(Clone, Debug)]
pub enum Type {
    /// A number or a bool; the token is `i32`, `f64`, `bool` and so on.
    Scalar(Kind),
    /// `String`.
    String,
    /// `Vec<u8>`.
    Vec,
    /// `bytes::Bytes`.
    Bytes,
    /// An enum, held as `i32`: its Rust type.
    Enum(EnumDescriptor, TokenStream),
    /// A message, group, or what stands for a well-known type: `()`, `String`, `bool` and so on.
    Message(MessageDescriptor, TokenStream),
}

/// A oneof as a Rust enum.
#[derive(Clone, Debug)]
pub struct Oneof {
    /// What the `.proto` says.
    pub descriptor: OneofDescriptor,
    /// The struct's field, of type `Option<path>`.
    pub ident: Ident,
    /// The enum: `event::Choice`.
    pub path: TokenStream,
    /// The variants, each with one value; their cardinality is [`Cardinality::Plain`].
    pub variants: Vec<Field>,
}

impl Model {
    /// The model of `pool` under `options`.
    pub fn new(pool: DescriptorPool, options: Options) -> Self {
        let own = options.extern_path.clone();
        let covered = |path: &str| {
            let below = |rest: &str| rest.is_empty() || rest.starts_with('.');
            own.iter()
                .any(|(own, _)| path.strip_prefix(own.as_str()).is_some_and(below))
        };
        let known = WELL_KNOWN.iter().filter(|(proto, _)| !covered(proto));
        let known = known.map(|(proto, rust)| ((*proto).to_owned(), (*rust).to_owned()));
        let externs = own.iter().cloned().chain(known).collect();
        Self {
            pool,
            options,
            externs,
            held: RefCell::default(),
        }
    }

    /// All descriptors.
    pub fn pool(&self) -> &DescriptorPool {
        &self.pool
    }

    /// The options of the run.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// What is generated elsewhere, as an `extern_path` says or since it is well known: proto path and
    /// Rust path.
    pub(crate) fn externs(&self) -> &[(String, String)] {
        &self.externs
    }

    /// A message as the module of its own package sees it.
    pub fn message(&self, message: &MessageDescriptor) -> Message {
        let from = message.package_name();
        let real = |field: &FieldDescriptor| {
            field
                .containing_oneof()
                .filter(|oneof| !oneof.is_synthetic())
        };
        Message {
            path: self.type_path(from, message.full_name()),
            fields: declared(message.fields())
                .into_iter()
                .filter(|field| real(field).is_none())
                .map(|field| self.field(from, field))
                .collect(),
            oneofs: message
                .oneofs()
                .filter(|oneof| !oneof.is_synthetic())
                .map(|oneof| self.oneof(from, oneof))
                .collect(),
        }
    }

    /// The Rust path of the message or enum `full_name` (without leading dot), as the module of
    /// package `from` sees it. An extern path where one is given, or the type that stands for a
    /// well-known one.
    pub fn type_path(&self, from: &str, full_name: &str) -> TokenStream {
        parse(&self.type_string(from, full_name))
    }

    /// Whether the type is generated elsewhere: under an `extern_path`, or well known.
    pub fn is_extern(&self, full_name: &str) -> bool {
        self.extern_type(full_name).is_some()
    }

    fn type_string(&self, from: &str, full_name: &str) -> String {
        if let Some(path) = self.extern_type(full_name) {
            return path;
        }
        let mut local = from.split('.').filter(|part| !part.is_empty()).peekable();
        let (module, name) = full_name.rsplit_once('.').unwrap_or(("", full_name));
        let mut module = module.split('.').filter(|part| !part.is_empty()).peekable();
        while local.peek().is_some() && local.peek() == module.peek() {
            local.next();
            module.next();
        }
        let up = local.map(|_| "super".to_owned());
        let down = module.map(names::snake);
        let parts: Vec<_> = up.chain(down).chain([names::camel(name)]).collect();
        parts.join("::")
    }

    fn extern_type(&self, full_name: &str) -> Option<String> {
        let full = format!(".{full_name}");
        let given = |path: &str| {
            let mut externs = self.externs.iter();
            externs
                .find(|(proto, _)| proto == path)
                .map(|(_, rust)| rust.clone())
        };
        if let Some(path) = given(&full) {
            return Some(path);
        }
        full.rmatch_indices('.').find_map(|(at, _)| {
            let rust = given(&full[..at])?;
            let (module, name) = full[at + 1..]
                .rsplit_once('.')
                .unwrap_or(("", &full[at + 1..]));
            let root = rust.split("::").enumerate().map(|(index, segment)| {
                if index == 0 && segment == "crate" {
                    segment.to_owned()
                } else {
                    names::snake(segment)
                }
            });
            let module = module
                .split('.')
                .filter(|part| !part.is_empty())
                .map(names::snake);
            let parts: Vec<_> = root.chain(module).chain([names::camel(name)]).collect();
            Some(parts.join("::"))
        })
    }

    fn field(&self, from: &str, field: FieldDescriptor) -> Field {
        let full = format!(".{}", field.full_name());
        let (cardinality, ty) = match field.kind() {
            Kind::Message(entry) if field.is_map() => {
                let key = self.ty(from, &full, &entry.map_entry_key_field());
                // prost-build looks the value up beside the map's field, not below it.
                let beside = format!(".{}.value", field.parent_message().full_name());
                let value = self.ty(from, &beside, &entry.map_entry_value_field());
                let ordered = paths::best(&self.options.btree_map, &full).is_some();
                (Cardinality::Map { key, ordered }, value)
            }
            _ => (cardinality(&field), self.ty(from, &full, &field)),
        };
        Field {
            ident: names::ident(&names::snake(field.name())),
            boxed: self.is_boxed(&field),
            descriptor: field,
            cardinality,
            ty,
        }
    }

    fn oneof(&self, from: &str, oneof: OneofDescriptor) -> Oneof {
        let message = oneof.parent_message().clone();
        let mut name = names::camel(oneof.name());
        let taken = |other: &str| names::camel(other) == name;
        if message.child_messages().any(|child| taken(child.name()))
            || message.child_enums().any(|child| taken(child.name()))
        {
            name.push_str("OneOf");
        }
        // The enum stands in the module of the message's nested types.
        let probe = format!("{}.x", message.full_name());
        let module = self.type_string(from, &probe);
        let module = module.rsplit_once("::").map_or("", |(module, _)| module);
        let variants = declared(oneof.fields()).into_iter().map(|field| Field {
            ident: names::ident(&names::camel(field.name())),
            boxed: self.is_boxed(&field),
            cardinality: Cardinality::Plain,
            ty: self.ty(from, &format!(".{}", field.full_name()), &field),
            descriptor: field,
        });
        Oneof {
            ident: names::ident(&names::snake(oneof.name())),
            path: parse(&format!("{module}::{name}")),
            variants: variants.collect(),
            descriptor: oneof,
        }
    }

    fn ty(&self, from: &str, full: &str, field: &FieldDescriptor) -> Type {
        match field.kind() {
            Kind::String => Type::String,
            Kind::Bytes if paths::best(&self.options.bytes, full).is_some() => Type::Bytes,
            Kind::Bytes => Type::Vec,
            Kind::Enum(descriptor) => {
                let path = self.type_path(from, descriptor.full_name());
                Type::Enum(descriptor, path)
            }
            Kind::Message(descriptor) => {
                let path = self.type_path(from, descriptor.full_name());
                Type::Message(descriptor, path)
            }
            scalar => Type::Scalar(scalar),
        }
    }

    fn is_boxed(&self, field: &FieldDescriptor) -> bool {
        match field.kind() {
            Kind::Message(inner) if !field.is_list() && !field.is_map() => {
                let parent = field.parent_message().full_name();
                inner.full_name() == parent || self.held_by(&inner).contains(parent)
            }
            _ => false,
        }
    }

    /// The messages that `message` holds by value, however deep.
    fn held_by(&self, message: &MessageDescriptor) -> BTreeSet<String> {
        if let Some(known) = self.held.borrow().get(message.full_name()) {
            return known.clone();
        }
        let mut held = BTreeSet::new();
        let mut open = vec![message.clone()];
        while let Some(next) = open.pop() {
            for field in next.fields() {
                // As prost-build: a repeated field is a `Vec`, and a group does not count.
                if field.is_list() || field.is_map() || field.is_group() {
                    continue;
                }
                if let Kind::Message(inner) = field.kind()
                    && held.insert(inner.full_name().to_owned())
                {
                    open.push(inner);
                }
            }
        }
        let name = message.full_name().to_owned();
        self.held.borrow_mut().insert(name, held.clone());
        held
    }
}

impl Type {
    /// The Rust type of one value as prost holds it: an enum is an `i32`.
    pub fn tokens(&self) -> TokenStream {
        match self {
            Self::Scalar(kind) => scalar(kind),
            Self::String => quote!(::micro_runtime::codegen::prost::alloc::string::String),
            Self::Vec => quote!(::micro_runtime::codegen::prost::alloc::vec::Vec<u8>),
            Self::Bytes => quote!(::micro_runtime::codegen::prost::bytes::Bytes),
            Self::Enum(..) => quote!(i32),
            Self::Message(_, path) => path.clone(),
        }
    }
}

fn scalar(kind: &Kind) -> TokenStream {
    match kind {
        Kind::Double => quote!(f64),
        Kind::Float => quote!(f32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => quote!(i64),
        Kind::Uint64 | Kind::Fixed64 => quote!(u64),
        Kind::Uint32 | Kind::Fixed32 => quote!(u32),
        Kind::Bool => quote!(bool),
        // Never the last three: `Type` has variants of its own for them.
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 | Kind::Enum(_) => quote!(i32),
        Kind::String => quote!(::micro_runtime::codegen::prost::alloc::string::String),
        Kind::Bytes | Kind::Message(_) => quote!(()),
    }
}

fn cardinality(field: &FieldDescriptor) -> Cardinality {
    let proto3 = field.parent_file().syntax() == Syntax::Proto3;
    let explicit = field.field_descriptor_proto().proto3_optional();
    // A group is not a message to prost-build, which matters in no file: proto3 has no groups.
    let message = matches!(field.kind(), Kind::Message(_));
    match field.cardinality() {
        prost_reflect::Cardinality::Repeated => Cardinality::Repeated,
        prost_reflect::Cardinality::Required => Cardinality::Plain,
        prost_reflect::Cardinality::Optional if explicit || message || !proto3 => {
            Cardinality::Optional
        }
        prost_reflect::Cardinality::Optional => Cardinality::Plain,
    }
}

/// prost-reflect gives fields by number; generated code has them as they were written.
fn declared(fields: impl Iterator<Item = FieldDescriptor>) -> Vec<FieldDescriptor> {
    let mut fields: Vec<_> = fields.collect();
    fields.sort_by_key(|field| field.path().last().copied());
    fields
}

fn parse(path: &str) -> TokenStream {
    path.parse()
        .expect("a path of identifiers, or one that the options have checked")
}

/// What stands for the well-known types: prost's own choice. The other types of `google.protobuf`,
/// as those of `descriptor.proto`, have no JSON there, so they are generated like any.
const WELL_KNOWN: [(&str, &str); 18] = [
    (
        ".google.protobuf.Any",
        "::micro_runtime::codegen::prost_types::Any",
    ),
    (
        ".google.protobuf.Duration",
        "::micro_runtime::codegen::prost_types::Duration",
    ),
    (
        ".google.protobuf.FieldMask",
        "::micro_runtime::codegen::prost_types::FieldMask",
    ),
    (
        ".google.protobuf.ListValue",
        "::micro_runtime::codegen::prost_types::ListValue",
    ),
    (
        ".google.protobuf.NullValue",
        "::micro_runtime::codegen::prost_types::NullValue",
    ),
    (
        ".google.protobuf.Struct",
        "::micro_runtime::codegen::prost_types::Struct",
    ),
    (
        ".google.protobuf.Timestamp",
        "::micro_runtime::codegen::prost_types::Timestamp",
    ),
    (
        ".google.protobuf.Value",
        "::micro_runtime::codegen::prost_types::Value",
    ),
    (".google.protobuf.BoolValue", "bool"),
    (
        ".google.protobuf.BytesValue",
        "::micro_runtime::codegen::prost::alloc::vec::Vec<u8>",
    ),
    (".google.protobuf.DoubleValue", "f64"),
    (".google.protobuf.Empty", "()"),
    (".google.protobuf.FloatValue", "f32"),
    (".google.protobuf.Int32Value", "i32"),
    (".google.protobuf.Int64Value", "i64"),
    (
        ".google.protobuf.StringValue",
        "::micro_runtime::codegen::prost::alloc::string::String",
    ),
    (".google.protobuf.UInt32Value", "u32"),
    (".google.protobuf.UInt64Value", "u64"),
];
