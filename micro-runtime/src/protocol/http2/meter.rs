//! Weighs what a peer's frames cost against what they carry.
//!
//! The engine answers every PING and every SETTINGS, and looks at every PRIORITY, window update and
//! unknown frame: none of that can make it grow, yet a peer that sends nothing else keeps a core busy
//! and never makes a call. A frame that carries nothing costs a fixed price here. Bytes of calls earn
//! it back, in both directions, since who receives much may well send window updates and pings for
//! it; and so does time.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::PREFACE;
use crate::tasks::later;
use crate::transport::Io;

/// What a frame that carries nothing costs, in bytes that earn it back.
const PRICE: usize = 64;
/// What a peer may owe: ten thousand such frames at once.
const CREDIT: usize = 10_000 * PRICE;
/// What a second earns: a thousand such frames.
const SECOND: u64 = 1_000 * PRICE as u64;
/// How long a frame's head is.
const HEAD: usize = 9;
/// How long a peer that is sent away may take to read why and to close.
const GOODBYE: Duration = Duration::from_millis(500);

/// What the meter shows, seen by who runs the connection.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU8);

impl Meter {
    const BEGUN: u8 = 1;
    const FLOODED: u8 = 2;

    /// Whether a whole frame has come.
    pub(super) fn has_begun(&self) -> bool {
        self.has(Self::BEGUN)
    }

    /// Whether more has come than the peer may send. Then nothing more is read.
    pub(super) fn is_flooded(&self) -> bool {
        self.has(Self::FLOODED)
    }

    // Both sides are one task.
    fn has(&self, bit: u8) -> bool {
        self.0.load(Ordering::Relaxed) & bit != 0
    }

    fn set(&self, bit: u8) {
        self.0.fetch_or(bit, Ordering::Relaxed);
    }
}

/// The bytes of a connection that a peer has opened.
pub(super) struct Metered {
    io: Box<dyn Io>,
    meter: Arc<Meter>,
    frames: Frames,
    left: usize,
    /// When time was last earned.
    earned: Instant,
    /// How long the end waits for the peer.
    goodbye: Option<Pin<Box<Sleep>>>,
}

/// `io` metered, and the meter.
pub(super) fn meter(io: Box<dyn Io>) -> (Metered, Arc<Meter>) {
    let meter = Arc::new(Meter::default());
    let metered = Metered {
        io,
        meter: meter.clone(),
        frames: Frames::default(),
        left: CREDIT,
        earned: Instant::now(),
        goodbye: None,
    };
    (metered, meter)
}

impl Metered {
    fn weigh(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some((kind, length)) = self.frames.next(&mut rest) {
            match kind {
                // DATA, HEADERS and CONTINUATION; the engine counts those that are small or many.
                0 | 1 | 9 => self.earn(length),
                _ => self.pay(),
            }
        }
        if self.frames.whole {
            self.meter.set(Meter::BEGUN);
        }
    }

    fn earn(&mut self, bytes: usize) {
        self.left = self.left.saturating_add(bytes).min(CREDIT);
    }

    fn pay(&mut self) {
        if self.left < PRICE {
            let passed = self.earned.elapsed();
            self.earned += passed;
            let micros = u64::try_from(passed.as_micros()).unwrap_or(u64::MAX);
            let earned = micros.saturating_mul(SECOND) / 1_000_000;
            self.earn(usize::try_from(earned).unwrap_or(CREDIT));
        }
        match self.left.checked_sub(PRICE) {
            Some(left) => self.left = left,
            None => self.meter.set(Meter::FLOODED),
        }
    }
}

/// Finds the heads of frames in bytes that come in any pieces.
struct Frames {
    head: [u8; HEAD],
    /// How much of a head is there.
    there: usize,
    /// How many bytes follow before the next head.
    skip: usize,
    /// Whether one has come to its end.
    whole: bool,
    begun: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self {
            head: [0; HEAD],
            there: 0,
            skip: PREFACE.len(),
            whole: false,
            begun: false,
        }
    }
}

