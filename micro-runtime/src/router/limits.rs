//! What a peer can make a server hold, and for how long.

use std::time::Duration;

use super::pace::Inline;

/// Bounds of a server. Change fields of the default.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// The largest message, in bytes after decompression. 64 MiB.
    pub message: usize,
    /// How many bytes of messages that have not come whole yet are held, of all connections together.
    /// Counted for gRPC and what is like it; of mucp and braid, a connection holds `message` at most.
    /// 256 MiB.
    pub unfinished: usize,
    /// The largest head of one HTTP request, or the metadata of one call, in bytes. 64 KiB.
    pub head: usize,
    /// How many header fields a request, or pairs a call's metadata, may have. 256.
    pub headers: usize,
    /// How many calls run at once, streams included. 10,000.
    pub calls: usize,
    /// How many calls run at once on one connection. 1,000.
    pub calls_per_connection: usize,
    /// How many connections are open at once. 20,000.
    pub connections: usize,
    /// How long a connection may take to show what it speaks. 5 s, as Go Micro v4's server.
    pub first_request: Duration,
    /// How long the rest of a request may take once its first byte is there. 60 s.
    pub request_read: Duration,
    /// How long a peer may take to read what is written to it. 60 s.
    pub write: Duration,
    /// How long a kept-alive connection may be without a call. 90 s: above the 60 s for which a
    /// Go client pools a connection without looking whether it is still open.
    pub idle: Duration,
    /// The deadline of calls that bring none; `None` for none, as Go Micro.
    pub call: Option<Duration>,
    /// How many messages of a stream wait for its handler before the peer is made to wait. 4,096.
    pub stream_window: usize,
    /// How many bytes of messages of a stream do, where the protocol counts them (braid); one message
    /// may go beyond it. 512 KiB.
    pub stream_bytes: usize,
    /// Where unary handlers run until their first wait: in the task of their connection, unless they
    /// compute for long.
    pub inline: Inline,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            message: 64 << 20,
            unfinished: 256 << 20,
            head: 64 << 10,
            headers: 256,
            calls: 10_000,
            calls_per_connection: 1_000,
            connections: 20_000,
            first_request: Duration::from_secs(5),
            request_read: Duration::from_secs(60),
            write: Duration::from_secs(60),
            idle: Duration::from_secs(90),
            call: None,
            stream_window: 4_096,
            stream_bytes: 512 << 10,
            inline: Inline::Auto,
        }
    }
}
