//! Protobuf JSON: three dialects, one form.
#![allow(missing_docs, unreachable_pub)]

#[path = "json/fuzz.rs"]
mod fuzz;
#[deny(warnings, missing_docs, unreachable_pub)]
#[path = "json/generated/mod.rs"]
mod generated;
#[path = "json/go.rs"]
mod go;
#[path = "json/property.rs"]
mod property;
#[path = "json/random.rs"]
mod random;
#[path = "json/rules.rs"]
mod rules;
#[path = "json/serde.rs"]
mod serde_codecs;
#[path = "json/support.rs"]
mod support;
