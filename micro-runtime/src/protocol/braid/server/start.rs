//! How a handler starts: polled by the reader, or in a task of its own.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context as Task, Poll, Waker};

use tokio::time::Instant;

use super::super::flow::Flow;
use super::super::wire::CallId;
use super::session::Session;
use super::stream::Opened;
use crate::call::Request;
use crate::context::Context;
use crate::router::{Core, Pace, Route, Serving};

/// Polls a unary handler once, and spawns it where it waits; says whether the queue of replies is full.
///
/// No lock is held here: the handler may do anything.
pub(super) fn poll_unary(
    mut serving: Serving,
    id: CallId,
    session: &Arc<Session>,
    core: &Core,
) -> bool {
    // Nobody is woken by this poll: a handler that is pending is polled again at once, in its task.
    let mut task = Task::from_waker(Waker::noop());
    if let Poll::Ready(answer) = Pin::new(&mut serving).poll(&mut task) {
        return match session.answer(id, answer) {
            Ok(full) => full,
            Err(answer) => {
                // It waits until other long replies are sent, and the reader does not wait for it.
                let cx = serving.context().clone();
                let answers = session.clone();
                in_its_own_task(id, cx, session, core, async move {
                    answers.answer_in_turn(id, answer).await;
                });
                false
            }
        };
    }
    spawn_unary(serving, None, id, session, core);
    false
}

/// Runs a unary handler to its end in a task of its own; with `pace`, one that was not polled yet.
pub(super) fn spawn_unary(
    serving: Serving,
    pace: Option<Arc<Pace>>,
    id: CallId,
    session: &Arc<Session>,
    core: &Core,
) {
    let cx = serving.context().clone();
    let answers = session.clone();
    in_its_own_task(id, cx, session, core, async move {
        let answer = match pace {
            Some(pace) => pace.run(serving.finish()).await,
            None => serving.finish().await,
        };
        let answer = answers.prepare(answer);
        answers.answer_in_turn(id, answer).await;
    });
}

fn in_its_own_task(
    id: CallId,
    cx: Context,
    session: &Session,
    core: &Core,
    work: impl Future<Output = ()> + Send + 'static,
) {
    session.run(id, cx, None);
    let abort = core.tasks().spawn(work);
    session.set_abort(id, abort);
}

/// Starts a stream's handler in its own task: its first input is not there yet.
pub(super) fn start_stream(
    route: &Route,
    now: Instant,
    request: Request,
    stream: Arc<Opened>,
    flow: Arc<Flow>,
    core: &Core,
) -> bool {
    let (id, session) = (stream.id, stream.session.clone());
    let serving = match route.start_at(now, request) {
        Ok(serving) => serving,
        Err(error) => return session.fail(id, error),
    };
    session.run(id, serving.context().clone(), Some(flow));
    let abort = core.tasks().spawn(stream.finish(serving));
    session.set_abort(id, abort);
    false
}
