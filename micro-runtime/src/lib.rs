//! The runtime of Micro: services found by name, called over Go Micro's protocol and our own.
//!
//! A service is described in a `.proto` file, from which `micro-build` (or `protoc-gen-micro`)
//! generates a trait to implement and a client to call. It registers itself by name; callers find its
//! nodes, choose one, and try another where that is safe. Go Micro's services call ours and are called
//! by them, on the same port as ours among themselves.
//!
//! # A service and a caller
//! A program as it is written with generated code (`SayServer`, `Request`, …) is in the
//! repository's `examples/`. Here the message is plain bytes, so that nothing needs to be generated:
//! ```
//! use micro_runtime::call::Frame;
//! use micro_runtime::registry::Memory;
//! use micro_runtime::{Request, Result, Service, wrapper};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<()> {
//! let registry = Memory::new();
//! let greeter = Service::new("greeter").registry(registry.clone()).start().await?;
//!
//! let caller = Service::new("caller")
//!     .registry(registry)
//!     .wrap_call(wrapper::from_fn(|request: Request, next| {
//!         println!("calling {}", request.method.endpoint);
//!         next.run(request)
//!     }));
//! // Every service answers for its health; the reply is `status: "ok"` in protobuf's encoding.
//! let reply = caller.client().request("greeter", "Debug.Health", Frame::default()).await?;
//! assert_eq!(&*reply.0, b"\n\x02ok");
//! greeter.stop().await
//! # }
//! ```
//! In a handler, `cx: &`[`Context`] tells who calls and until when; the calls that the handler makes
//! take over its deadline and the user's metadata by themselves, and end when its own caller is gone.
//!
//! # Where to look
//! | module | what it is for |
//! |---|---|
//! | [`service`] | a program's frame: options, flags and environment, hooks, start and stop |
//! | [`client`] | calls: options of one call, timeouts, retries, streams, calls without generated code |
//! | [`server`] | limits; a service called in its own process |
//! | [`context`], [`metadata`], [`error`] | what travels with a call and comes back from it |
//! | [`wrapper`] | code around calls, on clients and servers |
//! | [`event`], [`broker`] | events: published by topic, handled by who has subscribed; what carries them |
//! | [`registry`], [`selector`] | where nodes are found; which one is called |
//! | [`schema`] | what services look like on the wire: hashed, compared |
//! | [`codec`] | content types: protobuf, JSON, one's own |
//! | [`transport`], [`protocol`] | what bytes travel on; what frames calls on it |
//! | [`call`], [`router`], [`method`] | what wrappers, protocols and generated code share |
//! | [`tasks`] | spawning, randomness and time, for simulations |
//!
//! How they work together: [`guides`].
//!
//! # Features
//! | feature | default | what it brings |
//! |---|---|---|
//! | `cli` | yes | flags, read with clap, and settings files in TOML: `Service::init_with` |
//! | `consul` | yes | Consul as the registry: one fleet with Go Micro's services |
//! | `grpc` | yes | gRPC over HTTP/2, compressed with gzip where wanted |
//! | `json` | yes | `application/json` and the json-rpc envelope |
//! | `local` | yes | the file registry: services on one machine find each other with nothing installed |
//! | `mdns` | yes | multicast DNS: services in one network find each other with nothing installed |
//! | `tls` | no | TLS with rustls and ring: `transport::tls` |
//! | `tower` | no | tower's layers and services as wrappers and calls, and the other way round: `wrapper::tower` |
//! | `zstd` | no | gRPC's messages compressed with zstd, beside gzip |
#![cfg_attr(docsrs, feature(doc_cfg))]

// Generated code of our own names the crate as users' does.
extern crate self as micro_runtime;

mod admin;
pub mod broker;
pub mod call;
pub mod client;
pub mod codec;
#[doc(hidden)]
pub mod codegen;
pub mod context;
pub mod error;
pub mod event;
#[cfg(any(doc, doctest))]
pub mod guides;
mod http1;
mod macros;
pub mod metadata;
pub mod method;
pub mod protocol;
pub mod registry;
pub mod router;
pub mod schema;
#[cfg(test)]
#[path = "../tests/support/seeds.rs"]
mod seeds;
pub mod selector;
pub mod server;
pub mod service;
pub mod tasks;
#[doc(hidden)]
pub mod testing;
pub mod transport;
pub mod wrapper;

pub use call::{Receiver, Reply, Request, Sender};
pub use client::{Call, Client};
pub use context::Context;
pub use error::{Error, Result};
pub use metadata::Metadata;
pub use service::Service;
