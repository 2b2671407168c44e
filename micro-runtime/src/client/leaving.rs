//! A try that leaves its node before its time is over, since the node was found to answer nobody.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};

use super::attempts::{Attempts, is_idempotent};
use super::destination::Destination;
use crate::call::{Reply, Request, Retry};
use crate::error::Result;

/// Whether a try may leave its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Leave {
    /// No other try would follow.
    Never,
    /// Another node may be asked where nothing was sent to this one.
    Unsent,
    /// Another node may be asked, where the budget pays for that.
    MayPay,
    /// The budget has paid for the next try.
    Paid,
}

/// How waiting for an answer has ended.
pub(super) enum Waited {
    Answered(Result<Reply>),
    InVain,
    /// The node is silent, and the call goes elsewhere.
    Left,
}

impl Attempts {
    /// Whether a try of `request` may leave its node, where there are `more` tries to come.
    pub(super) fn may_leave(&self, request: &Request, more: bool) -> Leave {
        match self.settings.retry(&request.options) {
            Retry::Safe if more && is_idempotent(request) => Leave::MayPay,
            Retry::Safe if more => Leave::Unsent,
            _ => Leave::Never,
        }
    }

    /// Waits for `answer` until a time, or until the node is `found` to be silent and the call may leave.
    pub(super) async fn wait_on(
        &self,
        to: &Destination,
        request: &Request,
        answer: impl Future<Output = Result<Reply>> + Unpin,
        found: impl Future<Output = ()>,
        (until, leave): (Instant, &mut Leave),
    ) -> Waited {
        let mut answered = pin!(timeout_at(until, answer));
        tokio::select! {
            biased;
            answer = &mut answered => return Waited::of(answer.ok()),
            () = found => {}
        }
        let unsent = request.dialling.load(Ordering::Relaxed);
        match *leave {
            Leave::Unsent | Leave::MayPay if unsent => return Waited::Left,
            // A call that nobody pays another try for still has its own.
            Leave::MayPay if self.pay(to, Instant::now()).is_ok() => {
                *leave = Leave::Paid;
                return Waited::Left;
            }
            _ => {}
        }
        Waited::of(answered.await.ok())
    }
}

impl Waited {
    fn of(answer: Option<Result<Reply>>) -> Self {
        answer.map_or(Self::InVain, Self::Answered)
    }
}
