//! The greeter's handlers: those of the Go peer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use micro_runtime::context::Context;
use micro_runtime::{Error, Receiver, Result, Sender, Service};
use tokio::time::sleep;

use super::args::Args;
use crate::proto::greeter::{
    CountRequest, CountResponse, EchoRequest, EchoResponse, FailRequest, Greeter as Handlers,
    GreeterClient, HelloRequest, HelloResponse, SleepRequest, SumRequest, SumResponse,
};

/// Serves `proto/greeter.proto`.
pub(super) struct Greeter {
    pace: Duration,
    hold: Duration,
    trace: bool,
    flaky: u64,
    /// How many Hellos there were.
    hellos: AtomicU64,
    next: Option<Next>,
}

/// Another greeter that Sleep and Echo are passed on to.
struct Next {
    greeter: GreeterClient,
    address: String,
}

impl Greeter {
    /// A greeter as the flags want it.
    pub(super) fn new(args: &Args) -> Result<Self> {
        let next = args.next.as_ref().map(|address| {
            let service = Service::new("micro-interop")
                .registry(micro_runtime::registry::Memory::new())
                .client_protocols(args.next_protocol().names());
            Next {
                greeter: GreeterClient::new("greeter", service.client()),
                address: address.clone(),
            }
        });
        Ok(Self {
            pace: args.pace,
            hold: args.hold,
            trace: args.trace,
            flaky: args.flaky,
            hellos: AtomicU64::new(0),
            next,
        })
    }
}

impl Handlers for Greeter {
    async fn hello(&self, _cx: &Context, request: HelloRequest) -> Result<HelloResponse> {
        if self.trace {
            println!("RAN {}", request.name);
        }
        pause(self.hold).await;
        let before = self.hellos.fetch_add(1, Ordering::Relaxed);
        // Spread evenly: the share grows by one whole call where one is to fail.
        if (before + 1) * self.flaky / 100 > before * self.flaky / 100 {
            return Err(Error::timeout("greeter.hello", "flaky"));
        }
        Ok(HelloResponse {
            msg: format!("Hello {}", request.name),
        })
    }

    async fn fail(&self, _cx: &Context, request: FailRequest) -> Result<HelloResponse> {
        const ID: &str = "greeter.fail";
        let FailRequest { kind, detail } = request;
        Err(match &*kind {
            "notfound" => Error::not_found(ID, detail),
            "internal" => Error::internal(ID, detail),
            "timeout" => Error::timeout(ID, detail),
            "plain" => Error::plain(detail),
            "custom" => Error::new(ID, detail, 418),
            "panic" => panic!("{detail}"),
            // The words of Go's context.DeadlineExceeded.
            "ctx" => Error::plain("context deadline exceeded"),
            _ => Error::bad_request(ID, format!("unknown kind {kind:?}")),
        })
    }

    async fn sleep(&self, cx: &Context, request: SleepRequest) -> Result<HelloResponse> {
        let mut traced = self.trace.then(|| Traced::begin(cx));
        let slept = match &self.next {
            Some(next) => {
                next.greeter
                    .sleep(request)
                    .address(next.address.clone())
                    .await
            }
            None => {
                sleep(Duration::from_millis(
                    u64::try_from(request.ms).unwrap_or(0),
                ))
                .await;
                Ok(HelloResponse {
                    msg: "slept".to_owned(),
                })
            }
        };
        if let Some(traced) = &mut traced {
            traced.done = true;
        }
        slept
    }

    async fn echo(&self, cx: &Context, request: EchoRequest) -> Result<EchoResponse> {
        if let Some(next) = &self.next {
            return next
                .greeter
                .echo(request)
                .address(next.address.clone())
                .await;
        }
        Ok(EchoResponse {
            metadata: cx
                .metadata()
                .iter()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
            deadline_ns: cx
                .remaining()
                .map_or(0, |left| i64::try_from(left.as_nanos()).unwrap_or(i64::MAX)),
        })
    }

    async fn count(
        &self,
        _cx: &Context,
        request: CountRequest,
        mut out: Sender<CountResponse>,
    ) -> Result<()> {
        for n in 1..=request.to {
            out.send(CountResponse { n }).await?;
            pause(self.pace).await;
        }
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
        let mut total = 0;
        while let Some(SumRequest { n, fail }) = input.message().await? {
            if fail {
                return Err(Error::conflict("greeter.sum", "stream failed"));
            }
            total += n;
            out.send(SumResponse { total }).await?;
        }
        Ok(())
    }

    async fn collect(&self, _cx: &Context, mut input: Receiver<SumRequest>) -> Result<SumResponse> {
        let mut total = 0;
        while let Some(SumRequest { n, .. }) = input.message().await? {
            total += n;
            // Go's callers end with a zero and wait: they cannot end their half of a mucp stream.
            if n == 0 {
                break;
            }
        }
        pause(self.pace).await;
        Ok(SumResponse { total })
    }
}

/// Prints an event: `EVENT` and a line of JSON.
pub(super) async fn event(cx: Context, event: HelloRequest) -> Result<()> {
    let metadata: serde_json::Map<_, _> = cx
        .metadata()
        .iter()
        .map(|(key, value)| (key.to_owned(), value.into()))
        .collect();
    let event = serde_json::json!({ "metadata": metadata, "name": event.name });
    println!("EVENT {event}");
    Ok(())
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        sleep(time).await;
    }
}

/// Prints when a handler begins and how it ends, also where its future is dropped.
struct Traced {
    done: bool,
}

impl Traced {
    fn begin(cx: &Context) -> Self {
        let left = cx.remaining().map_or(-1, |left| {
            i64::try_from(left.as_nanos()).unwrap_or(i64::MAX)
        });
        println!("BEGIN {left}");
        Self { done: false }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        println!("{}", if self.done { "DONE" } else { "DROPPED" });
    }
}
