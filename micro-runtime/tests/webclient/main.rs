//! Clients of Connect and gRPC-Web, against peers made by hand and against our own server.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod choice;
mod connect;
mod connect_streams;
mod grpc_web;
mod http2;
mod lives;
mod mutations;
mod net;
mod own;
#[allow(dead_code, reason = "it serves several protocols' tests")]
#[path = "../braid/say.rs"]
mod say;
