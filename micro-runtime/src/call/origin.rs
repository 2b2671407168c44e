//! Which call a message came from, for the decisions of what fails after its answer.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::context::Peer;
use crate::error::why::{Attempt, Cause, Failure, Step};
use crate::error::{Error, Why};
use crate::metadata::Text;

/// A try that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Origin {
    pub(crate) service: Text,
    pub(crate) endpoint: Text,
    pub(crate) peer: Option<Arc<Peer>>,
    pub(crate) began: Option<Instant>,
}

impl Origin {
    /// `error`, by which that try has failed after all. What cannot be read is the node's fault.
    #[cold]
    pub(crate) fn explain(&self, error: Error) -> Error {
        let mut why = Why {
            service: self.service.clone(),
            endpoint: self.endpoint.clone(),
            took: self.began.map(|began| began.elapsed()).unwrap_or_default(),
            ..Why::default()
        };
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

    /// The error of a stream that has ended so.
    #[cold]
    pub(crate) fn ended(&self, error: Error) -> Error {
        if error.why().is_some() {
            return error;
        }
        let error = self.explain(error);
        if let Some(why) = error.why() {
            why.tell(Some(&error));
        }
        error
    }

    /// The error of a message that cannot be read.
    #[cold]
    pub(crate) fn unread(&self, error: Error) -> Error {
        self.explain(error.or_caused_by(Cause::Garbled))
    }
}
