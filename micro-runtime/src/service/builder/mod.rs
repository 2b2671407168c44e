//! The options of a service, one method each, by noun.

mod client;
mod discovery;
mod events;
mod hooks;
mod server;
