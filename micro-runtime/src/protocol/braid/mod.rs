//! braid: our own protocol, many calls at once on one connection, in binary frames.
//!
//! Both sides tell their limits first. A call's method, content type and service are named once and
//! are a number from then on; deadlines are relative; metadata goes both ways. `docs/WIRE.md` says
//! what each frame holds.
//!
//! Five rules keep it from standing still or growing without bound:
//! 1. A client's reader awaits nothing but bytes.
//! 2. A server's reader waits for its queue of replies, and for nothing else.
//! 3. No lock is held while a handler is polled or a task is woken.
//! 4. Unary handlers are polled once by the reader, a bounded number a turn; streams are spawned.
//! 5. The limits of both sides are in the first frame, and bound what a peer must hold.
//!
//! What is received is not copied: messages, and the texts of metadata, are slices of the block that
//! they were read into (64 KiB, or the message's own size). Who keeps a small one keeps its block.
//!
//! What it does not have yet: pieces of large messages, and keep-alive pings (they are answered, not
//! sent).

mod arrivals;
mod batch;
mod client;
mod error;
mod fault;
mod fields;
mod flow;
mod inbox;
mod outbox;
mod server;
mod wire;
mod writer;

use std::sync::Arc;

use async_trait::async_trait;

use super::{Channel, Destination, Environment, Protocol, Recognised};
use crate::router::Core;
use crate::transport::Connection;

/// Our own multiplexed protocol, version 1.
#[derive(Clone, Copy, Debug, Default)]
pub struct Braid;

#[async_trait]
impl Protocol for Braid {
    fn name(&self) -> &'static str {
        "braid"
    }

    fn alpn(&self) -> &'static str {
        "braid/1"
    }

    fn channel(&self, node: Destination, environment: &Environment) -> Arc<dyn Channel> {
        Arc::new(client::BraidChannel::new(node, environment))
    }

    fn recognises(&self, head: &[u8]) -> Recognised {
        if head.starts_with(&wire::MAGIC) {
            Recognised::Yes
        } else if wire::MAGIC.starts_with(head) {
            Recognised::Perhaps
        } else {
            Recognised::No
        }
    }

    async fn serve(&self, connection: Connection, core: Arc<Core>) {
        server::serve(connection, core).await;
    }
}
