//! Posts messages to those who have subscribed.

use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tracing::debug;

use super::super::{ID, Message};
use super::options::HttpOptions;
use super::outcome::{Posted, Sum};
use super::patient::Patient;
use super::{BROADCAST, SERVICE, message};
use crate::error::{Error, Result};
use crate::http1;
use crate::registry::{Directory, NodeEntry, Registry, View};
use crate::tasks::{Tasks, after};

/// How many posts of one message are under way at once.
const AT_ONCE: usize = 16;
/// Connections to subscribers that are kept for the next message.
const KEPT: usize = 256;
/// The largest answer that is read: only its status counts.
const MAX_ANSWER: usize = 64 * 1024;
/// How long the registry may take to name the subscribers, where nothing is known yet.
const LOOKUP: Duration = Duration::from_secs(5);

/// The publishing side of a broker.
#[derive(Debug)]
pub(super) struct Publisher {
    directory: Directory,
    view: Arc<View>,
    /// Over TLS, where the broker is set to it.
    client: http1::Http,
    secure: bool,
    answer: Duration,
    tasks: Tasks,
}

/// Who gets a copy.
enum Target {
    /// A node of its own right.
    One(Arc<NodeEntry>),
    /// One of the nodes of a queue.
    AnyOf(String, Vec<Arc<NodeEntry>>),
}

impl Publisher {
    pub(super) fn new(
        registry: Arc<dyn Registry>,
        tasks: &Tasks,
        options: &HttpOptions,
    ) -> Result<Self> {
        let dial = options.transport.clone();
        #[cfg(feature = "tls")]
        let (dial, secure): (Arc<dyn crate::transport::Transport>, bool) = match &options.client_tls
        {
            Some(tls) => {
                let dial = crate::transport::tls::TlsDial::new(dial, tls, &["http/1.1"])?;
                (Arc::new(dial), true)
            }
            None => (dial, false),
        };
        #[cfg(not(feature = "tls"))]
        let secure = false;
        let dial = Patient {
            inner: dial,
            patience: options.dial,
        };
        let directory = Directory::new(registry, tasks);
        Ok(Self {
            view: directory.view(SERVICE),
            directory,
            client: http1::Http::new(ID, Arc::new(dial), MAX_ANSWER).keeping(KEPT),
            secure,
            answer: options.answer,
            tasks: tasks.clone(),
        })
    }

    /// Posts `message` to every node of `topic` without a queue and to one of each queue.
    ///
    /// # Errors
    /// Where the subscribers are not known, or a queue or all of the nodes without one were not
    /// reached.
    pub(super) async fn publish(&self, topic: &str, message: &Message) -> Result<()> {
        if !self.view.is_ready() {
            self.view.ready(Instant::now() + LOOKUP).await?;
        }
        let targets = self.targets(topic);
        if targets.is_empty() {
            return Ok(());
        }
        let body = message::encode(topic, message);
        let posts = targets.into_iter().map(|target| self.send(target, &body));
        let mut sum = Sum::default();
        for (queue, ended) in side_by_side(posts).await {
            sum.add(queue, ended);
        }
        sum.into_result(topic)
    }

    fn targets(&self, topic: &str) -> Vec<Target> {
        let nodes = self.view.nodes();
        let mut targets = Vec::new();
        let mut queues: BTreeMap<&str, Vec<Arc<NodeEntry>>> = BTreeMap::new();
        for entry in &nodes.list {
            // A node of another broker's may stand under the same name.
            if entry.metadata("topic") != Some(topic) || entry.metadata("broker") != Some("http") {
                continue;
            }
            match entry.version() {
                BROADCAST => targets.push(Target::One(entry.clone())),
                queue => queues.entry(queue).or_default().push(entry.clone()),
            }
        }
        let queues = queues.into_iter();
        targets.extend(queues.map(|(queue, nodes)| Target::AnyOf(queue.to_owned(), nodes)));
        targets
    }

    /// Posts to a target; the queue's name goes with the outcome.
    async fn send(&self, target: Target, body: &Bytes) -> (Option<String>, Posted) {
        match target {
            Target::One(entry) => {
                let now = self.now();
                let posted = if entry.is_ejected(now) || !entry.claim(now) {
                    let why = "it could not be reached a moment ago and is left alone";
                    Posted::Spared(missed(&entry, why).unprocessed())
                } else {
                    self.post(&entry, body).await
                };
                (None, posted)
            }
            Target::AnyOf(queue, nodes) => (Some(queue), self.send_to_one(nodes, body).await),
        }
    }

