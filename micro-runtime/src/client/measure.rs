//! Counts the calls that are with a node, and measures how long it takes to answer.

use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::decisions::Times;
use crate::call::{Body, RawReceive, RawStream, Reply};
use crate::error::why::Cause;
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::registry::{Counted, NodeEntry, Underway};

/// A try that is under way. The node's entry counts it and is told how it ended.
pub(super) struct Measure<'a> {
    // Lent: holding it would be two more changes of a figure that all calls share.
    pub(super) entry: &'a Arc<NodeEntry>,
    pub(super) times: &'a Times,
    /// `None` where the end has been told.
    counted: Option<Counted>,
}

impl<'a> Measure<'a> {
    /// Of the try that has begun at these times.
    pub(super) fn begin(entry: &'a Arc<NodeEntry>, times: &'a Times) -> Self {
        Self {
            entry,
            times,
            counted: Some(entry.count()),
        }
    }

    /// Tells the node's entry how the try ended. A stream counts on until its end.
    pub(super) fn end(&mut self, result: &mut Result<Reply>) {
        let counted = self.counted.take();
        if let (Ok(reply), Some(counted)) = (&mut *result, counted)
            && matches!(reply.message, Body::Stream(_))
        {
            // How long it took to open says little: some protocols do not wait for the peer.
            let message = std::mem::take(&mut reply.message);
            let underway = self.entry.underway(counted);
            reply.message = until_its_end(message, underway, self.times.millis);
            return;
        }
        if let Some(counted) = counted {
            self.entry.uncount(counted);
        }
        if let Err(error) = result {
            self.failed(error);
        } else if self.entry.wants_latency(self.times.millis) {
            // Reading the clock costs more than much else here: once a millisecond is often enough.
            let (took, now) = self.took();
            self.entry.tell_latency(took, now);
        }
    }

    /// As [`end`](Self::end).
    #[cold]
    pub(super) fn ended(&mut self, mut result: Result<Reply>) -> Result<Reply> {
        self.end(&mut result);
        result
    }

    fn failed(&self, error: &Error) {
        let (took, now) = self.took();
        match Cause::of(error) {
            // Nothing that the node has done.
            Cause::Own => {}
            // What a caller did wrong says nothing either, but how long it took to say so.
            Cause::Answered if error.code() < 500 => self.entry.tell_latency(took, now),
            _ => self.entry.tell_failure(took, now),
        }
    }

    fn took(&self) -> (Duration, u64) {
        let took = self.times.tried_at.elapsed();
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        (took, self.times.millis.saturating_add(millis))
    }
}

impl Drop for Measure<'_> {
    fn drop(&mut self) {
        // The caller has given it up: a node that never answers must not look like the fastest.
        if let Some(counted) = self.counted {
            self.entry.uncount(counted);
            let (took, now) = self.took();
            self.entry.tell_latency(took, now);
        }
    }
}

/// The stream, which counts as a call until it is read to its end or dropped.
fn until_its_end(message: Body, underway: Underway, began: u64) -> Body {
    match message {
        Body::Stream(RawStream { send, receive }) => Body::Stream(RawStream {
            send,
            receive: Box::new(CountedStream {
                inner: receive,
                underway: Some(underway),
                began: Some(began),
            }),
        }),
        other => other,
    }
}

struct CountedStream {
    inner: Box<dyn RawReceive>,
    underway: Option<Underway>,
    /// When it was opened; `None` where the node has answered since.
    began: Option<u64>,
}

impl RawReceive for CountedStream {
    fn poll_next(&mut self, task: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
        let next = self.inner.poll_next(task);
        if let Poll::Ready(None | Some(Ok(_))) = next
            && let Some(began) = self.began.take()
            && let Some(underway) = &self.underway
        {
            underway.entry().restore(began);
        }
        if let Poll::Ready(None | Some(Err(_))) = next {
            self.underway = None;
        }
        next
    }

    fn metadata(&self) -> Metadata {
        self.inner.metadata()
    }

    fn trailers(&self) -> Metadata {
        self.inner.trailers()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// Of a try that begins now, when the directory's clock is at nought.
    fn times() -> Times {
        let now = Instant::now();
        Times {
            started: now,
            tried_at: now,
            millis: 0,
            deadline: now,
        }
    }

    /// A stream that has as many messages as it says.
    struct Messages(usize);

    impl RawReceive for Messages {
        fn poll_next(&mut self, _: &mut Task<'_>) -> Poll<Option<Result<Bytes>>> {
            let left = self.0.checked_sub(1);
            self.0 = left.unwrap_or(0);
            Poll::Ready(left.map(|_| Ok(Bytes::new())))
        }
    }

    #[tokio::test]
    async fn a_stream_counts_until_it_is_read_to_its_end_or_dropped() {
        let node = NodeEntry::by_hand("a:1");
        let mut task = Task::from_waker(std::task::Waker::noop());
        let open = || CountedStream {
            inner: Box::new(Messages(1)),
            underway: Some(node.begin()),
            began: Some(1),
        };
        let mut stream = open();
        assert!(matches!(stream.poll_next(&mut task), Poll::Ready(Some(_))));
        assert_eq!(node.in_flight(), 1);
        assert!(matches!(stream.poll_next(&mut task), Poll::Ready(None)));
        assert_eq!(node.in_flight(), 0);
        let other = open();
        assert_eq!(node.in_flight(), 1);
        drop(other);
        assert_eq!(node.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_stream_speaks_for_its_node_with_the_first_message_or_a_good_end() {
        let mut task = Task::from_waker(std::task::Waker::noop());
        for messages in [0, 1] {
            let node = NodeEntry::by_hand("a:1");
            let mut stream = CountedStream {
                inner: Box::new(Messages(messages)),
                underway: Some(node.begin()),
                began: Some(5),
            };
            assert!(!node.answers(0));
            assert!(stream.poll_next(&mut task).is_ready());
            assert!(node.answers(5) && !node.answers(6));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_try_that_is_given_up_counts_as_long_as_it_took() {
        let node = NodeEntry::by_hand("a:1");
        let times = times();
        let measure = Measure::begin(&node, &times);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(node.in_flight(), 1);
        drop(measure);
        assert_eq!(node.in_flight(), 0);
        assert_eq!(node.latency(2_000), Some(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_failures_and_callers_faults_are_told_apart() {
        let told = async |mut result: Result<Reply>| {
            let node = NodeEntry::by_hand("a:1");
            let times = times();
            let mut measure = Measure::begin(&node, &times);
            tokio::time::sleep(Duration::from_micros(100)).await;
            measure.end(&mut result);
            node.latency(1)
        };
        let answered = told(Ok(Reply::new(Body::Empty))).await.unwrap();
        assert!(answered <= Duration::from_millis(1));
        let fault = told(Err(Error::bad_request("say", "no"))).await.unwrap();
        assert!(fault <= answered);
        let node = NodeEntry::by_hand("a:1");
        node.tell_latency(Duration::from_millis(10), 0);
        let times = times();
        let mut failed = Measure::begin(&node, &times);
        failed.end(&mut Err(Error::internal("say", "broken")));
        assert_eq!(node.latency(0), Some(Duration::from_millis(40)));
    }
}
