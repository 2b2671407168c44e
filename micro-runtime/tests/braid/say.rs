//! A service by hand, as generated code is, whose handlers do what a test asks for.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::call::{BoxFuture, Dispatch};
use micro_runtime::client::{Bidi, Call, ClientStream, ServerStream, Target, Unary};
use micro_runtime::codegen::{
    Form, Idempotency, Kind, Method, Payload, ServiceDescriptor, bytes, prost,
};
use micro_runtime::error::Detail;
use micro_runtime::{Context, Error, Metadata, Receiver, Reply, Request, Result, Sender, codegen};
use tokio::sync::Notify;

#[derive(Clone, PartialEq, prost::Message)]
#[prost(prost_path = "::micro_runtime::codegen::prost")]
pub struct Word {
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(uint64, tag = "2")]
    pub number: u64,
    #[prost(bytes = "bytes", tag = "3")]
    pub data: bytes::Bytes,
}

impl Payload for Word {
    fn proto_len(&self) -> usize {
        prost::Message::encoded_len(self)
    }
    fn encode_proto(&self, out: &mut bytes::BytesMut) {
        prost::Message::encode_raw(self, out);
    }
    fn merge_proto(&mut self, body: bytes::Bytes) -> Result<()> {
        codegen::merge_proto(self, body)
    }
    fn form(&self) -> Option<&dyn Form> {
        None
    }
    fn form_mut(&mut self) -> Option<&mut dyn Form> {
        None
    }
}

pub fn word(text: &str) -> Word {
    Word {
        text: text.into(),
        ..Word::default()
    }
}

pub fn sized(text: &str, size: usize) -> Word {
    Word {
        text: text.into(),
        number: size as u64,
        data: vec![7; size].into(),
    }
}

const fn method(endpoint: &'static str, path: &'static str, kind: Kind, index: u16) -> Method {
    Method::new("test", endpoint, path, kind, Idempotency::Unknown, index)
}

pub static METHODS: [Method; 4] = [
    method("Say.Hello", "/test.Say/Hello", Kind::Unary, 0),
    method("Say.Count", "/test.Say/Count", Kind::ServerStream, 1),
    method("Say.Collect", "/test.Say/Collect", Kind::ClientStream, 2),
    method("Say.Sum", "/test.Say/Sum", Kind::Bidi, 3),
];

static DESCRIPTOR: ServiceDescriptor =
    ServiceDescriptor::new("Say", "test.Say", &METHODS, &[], &[]);

/// What a test sees of the handlers.
#[derive(Debug, Default)]
pub struct Probe {
    pub started: AtomicUsize,
    pub dropped: AtomicUsize,
    /// Handlers that were dropped with their context marked as cancelled.
    pub cancelled: AtomicUsize,
    /// Told at each start, drop, and message that a stream has taken.
    pub news: Notify,
    /// Handlers that wait go on when told.
    pub go: Notify,
    pub received: AtomicUsize,
    pub sent: AtomicUsize,
    /// Handlers that take the free lock below and were not ready at their first poll.
    pub pending: AtomicUsize,
    pub lock: tokio::sync::Mutex<()>,
    /// The input of a stream that lends it, for a unary handler to take.
    pub lent: std::sync::Mutex<Option<Receiver<Word>>>,
}

impl Probe {
    /// Waits until `done` is true of what is counted.
    pub async fn until(&self, done: impl Fn(&Self) -> bool) {
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            news.as_mut().enable();
            if done(self) {
                return;
            }
            news.await;
        }
    }

    fn add(&self, counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::SeqCst);
        self.news.notify_waiters();
    }
}

pub fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}

/// Counts how a handler ended that did not come to its end.
struct Guard<'a> {
    probe: &'a Probe,
    cx: &'a Context,
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        if self.cx.is_cancelled() {
            self.probe.cancelled.fetch_add(1, Ordering::SeqCst);
        }
        self.probe.add(&self.probe.dropped);
    }
}

#[derive(Clone, Debug, Default)]
pub struct Say(pub Arc<Probe>);

impl Say {
    async fn hello(&self, cx: &Context, request: Word) -> Result<Word> {
        let probe = &*self.0;
        probe.add(&probe.started);
        let (what, arg) = request.text.split_once(' ').unwrap_or((&request.text, ""));
        match what {
            "panic" => panic!("on purpose"),
            "error" => Err(full_error()),
            "plain" => Err(Error::plain("only words")),
            "borrowed" => Err(Error::unavailable("elsewhere", "not reached").unprocessed()),
            "metadata" => {
                let text = cx
                    .metadata()
                    .iter()
                    .map(|(k, v)| format!("{k}={v};"))
                    .collect();
                cx.reply_metadata().set("Seen", "yes").set("Also", "this");
                cx.reply_trailers().set("Took", "long");
                Ok(Word { text, ..request })
            }
            "peer" => Ok(word(cx.peer().map_or("nobody", |peer| peer.protocol))),
            "remaining" => {
                let left = cx
                    .remaining()
                    .map_or(u64::MAX, |left| left.as_micros() as u64);
                Ok(Word {
                    number: left,
                    ..request
                })
            }
            "wait" => {
                let _guard = Guard { probe, cx };
                probe.go.notified().await;
                Ok(request)
            }
            "sleep" => {
                tokio::time::sleep(Duration::from_millis(arg.parse()?)).await;
                Ok(request)
            }
            "yield" => {
                tokio::task::yield_now().await;
                Ok(request)
            }
            "take" => Ok(word(match probe.lent.lock().unwrap().take() {
                Some(_input) => "taken",
                None => "nothing was lent",
            })),
            "mutex" => {
                let mut free = std::pin::pin!(probe.lock.lock());
                let mut first = true;
                let held = std::future::poll_fn(|task| {
                    let polled = free.as_mut().poll(task);
                    if std::mem::take(&mut first) && polled.is_pending() {
                        probe.pending.fetch_add(1, Ordering::SeqCst);
                    }
                    polled
                })
                .await;
                drop(held);
                Ok(request)
            }
            "reply" => Ok(sized(arg, request.number as usize)),
            "much" => {
                for i in 0..300 {
                    cx.reply_metadata().set(format!("key-{i}"), "value");
                }
                Ok(request)
            }
            _ => Ok(request),
        }
    }

