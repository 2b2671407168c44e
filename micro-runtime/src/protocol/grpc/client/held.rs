//! Which methods' servers hold their head back until they have a message.
//!
//! A stream is open when the server's head is there: then its handler has taken the call, its
//! metadata is known, and a refusal that came in its place was tried elsewhere. Many servers, grpc-go's
//! among them, send none before their first message, and a handler may wait for ours first. So a head
//! is waited for, and not for long; and who was waited for in vain is not waited for again for a while.
//! That is noted by method and not by connection: one that watches for minutes says nothing about its
//! neighbours, and a new connection brings no new manners.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::tasks::later;

/// What was learned of one node.
#[derive(Debug, Default)]
pub(in crate::protocol::grpc) struct HeldBack(Mutex<BTreeMap<String, Instant>>);

/// How long a method is not waited for. A server that was only slow is waited for again then.
const FORGET: Duration = Duration::from_secs(300);
/// Of so many methods it is noted.
const MOST: usize = 256;

impl HeldBack {
    /// Whether the head of an answer by the method with this path may come before a message.
    pub(super) fn may_come(&self, path: &str) -> bool {
        let mut held = self.lock();
        match held.get(path) {
            None => true,
            Some(until) if *until > Instant::now() => false,
            Some(_) => {
                held.remove(path);
                true
            }
        }
    }

    /// Notes that it did not come in time.
    pub(super) fn note(&self, path: &str) {
        let now = Instant::now();
        let mut held = self.lock();
        if held.len() >= MOST {
            held.retain(|_, until| *until > now);
        }
        if held.len() < MOST {
            held.insert(path.to_owned(), later(now, FORGET));
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_was_waited_for_in_vain_is_not_waited_for_for_a_while() {
        let held = HeldBack::default();
        assert!(held.may_come("/a.A/B"));
        held.note("/a.A/B");
        assert!(!held.may_come("/a.A/B"));
        assert!(held.may_come("/a.A/C"));
        tokio::time::advance(FORGET).await;
        assert!(held.may_come("/a.A/B"));
        for number in 0..MOST + 10 {
            held.note(&number.to_string());
        }
        assert!(!held.may_come("0"));
        assert_eq!(held.lock().len(), MOST);
        tokio::time::advance(FORGET).await;
        held.note("/a.A/B");
        assert!(!held.may_come("/a.A/B"));
        assert_eq!(held.lock().len(), 1);
    }
}
