//! Asks a silent peer whether it is still there.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Settings;
use crate::tasks::later;

/// The pings of one connection.
pub(super) struct Keepalive {
    pings: PingPong,
    every: Duration,
    answer: Duration,
    asked: bool,
    timer: Pin<Box<Sleep>>,
}

impl Keepalive {
    pub(super) fn new(pings: Option<PingPong>, settings: &Settings) -> Option<Self> {
        let every = settings.ping_after?;
        Some(Self {
            pings: pings?,
            every,
            answer: settings.ping_answer,
            asked: false,
            timer: Box::pin(sleep_until(later(Instant::now(), every))),
        })
    }

    /// Ready when the peer is gone. While `wanted` is false nothing is asked.
    pub(super) fn poll(&mut self, wanted: bool, task: &mut Task<'_>) -> Poll<()> {
        loop {
            if self.asked {
                match self.pings.poll_pong(task) {
                    Poll::Ready(Ok(_)) => self.wait(false, self.every),
                    // The connection's own end says more.
                    Poll::Ready(Err(_)) => return Poll::Pending,
                    Poll::Pending => {
                        ready!(self.timer.as_mut().poll(task));
                        return Poll::Ready(());
                    }
                }
            } else {
                ready!(self.timer.as_mut().poll(task));
                match wanted {
                    true if self.pings.send_ping(Ping::opaque()).is_ok() => {
                        self.wait(true, self.answer);
                    }
                    _ => self.wait(false, self.every),
                }
            }
        }
    }

    fn wait(&mut self, asked: bool, time: Duration) {
        self.asked = asked;
        self.timer.as_mut().reset(later(Instant::now(), time));
    }
}
