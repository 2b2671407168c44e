//! Protobuf JSON: three dialects, one form.
#![allow(clippy::unwrap_used, reason = "a test fails so")]
#![allow(
    clippy::disallowed_types,
    reason = "prost and prost-reflect have hash maps"
)]
#![allow(missing_docs, unreachable_pub)]

#[path = "json/fuzz.rs"]
mod fuzz;
#[deny(warnings, missing_docs, unreachable_pub)]
#[path = "json/generated/mod.rs"]
mod generated;
#[path = "json/go.rs"]
mod go;
#[path = "json/limits.rs"]
mod limits;
#[path = "json/property.rs"]
mod property;
#[path = "json/random.rs"]
mod random;
#[path = "json/read.rs"]
mod read;
#[path = "json/serde.rs"]
mod serde_codecs;
#[path = "json/support.rs"]
mod support;
#[path = "json/write.rs"]
mod write;
