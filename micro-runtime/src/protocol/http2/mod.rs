//! HTTP/2: streams of a head, bytes and trailers, many at once on one connection.
//!
//! The one place that knows the engine, which is the `h2` crate: who frames calls sees what is here.
//! Heads are in the types of the `http` crate. Bytes that came are taken off the peer's allowance
//! until someone reads them, so what nobody reads makes the peer wait and not us grow.

mod chunk;
mod client;
mod cork;
mod fault;
mod gate;
mod keepalive;
mod meter;
mod server;
mod stream;

pub(super) use chunk::Chunk;
pub(super) use client::{Answered, Driver, Requests, connect};
pub(super) use fault::Fault;
pub(super) use server::{Answer, Incoming, Server, accept};
pub(super) use stream::{Inbound, Outbound};

use std::time::Duration;

/// What a connection of HTTP/2 begins with (RFC 9113 section 3.4).
pub(super) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// The largest window that there is.
const LARGEST_WINDOW: u32 = (1 << 31) - 1;

/// The largest frame that is taken. A long message is one frame then, and not a write and a read for
/// every 16 KiB of it.
const FRAME: u32 = 128 << 10;

/// What one end tells the other, and how it looks after the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Settings {
    /// How many streams the peer may have open at once.
    pub(super) streams: u32,
    /// How many bytes of a stream the peer may send before someone reads them.
    pub(super) stream_window: u32,
    /// The largest head, in bytes as HTTP/2 counts them.
    pub(super) head: u32,
    /// How long the connection may be silent before the peer is asked whether it is there.
    pub(super) ping_after: Option<Duration>,
    /// How long it may take to answer.
    pub(super) ping_answer: Duration,
}

impl Settings {
    /// The connection's window: that of all streams together. A smaller one would let streams that
    /// nobody reads hold up the others, which may be what their readers wait for.
    fn connection_window(&self) -> u32 {
        self.stream_window
            .saturating_mul(self.streams.max(1))
            .clamp(65_535, LARGEST_WINDOW)
    }

    fn window(&self) -> u32 {
        self.stream_window.min(LARGEST_WINDOW)
    }
}
