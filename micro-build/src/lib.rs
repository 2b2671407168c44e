//! Generates Micro clients, servers and messages from `build.rs`, without protoc.
//!
//! ```no_run
//! // build.rs
//! fn main() -> micro_build::Result<()> {
//!     micro_build::compile(&["proto/greeter.proto"])
//! }
//! ```
//!
//! ```text
//! // src/main.rs
//! micro_runtime::include_protos!();
//! use crate::go::micro::srv::greeter::{Request, Response, Say, SayServer};
//! ```
//!
//! The code is that of the plugin `protoc-gen-micro`, byte for byte; its documentation describes the
//! options and what is written. The files that the named ones import are generated with them where
//! their types are used; Google's well-known types are in the runtime.
//!
//! # Where imports are found
//! A file's imports are found below the nearest folder above it that is called `proto`, else in its
//! own folder; [`Builder::include`] names others.
//!
//! `micro/event.proto`, whose option makes a message an event, is found without being there.
//!
//! # protoc
//! Files are compiled in this process. Where the variable `PROTOC` names a protoc, that one reads
//! them; [`Builder::descriptor_set`] takes what another compiler (`buf build -o`) has made.

mod builder;
mod error;
mod files;
mod output;
mod read;
mod source;

pub use builder::Builder;
pub use error::{Error, Result};

use std::path::Path;

/// Generates the code of `protos` and of what they import into `OUT_DIR`, where
/// `micro_runtime::include_protos!()` finds it.
///
/// # Errors
/// See [`Builder::compile`].
pub fn compile(protos: &[impl AsRef<Path>]) -> Result<()> {
    Builder::new().compile(protos)
}
