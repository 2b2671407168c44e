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
//! Long messages go in pieces, which wait in turn, so that nothing stands behind them; a piece is
//! copied once.

mod arrivals;
mod batch;
mod client;
mod dictionary;
mod error;
mod fault;
mod fields;
mod flow;
mod inbox;
mod outbox;
mod packed;
mod pieces;
mod pings;
mod server;
mod wire;
mod writer;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Channel, Destination, Environment, Protocol, Recognised};
use crate::router::Core;
use crate::transport::Connection;

/// Our own multiplexed protocol, version 1, with its settings. Change fields of the default.
///
/// ```
/// use std::time::Duration;
///
/// use micro_runtime::protocol::{Braid, Protocol};
///
/// let mut braid = Braid::default();
/// braid.max_age = Some(Duration::from_secs(3600));
/// assert_eq!((braid.name(), braid.alpn()), ("braid", "braid/1"));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Braid {
    /// Whether messages of 1 KiB and more are compressed where the peer reads that and it makes them
    /// shorter. What comes compressed is read either way. Off.
    pub compress: bool,
    /// How long a connection is silent before the peer is asked whether it is there; never for `None`.
    /// It is asked after this time at the earliest, and after twice of it at the latest. 60 s.
    pub ping_after: Option<Duration>,
    /// How long the answer to that may take. 20 s.
    pub ping_answer: Duration,
    /// After how long a server has its callers make a new connection, give or take a tenth; calls that
    /// run go on. Never for `None`, which is the default.
    pub max_age: Option<Duration>,
    /// How many connections a client makes to a node at most. It keeps one, and makes more only where
    /// one does not carry what comes; 0 stands for as many as there are processors, and at most 8. 0.
    pub connections: usize,
}

impl Default for Braid {
    fn default() -> Self {
        Self {
            compress: false,
            ping_after: Some(Duration::from_secs(60)),
            ping_answer: Duration::from_secs(20),
            max_age: None,
            connections: 0,
        }
    }
}

impl Braid {
    /// braid with its default settings.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections a client makes at most.
    fn connections(&self) -> usize {
        match self.connections {
            0 => std::thread::available_parallelism().map_or(1, |all| all.get().min(8)),
            most => most,
        }
    }

    /// What is had of a peer that takes nothing for `stall`.
    fn patience(&self, stall: Duration) -> outbox::Patience {
        outbox::Patience {
            silence: self.ping_after,
            answer: self.ping_answer,
            stall,
        }
    }
}

#[async_trait]
impl Protocol for Braid {
    fn name(&self) -> &'static str {
        "braid"
    }

    fn alpn(&self) -> &'static str {
        "braid/1"
    }

    fn channel(&self, node: Destination, environment: &Environment) -> Arc<dyn Channel> {
        Arc::new(client::BraidChannel::new(self, node, environment))
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
        server::serve(self, connection, core).await;
    }
}
