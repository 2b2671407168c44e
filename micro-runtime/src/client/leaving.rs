//! A try that leaves its node before its time is over, since the node was found to answer nobody.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::Ordering;

use tokio::time::{Instant, timeout_at};

use super::attempts::{Attempts, is_idempotent, too_late};
use super::destination::Destination;
use super::measure::Measure;
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

    /// Waits for `answer`, which has taken long, as long as a try may, or until the node is found to be
    /// silent and the call may `leave` it.
    pub(super) async fn wait_on(
        &self,
        to: &Destination,
        request: &Request,
        answer: impl Future<Output = Result<Reply>> + Unpin,
        measure: &Measure<'_>,
        leave: &mut Leave,
    ) -> Waited {
        let (entry, times) = (measure.entry, measure.times);
        // Before it is looked for: what is found out at once is not missed.
        let mut asked = entry.asked();
        self.waits_long(to, request, entry, times.millis);
        let mut answered = pin!(timeout_at(self.until(request, times), answer));
        while *leave != Leave::Never {
            if !entry.was_silent(times.millis) {
                tokio::select! {
                    biased;
                    answer = &mut answered => return Waited::of(answer.ok()),
                    () = asked => {}
                }
                asked = entry.asked();
            }
            let now = Instant::now();
            if too_late(now, times.deadline) {
                break;
            }
            let silent = entry.was_silent(times.millis);
            let unsent = request.dialling.load(Ordering::Relaxed);
            match *leave {
                Leave::Unsent | Leave::MayPay if unsent => return Waited::Left,
                Leave::MayPay if silent && self.pay(to, now).is_ok() => {
                    *leave = Leave::Paid;
                    return Waited::Left;
                }
                // A call that nobody pays another try for still has its own.
                _ if silent => break,
                _ => {}
            }
        }
        Waited::of(answered.await.ok())
    }
}

impl Waited {
    fn of(answer: Option<Result<Reply>>) -> Self {
        answer.map_or(Self::InVain, Self::Answered)
    }
}
