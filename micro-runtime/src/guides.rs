//! Guides: how the parts work together, each with a program in the repository's `examples/`.
//!
//! They are the pages of the repository's `docs/`, here so that their links lead somewhere and their
//! programs compile.

#[doc = include_str!("../docs/ADMIN.md")]
pub mod admin {}

#[doc = include_str!("../docs/RESILIENCE.md")]
pub mod resilience {}

#[doc = include_str!("../docs/SCHEMA.md")]
pub mod schema {}

#[doc = include_str!("../docs/WRAPPERS.md")]
pub mod wrappers {}

#[doc = include_str!("../docs/WHY.md")]
pub mod why {}
