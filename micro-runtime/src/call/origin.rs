//! Which call a message came from, for the decisions of what fails after its answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Failures;
use crate::context::Peer;
use crate::error::why::{Attempt, Cause, Failure, Step};
use crate::error::{Error, Why};
use crate::metadata::Text;

/// A try that was answered.
#[derive(Debug)]
pub(crate) struct Origin {
    pub(crate) service: Text,
    pub(crate) endpoint: Text,
    pub(crate) peer: Option<Arc<Peer>>,
    pub(crate) began: Option<Instant>,
    /// Where the calls are kept that failed.
    pub(crate) failures: Arc<Failures>,
    /// Whether it was told how the stream has ended: its halves find the same.
    pub(crate) told: AtomicBool,
}

impl Origin {
    /// `error`, by which that try has failed after all. What cannot be read is the node's fault.
    #[cold]
    pub(crate) fn explain(&self, error: Error) -> Error {
        let mut why = self.why();
        if let Some(peer) = &self.peer {
            let node = match peer.node.is_empty() {
                true => &peer.address,
                false => &peer.node,
            };
            let (node, address) = (node.clone(), peer.address.clone());
            let result = Err(Failure::from(&error));
            let attempt = Attempt::new(node, address, Duration::ZERO, why.took, result);
            why.push(Step::Tried(attempt));
        }
        error.with_why(why)
    }

    fn why(&self) -> Why {
        Why {
            service: self.service.clone(),
            endpoint: self.endpoint.clone(),
            took: self.began.map(|began| began.elapsed()).unwrap_or_default(),
            ..Why::default()
        }
    }

    /// The error of a stream that has ended so.
    #[cold]
    pub(crate) fn ended(&self, error: Error) -> Error {
        if error.why().is_some() {
            return error;
        }
        let error = self.explain(error);
        if !self.told.swap(true, Ordering::Relaxed) {
            self.tell(&error);
        }
        error
    }

    /// The error of a message that cannot be read.
    #[cold]
    pub(crate) fn unread(&self, error: Error) -> Error {
        let error = self.explain(error.or_caused_by(Cause::Garbled));
        self.tell(&error);
        error
    }

    /// The error of a message that cannot be written: nothing of it was sent.
    #[cold]
    pub(crate) fn unwritten(&self, error: Error) -> Error {
        let error = error.or_caused_by(Cause::Own).with_why(self.why());
        self.tell(&error);
        error
    }

    fn tell(&self, error: &Error) {
        if let Some(why) = error.why() {
            why.tell(Some(error));
        }
        self.failures.note(error);
    }
}
