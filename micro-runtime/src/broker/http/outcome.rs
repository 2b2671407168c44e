//! What comes of posts: of one, and of all that one message needs.

use tracing::warn;

use crate::broker::ID;
use crate::error::{Error, Result};

/// How many failures an error tells of.
const TOLD: usize = 4;

/// How posting to a node ended.
pub(super) enum Posted {
    /// It has the message.
    Taken,
    /// It answers that nobody is subscribed there.
    Gone,
    /// It certainly has not dealt with it.
    Missed(Error),
    /// It was not tried: that it cannot be reached was told when it was.
    Spared(Error),
    /// Nobody knows.
    Lost(Error),
}

/// What came of all posts of one message.
#[derive(Default)]
pub(super) struct Sum {
    /// Whether anybody has it, or may have it.
    taken: bool,
    /// Whether somebody without a queue has it.
    heard: bool,
    /// Of nodes without a queue.
    unheard: Vec<Error>,
    /// The same, of those that were not tried.
    spared: Vec<Error>,
    /// Of queues.
    failed: Vec<Error>,
}

impl Sum {
    /// Counts a post in; of a queue, with its name.
    pub(super) fn add(&mut self, queue: Option<String>, ended: Posted) {
        let (error, taken) = match ended {
            Posted::Spared(error) if queue.is_none() => return self.spared.push(error),
            Posted::Taken => (None, true),
            Posted::Gone => (None, false),
            Posted::Missed(error) | Posted::Spared(error) => (Some(error), false),
            Posted::Lost(error) => (Some(error), true),
        };
        self.taken |= taken;
        match (queue, error) {
            (None, None) => self.heard |= taken,
            (None, Some(error)) => self.unheard.push(error),
            (Some(queue), Some(error)) => self.failed.push(Error::unavailable(
                ID,
                format!("of the queue {queue}, {}", error.detail()),
            )),
            (Some(_), None) => {}
        }
    }

    /// Whether it was handed on.
    ///
    /// Without a queue, one who was reached is enough, as in Go Micro: a subscriber that died must
    /// not fail all publishers until the registry has forgotten it.
    pub(super) fn into_result(mut self, topic: &str) -> Result<()> {
        if self.heard {
            for error in self.unheard.drain(..) {
                warn!(
                    topic,
                    error = error.detail(),
                    "a subscriber was not reached"
                );
            }
            // Each event would tell of them again.
            self.spared.clear();
        }
        self.failed.append(&mut self.unheard);
        self.failed.append(&mut self.spared);
        if self.failed.is_empty() {
            return Ok(());
        }
        let mut words: Vec<_> = self.failed.iter().take(TOLD).map(Error::detail).collect();
        let more = format!("{} more", self.failed.len().saturating_sub(TOLD));
        if self.failed.len() > TOLD {
            words.push(&more);
        }
        let error = Error::unavailable(ID, format!("publishing {topic}: {}", words.join("; ")));
        Err(if self.taken {
            error
        } else {
            error.unprocessed()
        })
    }
}
