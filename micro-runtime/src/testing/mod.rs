//! What implementations of this crate's traits are tested with: a contract suite for each kind.

mod broker;
mod registry;

pub use broker::broker_contract;
pub use registry::registry_contract;
