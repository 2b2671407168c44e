//! Notes what is decided on a call's way, where it fails or was asked for that.

use std::borrow::Cow;
use std::sync::Arc;

use tokio::time::Instant;

use super::attempts::Attempts;
use super::destination::Destination;
use crate::call::{Request, Retry};
use crate::error::Error;
use crate::error::why::{
    Attempt, Cause, Choice, Failure, LeftOut, MAX_NAMED, Reason, Recorder, Refusal, Step, Why, Zone,
};
use crate::metadata::Text;
use crate::method::Method;
use crate::registry::{NodeEntry, Standing};
use crate::selector::{Strategy, census, side};
use crate::tasks::is_never;

/// How many nodes are looked at one by one.
pub(super) const LOOK: usize = 1024;
/// How many where a node has answered with an error: others are only counted then, since such errors
/// may be many, and no other node would have answered otherwise.
const COUNT: usize = 0;

/// The decisions of one call. Nothing is kept until a try has failed, unless the call was asked for
/// its decisions.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    why: Option<Box<Why>>,
    recorder: Option<Recorder>,
}

impl Decisions {
    /// Of a call that is asked for them where it has a recorder.
    pub(super) fn of(request: &Request) -> Self {
        Self {
            why: None,
            recorder: request.options.recorder.clone(),
        }
    }

    /// Whether the call was asked for its decisions, so that also what goes well is noted.
    pub(super) fn are_asked_for(&self) -> bool {
        self.recorder.is_some()
    }

    pub(super) fn note(&mut self, step: Step) {
        match &self.recorder {
            Some(recorder) => recorder.note(step),
            None => {
                let why = self.why.get_or_insert_with(|| {
                    let mut why = Box::<Why>::default();
                    // Most calls that fail are over with one try.
                    why.steps.reserve_exact(3);
                    why
                });
                why.push(step);
            }
        }
    }

    /// Notes how a try at a node with this id and address ended.
    pub(super) fn tried(&mut self, node: (Text, Text), times: Times, result: Result<(), &Error>) {
        self.ended(node, times, result.map_err(Failure::from));
    }

    /// Notes a try at a node that was given up, since the call has ended without it.
    pub(super) fn given_up(&mut self, node: (Text, Text), times: Times) {
        let failure = Failure {
            cause: Cause::GivenUp,
            code: 0,
            error: "given up: the call ended without it".to_owned(),
        };
        self.ended(node, times, Err(failure));
    }

    fn ended(&mut self, node: (Text, Text), times: Times, result: Result<(), Failure>) {
        let (id, address) = node;
        let began = times.tried_at.saturating_duration_since(times.started);
        let took = times.tried_at.elapsed();
        self.note(Step::Tried(Attempt::new(id, address, began, took, result)));
    }

    /// Notes why no further try is made after `error`, where a person would ask.
    pub(super) fn stopped(
        &mut self,
        error: &Error,
        retry: &Retry,
        tries: (u32, u32),
        times: Times,
    ) {
        let cause = Cause::of(error);
        // An answer is what the caller wanted, and nobody else gives another one.
        if matches!(cause, Cause::Answered | Cause::Own | Cause::GivenUp) {
            return;
        }
        if Instant::now() >= times.deadline {
            self.note(Step::Refused(Refusal::new("deadline", "no time is left")));
            return;
        }
        let (made, allowed) = tries;
        let words: Cow<'static, str> = match retry {
            _ if made >= allowed => match allowed {
                0 => "no retry is allowed".into(),
                1 => "the one retry that is allowed was made".into(),
                allowed => format!("all {allowed} retries that are allowed were made").into(),
            },
            Retry::Safe => "the call may have run, and is not marked as idempotent".into(),
            Retry::Never => "the retry policy is never".into(),
            Retry::GoMicro => "the retry policy of Go Micro takes timeouts only".into(),
            Retry::Custom(_) => "the call's own retry policy says stop".into(),
        };
        self.note(Step::Refused(Refusal::new("policy", words)));
    }

    /// The call's end, for who has asked.
    pub(super) fn finish(self, request: &Request, times: Times) {
        if let Some(recorder) = self.recorder {
            recorder.with(|why| fill(why, request, times));
        }
    }

    /// The error of the call with what led to it.
    pub(super) fn explain(self, error: Error, request: &Request, times: Times) -> Error {
        let mut why = match self.recorder {
            Some(recorder) => Box::new(recorder.why()),
            None => self.why.unwrap_or_default(),
        };
        fill(&mut why, request, times);
        error.with_why(why)
    }
}

