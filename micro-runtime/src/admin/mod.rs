//! The admin listener: tells people and probes how a running service stands.
//!
//! `docs/ADMIN.md` says what, field by field. It only reads what the rooms above keep, and changes
//! nothing: a request is a GET, an answer is made anew for each, and where the listener is off
//! nothing is kept for it.

mod answer;
mod facts;
mod html;
mod listening;
mod page;
mod serving;

pub(crate) use facts::{About, Setting, Sources};
pub(crate) use listening::Admin;

/// The id of errors of the admin listener.
const ID: &str = "go.micro.admin";
