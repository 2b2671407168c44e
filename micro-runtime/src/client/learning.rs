//! What calls tell about the nodes that they went to.

use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::attempts::Attempts;
use super::decisions::Times;
use super::destination::Destination;
use super::outlier::Peers;
use super::probe::{Clock, Probe, takes};
use crate::call::Request;
use crate::error::Error;
use crate::error::why::Cause;
use crate::registry::{Found, NodeEntry, Verdict, Weight};
use crate::tasks::later;

impl Attempts {
    /// Tells the node's entry that a try that began at `tried_at` was answered: that it has answered
    /// since the try began is all that is noted.
    pub(super) fn answered(&self, entry: &NodeEntry, tried_at: Instant) {
        entry.restore(self.directory.millis(tried_at));
    }

    /// Tells the node's entry what the failure of its last try says about it.
    pub(super) fn failed(
        &self,
        to: &Destination,
        request: &Request,
        entry: &Arc<NodeEntry>,
        error: &Error,
        times: Times,
    ) {
        let (began, now) = (self.directory.millis(times.tried_at), self.now());
        let cause = Cause::of(error);
        // Who is on trial must pass it, however short: where all callers are in a hurry, nobody else
        // would tell.
        let hurried = || !entry.is_failing() && self.is_hurried(request, times);
        let weight = match cause {
            Cause::Own => {
                // Nothing was tried.
                entry.release();
                return;
            }
            Cause::GivenUp => return,
            Cause::Unreachable if error.is_timeout() && hurried() => {
                // A caller's time says nothing against the node, unless nobody can reach it.
                self.suspect(to, request, entry, (began, now));
                return;
            }
            Cause::Unreachable => {
                if entry.eject(now) {
                    self.probe(request, entry, now, Probe::begin);
                }
                return;
            }
            Cause::Answered if !says_so(error) => {
                // An answer, whatever it says, proves it alive.
                entry.restore(began);
                entry.note_alive(now);
                return;
            }
            Cause::Answered | Cause::Refused => {
                entry.note_alive(now);
                Weight::Compared
            }
            Cause::Silent => {
                // A host that is gone swallows what is sent to it, and shows in no other way to calls
                // in a hurry.
                self.suspect(to, request, entry, (began, now));
                match hurried() {
                    true => Weight::Compared,
                    false => Weight::Own,
                }
            }
            _ => Weight::Shared,
        };
        if self.outliers.is_off() {
            return;
        }
        let outliers = &*self.outliers;
        let in_a_row = outliers.in_a_row;
        let verdict = entry.fails(weight, (began, now), in_a_row, outliers.volume);
        if verdict == Verdict::Borne {
            return;
        }
        let ejected = self.with_peers(to, request, |peers| {
            let worse = match verdict {
                Verdict::Compare(good, bad) => {
                    outliers.is_worse(peers.nodes, entry, (good, bad), now)
                }
                Verdict::Borne | Verdict::Eject => true,
            };
            let why = (cause, Found::Calls);
            worse && peers.eject(entry, why, (now, outliers), &self.tasks)
        });
        if ejected {
            self.probe(request, entry, now, Probe::begin);
        }
    }

    /// Looks what is wrong with a node of which a try that began at `began` has heard nothing for long.
    #[cold]
    pub(super) fn waits_long(
        &self,
        to: &Destination,
        request: &Request,
        entry: &Arc<NodeEntry>,
        began: Instant,
    ) {
        let times = (self.directory.millis(began), self.now());
        self.suspect(to, request, entry, times);
    }

    /// Has a node asked whether it answers, unless it has answered since `began`. Calls go elsewhere
    /// meanwhile, where there is somewhere.
    fn suspect(
        &self,
        to: &Destination,
        request: &Request,
        entry: &Arc<NodeEntry>,
        (began, now): (u64, u64),
    ) {
        if entry.answers(began) || entry.is_failing() || !entry.suspect() {
            return;
        }
        if !self.outliers.is_off() {
            self.with_peers(to, request, |peers| {
                let leave = || {
                    entry.begin_probe(now, takes(&self.outliers));
                    true
                };
                let limits = (now, &*self.outliers);
                peers.share.take(peers.nodes, entry, limits, leave)
            });
        }
        let whose = (!entry.is_by_hand()).then(|| to.clone());
        let check = |probe: Probe| probe.check(entry.clone(), whose);
        self.probe(request, entry, now, check);
    }

    /// Whether the call had less time for its last try than the client gives a try: a caller's time
    /// says little against a node.
    fn is_hurried(&self, request: &Request, times: Times) -> bool {
        let usual = self.settings.attempt_timeout;
        let limit = request.options.attempt_timeout.unwrap_or(usual);
        let until = times.deadline.min(later(times.tried_at, limit));
        until < later(times.tried_at, usual)
    }

    /// Lets `look` see the nodes that the call could have gone to.
    fn with_peers<T>(
        &self,
        to: &Destination,
        request: &Request,
        look: impl FnOnce(Peers<'_>) -> T,
    ) -> T {
        let addresses = &request.options.addresses;
        if addresses.is_empty() {
            return look(Peers {
                nodes: &to.view.nodes(),
                share: &to.state.share,
            });
        }
        look(Peers {
            nodes: &self.directory.addresses(addresses),
            share: &self.by_hand,
        })
    }

    fn probe(&self, request: &Request, entry: &Arc<NodeEntry>, now: u64, go: impl FnOnce(Probe)) {
        let Ok(transport) = self.channels.transport(entry) else {
            entry.acquit(None);
            return;
        };
        go(Probe {
            // Addresses given by hand are kept long after their last call.
            entry: match entry.is_by_hand() {
                true => Weak::new(),
                false => Arc::downgrade(entry),
            },
            clock: Clock::at(now),
            transport: transport.clone(),
            tasks: self.tasks.clone(),
            outliers: self.outliers.clone(),
            service: Arc::from(&*request.service),
        });
    }

    fn now(&self) -> u64 {
        self.directory.millis(Instant::now())
    }
}

/// Whether an answer says that the node could not do its work: a handler's 500 may be the request's
/// fault, and most likely is any node's.
pub(super) fn says_so(error: &Error) -> bool {
    matches!(error.code(), 408 | 429 | 502..=504)
}
