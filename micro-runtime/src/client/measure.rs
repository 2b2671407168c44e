//! Counts the calls that are with a node, and measures how long it takes to answer.

use std::sync::Arc;
use std::task::{Context as Task, Poll};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::call::{Body, RawReceive, RawStream, Reply};
use crate::error::why::Cause;
use crate::error::{Error, Result};
use crate::metadata::Metadata;
use crate::registry::{Counted, NodeEntry, Underway};

/// A try that is under way. The node's entry counts it and is told how it ended.
pub(super) struct Measure<'a> {
    // Lent: holding it would be two more changes of a figure that all calls share.
    entry: &'a Arc<NodeEntry>,
    /// `None` where the end has been told.
    counted: Option<Counted>,
    began: Instant,
    /// The same on the directory's clock.
    began_at: u64,
}

impl<'a> Measure<'a> {
    pub(super) fn begin(entry: &'a Arc<NodeEntry>, began: Instant, began_at: u64) -> Self {
        Self {
            entry,
            counted: Some(entry.count()),
            began,
            began_at,
        }
    }

    /// Tells the node's entry how the try ended. A stream counts on until its end.
    pub(super) fn end(mut self, mut result: Result<Reply>) -> Result<Reply> {
        let counted = self.counted.take();
        if let (Ok(reply), Some(counted)) = (&mut result, counted)
            && matches!(reply.message, Body::Stream(_))
        {
            // How long it took to open says little: some protocols do not wait for the peer.
            let message = std::mem::take(&mut reply.message);
            reply.message = until_its_end(message, self.entry.underway(counted), self.began_at);
            return result;
        }
        if let Some(counted) = counted {
            self.entry.uncount(counted);
        }
        if let Err(error) = &result {
            self.failed(error);
        } else if self.entry.wants_latency(self.began_at) {
            // Reading the clock costs more than much else here: once a millisecond is often enough.
            let (took, now) = self.took();
            self.entry.tell_latency(took, now);
        }
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
        let took = self.began.elapsed();
        let millis = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        (took, self.began_at.saturating_add(millis))
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
    use super::*;

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
        let measure = Measure::begin(&node, Instant::now(), 0);
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!(node.in_flight(), 1);
        drop(measure);
        assert_eq!(node.in_flight(), 0);
        assert_eq!(node.latency(2_000), Some(Duration::from_secs(2)));
    }

    #[tokio::test(start_paused = true)]
    async fn answers_failures_and_callers_faults_are_told_apart() {
        let told = async |result: Result<Reply>| {
            let node = NodeEntry::by_hand("a:1");
            let measure = Measure::begin(&node, Instant::now(), 0);
            tokio::time::sleep(Duration::from_micros(100)).await;
            let _ = measure.end(result);
            node.latency(1)
        };
        let answered = told(Ok(Reply::new(Body::Empty))).await.unwrap();
        assert!(answered <= Duration::from_millis(1));
        let fault = told(Err(Error::bad_request("say", "no"))).await.unwrap();
        assert!(fault <= answered);
        let node = NodeEntry::by_hand("a:1");
        node.tell_latency(Duration::from_millis(10), 0);
        let failed = Measure::begin(&node, Instant::now(), 0);
        let _ = failed.end(Err(Error::internal("say", "broken")));
        assert_eq!(node.latency(0), Some(Duration::from_millis(40)));
    }
}
