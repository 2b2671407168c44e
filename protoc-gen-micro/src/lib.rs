//! Generates Micro clients, servers and messages from `.proto` descriptors.

pub mod emit;
mod error;
pub mod model;
pub mod names;
mod options;
mod paths;

pub use error::{Error, Place, Result};
pub use options::Options;