    async fn count(&self, cx: &Context, request: Word, mut out: Sender<Word>) -> Result<()> {
        let probe = &*self.0;
        probe.add(&probe.started);
        cx.reply_metadata().set("Opening", "here");
        cx.reply_trailers().set("Sum", request.number.to_string());
        let _guard = Guard { probe, cx };
        for number in 0..request.number {
            out.send(Word {
                number,
                ..Word::default()
            })
            .await?;
            probe.add(&probe.sent);
        }
        match &*request.text {
            "fail" => Err(Error::conflict("say.count", "no more")),
            "wait" => std::future::pending().await,
            "late" => {
                tokio::task::yield_now().await;
                cx.reply_metadata().set("Late", "yes");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    async fn collect(&self, cx: &Context, mut input: Receiver<Word>) -> Result<Word> {
        let probe = &*self.0;
        probe.add(&probe.started);
        let _guard = Guard { probe, cx };
        let mut all = Word::default();
        while let Some(next) = input.message().await? {
            probe.add(&probe.received);
            all.number += next.number;
            all.text.push_str(&next.text);
            if next.text == "enough" {
                return Ok(all);
            }
            if next.text == "hold" {
                probe.go.notified().await;
            }
        }
        cx.reply_trailers().set("Done", "yes");
        Ok(all)
    }

    async fn sum(
        &self,
        cx: &Context,
        mut input: Receiver<Word>,
        mut out: Sender<Word>,
    ) -> Result<()> {
        let probe = &*self.0;
        probe.add(&probe.started);
        let _guard = Guard { probe, cx };
        let mut sum = 0;
        while let Some(next) = input.message().await? {
            probe.add(&probe.received);
            sum += next.number;
            match &*next.text {
                "stop" => return Err(Error::forbidden("say.sum", "stopped")),
                "lend" => {
                    *probe.lent.lock().unwrap() = Some(input);
                    return std::future::pending().await;
                }
                "deaf" => {
                    drop(input);
                    probe.go.notified().await;
                    out.send(Word {
                        number: sum,
                        ..Word::default()
                    })
                    .await?;
                    return Ok(());
                }
                _ => {}
            }
            out.send(Word {
                number: sum,
                ..next
            })
            .await?;
        }
        Ok(())
    }
}

pub fn full_error() -> Error {
    Error::not_found("say.hello", "no such <thing> é")
        .with_status("Gone fishing")
        .with_grpc_code(5)
        .with_detail(Detail {
            type_url: "type.test/One".into(),
            value: vec![1, 2, 3].into(),
        })
        .with_detail(Detail {
            type_url: "type.test/Two".into(),
            value: bytes::Bytes::new(),
        })
        .with_metadata(Metadata::from_iter([("Retry-After", "3"), ("Empty", "")]))
}

impl Dispatch for Say {
    fn descriptor(&self) -> &'static ServiceDescriptor {
        &DESCRIPTOR
    }

    fn call(&self, index: u16, request: Request) -> BoxFuture<Result<Reply>> {
        let this = self.clone();
        match index {
            0 => codegen::unary(request, move |cx, request| async move {
                this.hello(&cx, request).await
            }),
            1 => codegen::server_stream(request, move |cx, request, out| async move {
                this.count(&cx, request, out).await
            }),
            2 => codegen::client_stream(request, move |cx, input| async move {
                this.collect(&cx, input).await
            }),
            3 => codegen::bidi(request, move |cx, input, out| async move {
                this.sum(&cx, input, out).await
            }),
            _ => codegen::no_such_method(&DESCRIPTOR, index),
        }
    }
}

#[derive(Clone, Debug)]
pub struct SayClient(pub Target);

impl SayClient {
    pub fn hello(&self, request: Word) -> Call<Unary<Word, Word>> {
        self.0.unary(&METHODS[0], request)
    }
    pub fn count(&self, request: Word) -> Call<ServerStream<Word, Word>> {
        self.0.server_stream(&METHODS[1], request)
    }
    pub fn collect(&self) -> Call<ClientStream<Word, Word>> {
        self.0.client_stream(&METHODS[2])
    }
    pub fn sum(&self) -> Call<Bidi<Word, Word>> {
        self.0.bidi(&METHODS[3])
    }
}
