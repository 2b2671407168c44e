//! What services look like on the wire, as data: read from descriptors, named by a hash, compared.
//!
//! A [`Schema`] is read from a `FileDescriptorSet`. [`Schema::hash`] names all of a service that can
//! be seen on the wire, so that two nodes with one hash need not be compared, and [`compare`] tells
//! what differs between two schemas and whom it concerns. Who asks nodes for their schemas, and keeps
//! calls from those that would not understand them, is the client.
//!
//! ```
//! use micro_runtime::schema::{Schema, Severity, compare};
//! # use prost_types::field_descriptor_proto::{Label, Type};
//! # use prost_types::*;
//! # fn set_of(ty: Type) -> Vec<u8> {
//! #     let name = |name: &str| Some(name.to_owned());
//! #     let field = FieldDescriptorProto { name: name("age"), number: Some(3), label: Some(Label::Optional.into()), r#type: Some(ty.into()), ..Default::default() };
//! #     let message = DescriptorProto { name: name("Request"), field: vec![field], ..Default::default() };
//! #     let method = MethodDescriptorProto { name: name("Hello"), input_type: name(".greeter.Request"), output_type: name(".greeter.Request"), ..Default::default() };
//! #     let service = ServiceDescriptorProto { name: name("Say"), method: vec![method], ..Default::default() };
//! #     let file = FileDescriptorProto { name: name("a.proto"), package: name("greeter"), message_type: vec![message], service: vec![service], syntax: name("proto3"), ..Default::default() };
//! #     prost::Message::encode_to_vec(&FileDescriptorSet { file: vec![file] })
//! # }
//! # let (our_set, their_set) = (set_of(Type::Int32), set_of(Type::String));
//! let (ours, theirs) = (Schema::read(&our_set)?, Schema::read(&their_set)?);
//! assert_ne!(ours.hash("greeter.Say"), theirs.hash("greeter.Say"));
//! let differences = compare(&ours, &theirs, "greeter.Say");
//! assert_eq!(differences[0].severity, Severity::Breaks);
//! assert_eq!(
//!     differences[0].to_string(),
//!     "field 3 `age` of greeter.Request is string there and int32 here"
//! );
//! # Ok::<(), micro_runtime::Error>(())
//! ```

mod announce;
mod canon;
mod compare;
mod model;
mod read;

pub(crate) use announce::Announcement;
pub use announce::announced;
pub use canon::Hash;
pub use compare::{Change, Difference, Direction, Severity, Side, compare};
pub use model::Schema;
pub use read::MAX_SET;

/// The key of a node's metadata that names its services with their hashes.
pub const KEY: &str = "schema";
