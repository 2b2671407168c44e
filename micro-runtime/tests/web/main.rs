//! Requests of gRPC-Web, Connect and plain JSON, as raw clients send them.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

mod connect;
mod connect_streams;
mod cors;
#[allow(dead_code, reason = "not all that is generated is called")]
mod generated;
mod grpc_web;
mod json;
mod limits;
mod lives;
mod mutations;
mod pieces;
mod raw;
mod service;
mod teller;
