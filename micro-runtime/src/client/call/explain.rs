//! Calls that tell why they went where they went, and the last word on each error's decisions.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::task::{Context as Task, Poll, ready};

use tokio::time::Instant;

use super::{Bidi, Call, ClientStream, Full, Pending, ServerStream, Target, Unary, Upload};
use crate::call::{Origin, Payload, Receiver, Reply, Sender};
use crate::client::decisions::endpoint;
use crate::context::Peer;
use crate::error::why::{Cause, Failure, Recorder, Step};
use crate::error::{Error, Result, Why};
use crate::method::MethodRef;

impl<K> Call<K> {
    /// Also tells how the call went to where it went, whether it succeeds or fails.
    ///
    /// Only a call that is asked so notes what goes well; an error has its decisions by itself
    /// ([`Error::why`]).
    /// ```no_run
    /// # async fn example(service: micro_runtime::Service) -> micro_runtime::Result<()> {
    /// use micro_runtime::call::Frame;
    ///
    /// let greeter = service.client().target("greeter");
    /// let explained = greeter
    ///     .unary::<_, Frame>("Say.Hello", Frame(r#"{"name":"John"}"#.into()))
    ///     .content_type("application/json")
    ///     .explain()
    ///     .await;
    /// println!("{}", explained.why);
    /// let reply = explained.result?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn explain(mut self) -> Explain<Self> {
        let recorder = Recorder::default();
        self.options.recorder = Some(recorder.clone());
        Explain {
            call: self,
            recorder,
        }
    }
}

impl<K> Full<K> {
    /// As [`Call::explain`].
    pub fn explain(self) -> Explain<Self> {
        let Explain { call, recorder } = self.0.explain();
        Explain {
            call: Self(call),
            recorder,
        }
    }
}

/// A call that is asked for its decisions; see [`Call::explain`].
#[derive(Debug)]
#[must_use = "a call does nothing unless awaited"]
pub struct Explain<C> {
    call: C,
    recorder: Recorder,
}

/// What came of a call, and why it went where it went. Of a stream it is the opening.
#[derive(Debug)]
#[non_exhaustive]
pub struct Explained<T> {
    /// What the call would have given without being asked.
    pub result: Result<T>,
    /// Its decisions; of an error the same that it [carries](Error::why).
    pub why: Why,
}

/// A sent call that is asked for its decisions.
#[must_use = "futures do nothing unless awaited"]
pub struct PendingExplained<M, T> {
    pending: Pending<M>,
    recorder: Recorder,
    sent: Instant,
    take: fn(Reply<M>) -> T,
}

impl<M, T> fmt::Debug for PendingExplained<M, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PendingExplained")
    }
}

impl<M, T> Future for PendingExplained<M, T> {
    type Output = Explained<T>;

    fn poll(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let result = ready!(Pin::new(&mut this.pending).poll(task));
        let took = this.sent.elapsed();
        let mut why = this.recorder.why();
        this.pending.called.name(&mut why);
        let result = match result {
            Ok(reply) => {
                why.took = took;
                why.tell(None);
                Ok((this.take)(reply))
            }
            Err(mut error) => {
                if let Some(own) = error.take_why() {
                    why.join(*own);
                }
                why.took = took;
                Err(this.pending.called.tell(error, why.clone()))
            }
        };
        Poll::Ready(Explained { result, why })
    }
}

fn explained<M, T>(
    pending: Pending<M>,
    recorder: Recorder,
    take: fn(Reply<M>) -> T,
) -> PendingExplained<M, T> {
    PendingExplained {
        pending,
        recorder,
        // Encoding is over by now, and nothing was sent yet: a call is sent when it is first polled.
        sent: Instant::now(),
        take,
    }
}

macro_rules! into_future {
    ($kind:ident<$q:ident, $r:ident> => $output:ty) => {
        impl<$q: Payload, $r: Payload + Default> IntoFuture for Explain<Call<$kind<$q, $r>>> {
            type Output = Explained<$output>;
            type IntoFuture = PendingExplained<$output, $output>;

            fn into_future(self) -> Self::IntoFuture {
                let pending = self.call.full().into_future();
                explained(pending, self.recorder, |reply| reply.message)
            }
        }

        impl<$q: Payload, $r: Payload + Default> IntoFuture for Explain<Full<$kind<$q, $r>>> {
            type Output = Explained<Reply<$output>>;
            type IntoFuture = PendingExplained<$output, Reply<$output>>;

            fn into_future(self) -> Self::IntoFuture {
                explained(self.call.into_future(), self.recorder, |reply| reply)
            }
        }
    };
}

into_future!(Unary<Q, R> => R);
into_future!(ServerStream<Q, R> => Receiver<R>);
into_future!(ClientStream<Q, R> => Upload<Q, R>);
into_future!(Bidi<Q, R> => (Sender<Q>, Receiver<R>));

/// What a sent call is, for the decisions of its error: the outermost place, which also errors of
/// wrappers pass, and those of encoding and decoding.
pub(super) struct Called {
    pub(super) target: Target,
    pub(super) method: MethodRef,
    pub(super) recorder: Option<Recorder>,
}

impl Called {
    /// The error of the call with its decisions, which are told unless somebody has asked for them:
    /// then that is done later.
    #[cold]
    pub(super) fn failed(&self, mut error: Error) -> Error {
        let mut why = error.take_why().unwrap_or_default();
        self.name(&mut why);
        match self.recorder {
            Some(_) => error.with_why(why),
            None => self.tell(error, why),
        }
    }

    /// The error of the call with all its decisions, which are told, and kept for who looks.
    fn tell(&self, error: Error, why: impl Into<Box<Why>>) -> Error {
        let why = why.into();
        why.tell(Some(&error));
        let error = error.with_why(why);
        self.target.0.defaults.failures.note(&error);
        error
    }

    /// The error of a call whose reply, which is of `origin`, cannot be read: its last try has failed
    /// after all.
    #[cold]
    pub(super) fn unread(&self, error: Error, origin: &Origin) -> Error {
        let error = error.or_caused_by(Cause::Garbled);
        let Some(recorder) = &self.recorder else {
            return origin.explain(error);
        };
        recorder.with(|why| {
            // Wrappers may have noted something since.
            let answered = why.steps.iter_mut().rev().find_map(|step| match step {
                Step::Tried(attempt) => Some(&mut attempt.result).filter(|result| result.is_ok()),
                _ => None,
            });
            if let Some(result) = answered {
                *result = Err(Failure::from(&error));
            }
        });
        error
    }

    /// The call, as of a reply.
    pub(super) fn origin(&self, peer: Option<Arc<Peer>>, began: Option<Instant>) -> Origin {
        Origin {
            service: self.target.0.service.clone(),
            endpoint: endpoint(&self.method),
            peer,
            began,
            failures: self.target.0.defaults.failures.clone(),
            told: AtomicBool::new(false),
        }
    }

    fn name(&self, why: &mut Why) {
        why.name(&self.target.0.service, || endpoint(&self.method));
    }
}
