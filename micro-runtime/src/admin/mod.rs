#![doc = include_str!("../../../docs/ADMIN.md")]

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
