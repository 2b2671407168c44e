//! Descriptors in, Rust out: one file a kind of item.

pub mod json;
