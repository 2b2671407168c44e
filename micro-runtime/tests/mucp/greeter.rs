//! The service of the captures, as the Go test peer has it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::tasks::Tasks;
use micro_runtime::{Context, Error, Receiver, Result, Sender};

use crate::generated::greeter::*;

/// A number that makes `Sum` wait a second before it answers.
pub const PAUSE: i64 = 100;
/// A number that makes `Sum` go on in another task.
pub const ELSEWHERE: i64 = 101;

/// A greeter that counts the handlers that run and those that were dropped before their end.
#[derive(Clone, Debug, Default)]
pub struct Peer {
    pub started: Arc<AtomicUsize>,
    pub dropped: Arc<AtomicUsize>,
}

/// Counts a handler, and its drop where it does not come to its end.
struct Watch<'a>(&'a Peer, bool);

impl Peer {
    fn watch(&self) -> Watch<'_> {
        self.started.fetch_add(1, Ordering::SeqCst);
        Watch(self, false)
    }

    pub fn started(&self) -> usize {
        self.started.load(Ordering::SeqCst)
    }

    pub fn dropped(&self) -> usize {
        self.dropped.load(Ordering::SeqCst)
    }
}

impl Watch<'_> {
    fn done(mut self) {
        self.1 = true;
    }
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if !self.1 && !std::thread::panicking() {
            self.0.dropped.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Greeter for Peer {
    async fn hello(&self, _cx: &Context, request: HelloRequest) -> Result<HelloResponse> {
        Ok(HelloResponse {
            msg: format!("Hello {}", request.name),
        })
    }

    async fn fail(&self, _cx: &Context, request: FailRequest) -> Result<HelloResponse> {
        let (id, detail) = ("greeter.fail", request.detail);
        Err(match &*request.kind {
            "notfound" => Error::not_found(id, detail),
            "internal" => Error::internal(id, detail),
            "timeout" => Error::timeout(id, detail),
            "plain" => Error::plain(detail),
            "custom" => Error::new(id, detail, 418),
            // As where a call of the handler's own has reached nobody.
            "unprocessed" => Error::unavailable(id, detail).unprocessed(),
            "panic" => panic!("{detail}"),
            kind => Error::bad_request(id, format!("unknown kind {kind:?}")),
        })
    }

    async fn sleep(&self, _cx: &Context, request: SleepRequest) -> Result<HelloResponse> {
        let watch = self.watch();
        let ms = u64::try_from(request.ms).unwrap_or_default();
        tokio::time::sleep(Duration::from_millis(ms)).await;
        watch.done();
        Ok(HelloResponse {
            msg: "slept".into(),
        })
    }

    async fn echo(&self, cx: &Context, _request: EchoRequest) -> Result<EchoResponse> {
        let text = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        Ok(EchoResponse {
            metadata: cx.metadata().iter().map(text).collect(),
            deadline_ns: cx
                .remaining()
                .map_or(0, |left| i64::try_from(left.as_nanos()).unwrap()),
        })
    }

    async fn count(
        &self,
        _cx: &Context,
        request: CountRequest,
        mut out: Sender<CountResponse>,
    ) -> Result<()> {
        let watch = self.watch();
        for n in 1..=request.to {
            out.send(CountResponse { n }).await?;
        }
        watch.done();
        if request.fail {
            return Err(Error::conflict("greeter.count", "stream failed"));
        }
        Ok(())
    }

    async fn sum(
        &self,
        _cx: &Context,
        mut input: Receiver<SumRequest>,
        mut out: Sender<SumResponse>,
    ) -> Result<()> {
        let watch = self.watch();
        let mut total = 0;
        while let Some(next) = input.message().await? {
            if next.fail {
                watch.done();
                return Err(Error::conflict("greeter.sum", "stream failed"));
            }
            total += next.n;
            if next.n == PAUSE {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            if next.n == ELSEWHERE {
                // Both halves work in a task of their own from here on.
                let (done, ended) = tokio::sync::oneshot::channel();
                Tasks::new().spawn(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let mut sent = out.send(SumResponse { total }).await;
                    while let (Ok(()), Ok(Some(next))) = (&sent, input.message().await) {
                        total += next.n;
                        sent = out.send(SumResponse { total }).await;
                    }
                    let _ = done.send(sent);
                });
                let ended = ended.await;
                watch.done();
                return ended.unwrap_or(Ok(()));
            }
            out.send(SumResponse { total }).await?;
        }
        watch.done();
        Ok(())
    }

    async fn collect(&self, _cx: &Context, mut input: Receiver<SumRequest>) -> Result<SumResponse> {
        let watch = self.watch();
        let mut total = 0;
        while let Some(next) = input.message().await? {
            total += next.n;
            // A zero marks the end: a Go caller has no other way and wait for the reply.
            if next.n == 0 {
                break;
            }
        }
        watch.done();
        Ok(SumResponse { total })
    }
}