    /// Posts to a random node, and to another one as long as none has the message for all we know.
    async fn send_to_one(&self, mut nodes: Vec<Arc<NodeEntry>>, body: &Bytes) -> Posted {
        let enough = after(self.answer);
        for left in (1..nodes.len()).rev() {
            nodes.swap(left, self.tasks.below(left + 1));
        }
        // Those that are left alone are better than none.
        let now = self.now();
        nodes.sort_by_key(|entry| entry.is_ejected(now));
        let mut last = Posted::Gone;
        for entry in nodes {
            // Other messages leave it alone until this one has told how it went.
            let _ = entry.claim(self.now());
            match self.post(&entry, body).await {
                Posted::Gone => {}
                Posted::Missed(error) => {
                    debug!(node = entry.id(), %error, "a member of the queue was not reached, another one is tried");
                    last = Posted::Missed(error);
                }
                ended => return ended,
            }
            if Instant::now() >= enough {
                break;
            }
        }
        last
    }

    async fn post(&self, entry: &NodeEntry, body: &Bytes) -> Posted {
        let secure = entry.metadata("secure") == Some("true");
        if secure != self.secure {
            return Posted::Missed(missed(
                entry,
                match secure {
                    true => "it speaks TLS, and this broker has no TLS settings for publishing",
                    false => "it does not speak TLS, and this broker publishes over TLS only",
                },
            ));
        }
        let mut target = String::from("/?id=");
        put_escaped(entry.id(), &mut target);
        let ask = http1::Ask {
            method: "POST",
            address: entry.address(),
            target: &target,
            headers: &[
                (
                    "User-Agent",
                    concat!("micro-rust/", env!("CARGO_PKG_VERSION")),
                ),
                ("Content-Type", "application/json"),
                // Go Micro's receivers do not know it, and answer when the handler is done.
                ("Prefer", "respond-async"),
            ],
            body: body.clone(),
            repeatable: false,
        };
        let answer = self.client.ask(&ask, after(self.answer)).await;
        let now = self.now();
        match answer {
            Ok(answer) if answer.status < 300 => {
                entry.restore(now);
                Posted::Taken
            }
            // Its process lives and its subscription does not: it is not to be kept for being alive.
            Ok(answer) if answer.status == 404 => {
                entry.eject(now);
                Posted::Gone
            }
            Ok(answer) => {
                entry.restore(now);
                let error = Error::from_wire(&String::from_utf8_lossy(answer.body()));
                let why = format!("it answered {}: {}", answer.status, error.detail());
                match answer.status {
                    // Of a proxy, which may have lost the answer and not the post.
                    502 | 504 => Posted::Lost(missed(entry, why)),
                    _ => Posted::Missed(missed(entry, why).unprocessed()),
                }
            }
            Err(error) if error.is_unprocessed() => {
                entry.eject(now);
                Posted::Missed(missed(entry, error.detail()).unprocessed())
            }
            Err(error) if error.is_timeout() => {
                debug!(
                    node = entry.id(),
                    "a subscriber has not answered yet and is taken to be busy"
                );
                Posted::Taken
            }
            Err(error) => Posted::Lost(missed(entry, error.detail())),
        }
    }

    fn now(&self) -> u64 {
        self.directory.millis(Instant::now())
    }
}

fn missed(entry: &NodeEntry, why: impl std::fmt::Display) -> Error {
    let (node, address) = (entry.id(), entry.address());
    Error::unavailable(ID, format!("{node} at {address} was not reached: {why}"))
}

/// Appends text as Go writes it in a query.
fn put_escaped(text: &str, out: &mut String) {
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            byte => {
                use std::fmt::Write;
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
}

/// Runs futures side by side, a bounded number at once, and gives what they give as it comes.
async fn side_by_side<F: Future>(mut all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = Vec::new();
    let mut done = Vec::new();
    poll_fn(move |task| {
        loop {
            let room = AT_ONCE.saturating_sub(running.len());
            running.extend(all.by_ref().take(room).map(Box::pin));
            let before = done.len();
            running.retain_mut(|future| match future.as_mut().poll(task) {
                Poll::Ready(output) => {
                    done.push(output);
                    false
                }
                Poll::Pending => true,
            });
            if running.is_empty() {
                return Poll::Ready(std::mem::take(&mut done));
            }
            if done.len() == before {
                return Poll::Pending;
            }
        }
    })
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_as_go_does() {
        let mut out = String::new();
        put_escaped("a b/ç?&=%~-_.", &mut out);
        assert_eq!(out, "a+b%2F%C3%A7%3F%26%3D%25~-_.");
    }

    #[tokio::test(start_paused = true)]
    async fn a_bounded_number_runs_at_once_and_all_are_done() {
        use std::sync::atomic::{AtomicUsize, Ordering};
        let (running, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let (running, most) = (&running, &most);
        let all = (0..50_u64).map(|n| async move {
            let now = running.fetch_add(1, Ordering::SeqCst) + 1;
            most.fetch_max(now, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(n % 7)).await;
            running.fetch_sub(1, Ordering::SeqCst);
            n
        });
        let mut done = side_by_side(all).await;
        done.sort_unstable();
        assert_eq!(done, (0..50).collect::<Vec<_>>());
        assert_eq!(most.load(Ordering::SeqCst), AT_ONCE);
        assert!(
            side_by_side(std::iter::empty::<std::future::Ready<()>>())
                .await
                .is_empty()
        );
    }
}