impl Frames {
    /// The kind and the length of the next frame whose head ends in `bytes`, which is moved behind it.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<(u8, usize)> {
        let skipped = self.skip.min(bytes.len());
        self.skip -= skipped;
        *bytes = bytes.get(skipped..).unwrap_or_default();
        self.whole |= self.begun && self.skip == 0;
        let wanted = self.head.get_mut(self.there..)?;
        let taken = wanted.len().min(bytes.len());
        let (head, rest) = bytes.split_at_checked(taken)?;
        wanted.get_mut(..taken)?.copy_from_slice(head);
        *bytes = rest;
        self.there += taken;
        if self.there < HEAD {
            return None;
        }
        self.there = 0;
        self.begun = true;
        let [a, b, c, kind, ..] = self.head;
        self.skip = u32::from_be_bytes([0, a, b, c]) as usize;
        Some((kind, self.skip))
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.meter.is_flooded() {
            // Who runs the connection sees to its end.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.io).poll_read(task, buffer))?;
        let came = buffer.filled().get(before..).unwrap_or_default();
        self.weigh(came);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write(task, bytes))?;
        self.earn(written);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        task: &mut Task<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.io).poll_write_vectored(task, pieces))?;
        self.earn(written);
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(task)
    }

    /// Ends the connection so that the peer sees why: bytes that were not read would make its end a
    /// reset, which may overtake what was written last.
    fn poll_shutdown(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_shutdown(task))?;
        let this = &mut *self;
        let goodbye = this
            .goodbye
            .get_or_insert_with(|| Box::pin(sleep_until(later(Instant::now(), GOODBYE))));
        if goodbye.as_mut().poll(task).is_ready() {
            return Poll::Ready(Ok(()));
        }
        let mut unread = [0; 4096];
        loop {
            let mut unread = ReadBuf::new(&mut unread);
            match ready!(Pin::new(&mut this.io).poll_read(task, &mut unread)) {
                Ok(()) if !unread.filled().is_empty() => {}
                // It has closed too, or is gone.
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8], step: usize) -> Vec<(u8, usize)> {
        let mut frames = Frames::default();
        let mut found = Vec::new();
        for mut piece in bytes.chunks(step) {
            while let Some(frame) = frames.next(&mut piece) {
                found.push(frame);
            }
        }
        found
    }

    #[test]
    fn frames_are_found_however_their_bytes_come() {
        let mut bytes = PREFACE.to_vec();
        bytes.extend_from_slice(b"\0\0\x06\x04\0\0\0\0\0SSSSSS");
        bytes.extend_from_slice(b"\0\0\0\x04\x01\0\0\0\0");
        bytes.extend_from_slice(b"\0\0\x01\x01\x05\0\0\0\x01H");
        bytes.extend_from_slice(b"\0\x01\0\0\0\0\0\0\x01");
        bytes.extend_from_slice(&[7; 256]);
        bytes.extend_from_slice(b"\0\0\x08\x06\0\0\0\0\0PPPPPPPP\0\0\0\x06");
        let all = [(4, 6), (4, 0), (1, 1), (0, 256), (6, 8)];
        for step in 1..bytes.len() {
            assert_eq!(frames(&bytes, step), all, "{step}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn frames_that_carry_nothing_are_paid_by_bytes_and_by_time() {
        let (io, _peer) = tokio::io::duplex(1);
        let (mut metered, meter) = meter(Box::new(io));
        let ping = b"\0\0\x08\x06\0\0\0\0\0PPPPPPPP";
        metered.weigh(PREFACE);
        metered.weigh(b"\0\0\x06\x04\0\0\0\0\0SSSSS");
        assert!(!meter.has_begun());
        metered.weigh(b"S");
        assert!(meter.has_begun());
        for _ in 0..9_999 {
            metered.weigh(ping);
        }
        // A second brings a thousand, a message of 64 KiB as many.
        tokio::time::advance(Duration::from_secs(1)).await;
        for _ in 0..1_000 {
            metered.weigh(ping);
        }
        let data = [&b"\0\xfa\0\0\0\0\0\0\x01"[..], &[7; 64_000]].concat();
        metered.weigh(&data);
        for _ in 0..1_000 {
            metered.weigh(ping);
        }
        assert!(!meter.is_flooded());
        metered.weigh(ping);
        assert!(meter.is_flooded());
    }
}