/// How many nodes are looked at for the census of a call that failed with `error`.
pub(super) fn depth(error: &Error) -> usize {
    match Cause::of(error) {
        Cause::Answered => COUNT,
        _ => LOOK,
    }
}

/// When a call and its last try began.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub(super) started: Instant,
    pub(super) tried_at: Instant,
    /// The same on the directory's clock.
    pub(super) millis: u64,
    pub(super) deadline: Instant,
}

fn fill(why: &mut Why, request: &Request, times: Times) {
    why.service = request.service.clone();
    why.endpoint = endpoint(&request.method);
    let Times {
        started, deadline, ..
    } = times;
    why.limit = (!is_never(started, deadline)).then(|| deadline.saturating_duration_since(started));
    why.took = started.elapsed();
}

/// A method's endpoint as shared text: of generated code it is a constant.
pub(super) fn endpoint(method: &Method) -> Text {
    match &method.endpoint {
        Cow::Borrowed(name) => Text::from_static(name),
        Cow::Owned(name) => Text::from(name),
    }
}

impl Attempts {
    /// How the nodes stood for a try at `now`, which has gone to `chosen`. At most `depth` of them are
    /// looked at one by one.
    pub(super) fn census(
        &self,
        to: &Destination,
        request: &Request,
        tried: &[Arc<NodeEntry>],
        chosen: Option<&NodeEntry>,
        (now, depth): (u64, usize),
    ) -> Step {
        let options = &request.options;
        let select = options.selecting();
        let strategy = select.strategy.as_ref();
        let strategy = strategy.or(self.select.strategy.as_ref());
        let mut choice = Choice {
            node: chosen.map(|entry| self.channels.names(entry).0),
            strategy: strategy.map_or(Strategy::PowerOfTwo.name(), Strategy::name),
            ..Choice::default()
        };
        let given;
        let snapshot;
        let nodes = if options.addresses.is_empty() {
            snapshot = to.view.nodes();
            &*snapshot
        } else {
            given = self.directory.addresses(&options.addresses);
            &*given
        };
        if let Some(chosen) = chosen {
            (choice.canary, choice.zone) = self.side(to, request, chosen, now);
        }
        choice.known = nodes.list.len();
        choice.left = census(nodes, select, &self.select, depth, |entry, filter| {
            if chosen.is_some_and(|chosen| chosen.is_same(entry)) {
                return true;
            }
            let named = choice.out.len() < MAX_NAMED;
            let check = to.check.as_ref().filter(|_| options.addresses.is_empty());
            let difference = || check?.reason(entry, &request.method);
            let reason = match filter {
                Some(_) if !named => return false,
                Some(filter) => Reason::Filtered(format!("{filter:?}")),
                None => match difference().or_else(|| standing(entry, tried, now)) {
                    Some(reason) => reason,
                    None => return true,
                },
            };
            if named {
                let id = entry.id().to_owned();
                choice.out.push(LeftOut::new(id, reason));
            }
            false
        });
        Step::Chosen(choice)
    }

    /// On which side of a canary and of a zone a node is that was chosen.
    fn side(
        &self,
        to: &Destination,
        request: &Request,
        chosen: &NodeEntry,
        now: u64,
    ) -> (Option<bool>, Option<Zone>) {
        let options = &request.options;
        // Whoever names addresses has chosen the side.
        if !options.addresses.is_empty() {
            return (None, None);
        }
        let nodes = to.view.nodes();
        let ruling;
        let mut among = &*nodes;
        if let Some(check) = &to.check {
            ruling = self.rule(check, &nodes);
            if let Some(ruling) = &*ruling {
                among = ruling.nodes(check, &nodes, &request.method);
            }
        }
        side(among, options.selecting(), &self.select, chosen, now)
    }
}

/// What speaks against a node that passes all filters.
fn standing(entry: &NodeEntry, tried: &[Arc<NodeEntry>], now: u64) -> Option<Reason> {
    if tried.iter().any(|tried| tried.is_same(entry)) {
        return Some(Reason::Tried);
    }
    match entry.standing(now) {
        Standing::Ejected(left, cause, _) => Some(Reason::Ejected(left, cause)),
        Standing::Probed => Some(Reason::Probed),
        // Another call might have tried it; so might this one.
        Standing::In | Standing::OnTrial(_) => None,
    }
}
