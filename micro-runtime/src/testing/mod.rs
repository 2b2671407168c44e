//! What implementations of this crate's traits are tested with: a contract suite for each kind.

mod registry;

pub use registry::registry_contract;
