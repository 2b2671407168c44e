//! What the live tests share: the generated services, the interop program, and the programs that
//! tests start.
//!
//! The tests themselves are in `tests/`; `tests/run` builds the Go peers and runs them all.

pub mod authority;
pub mod child;
pub mod consul;
pub mod cut;
pub mod fleet;
pub mod gate;
pub mod go;
pub mod interop;
pub mod load;
pub mod netns;
pub mod peers;
pub mod recipes;
pub mod table;

pub mod proto {
    //! The generated packages.
    #![allow(
        missing_docs,
        unreachable_pub,
        reason = "generated from .proto files that speak for themselves"
    )]
    micro_runtime::include_protos!();
}
