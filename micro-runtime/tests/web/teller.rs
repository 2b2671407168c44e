//! The service that the tests call, and its server.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_runtime::call::Dispatch;
use micro_runtime::error::Detail;
use micro_runtime::protocol::{Grpc, Protocol, Web};
use micro_runtime::router::{Core, CoreOptions, Limits};
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use micro_runtime::{Context, Error, Receiver, Result, Sender};
use tokio::io::DuplexStream;
use tokio::sync::Notify;

pub use crate::generated::test::{Teller, TellerServer, Words};

pub fn words(text: &str) -> Words {
    Words {
        text: text.into(),
        ..Words::default()
    }
}

pub fn number(text: &str, big_number: i64) -> Words {
    Words {
        big_number,
        ..words(text)
    }
}

/// What a test sees of the handlers.
#[derive(Debug, Default)]
pub struct Probe {
    pub started: AtomicUsize,
    pub dropped: AtomicUsize,
    pub received: AtomicUsize,
    pub sent: AtomicUsize,
    /// Told at each change.
    pub news: Notify,
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

/// Counts that a handler did not come to its end.
struct Guard<'a>(&'a Probe);

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.add(&self.0.dropped);
    }
}

#[derive(Clone, Debug, Default)]
pub struct Handlers(pub Arc<Probe>);

pub fn full_error() -> Error {
    Error::not_found("teller.say", "no such <thing> \u{e9} \"\n")
        .with_detail(Detail {
            type_url: "type.googleapis.com/test.Words".into(),
            value: b"\x0a\x01x".to_vec().into(),
        })
        .with_metadata(micro_runtime::Metadata::from_iter([("retry-after", "3")]))
}

impl Teller for Handlers {
    async fn say(&self, cx: &Context, request: Words) -> Result<Words> {
        let probe = &*self.0;
        probe.add(&probe.started);
        let (what, arg) = request.text.split_once(' ').unwrap_or((&request.text, ""));
        match what {
            "error" => Err(full_error()),
            "code" => Err(Error::new("teller.say", "as asked", 500).with_grpc_code(arg.parse()?)),
            "metadata" => {
                cx.reply_metadata()
                    .set("Seen", "yes")
                    .set("raw-bin", "AAEC");
                cx.reply_trailers()
                    .set("Took", "long")
                    .set("end-bin", "AwQ");
                Ok(Words {
                    metadata: cx
                        .metadata()
                        .iter()
                        .map(|(key, value)| (key.to_owned(), value.to_owned()))
                        .collect(),
                    ..request
                })
            }
            "both" => {
                cx.reply_metadata().set("Seen", "yes");
                cx.reply_trailers().set("Took", "long");
                Err(Error::conflict("teller.say", "not now"))
            }
            "peer" => Ok(words(cx.peer().map_or("nobody", |peer| peer.protocol))),
            "remaining" => {
                let left = cx.remaining().map_or(-1, |left| left.as_millis() as i64);
                Ok(number("", left))
            }
            "wait" => {
                let _guard = Guard(probe);
                std::future::pending().await
            }
            "panic" => panic!("on purpose"),
            "size" => Ok(Words {
                data: vec![b'x'; arg.parse()?].into(),
                ..Words::default()
            }),
            _ => Ok(request),
        }
    }

    async fn look(&self, cx: &Context, request: Words) -> Result<Words> {
        self.say(cx, request).await
    }

    async fn count(&self, cx: &Context, request: Words, mut out: Sender<Words>) -> Result<()> {
        let probe = &*self.0;
        probe.add(&probe.started);
        cx.reply_metadata().set("Opening", "here");
        cx.reply_trailers()
            .set("Sum", request.big_number.to_string());
        let _guard = Guard(probe);
        for sent in 0..request.big_number {
            let mut message = number("", sent);
            message.data = request.data.clone();
            out.send(message).await?;
            probe.add(&probe.sent);
        }
        match &*request.text {
            "error" => Err(full_error()),
            "wait" => std::future::pending().await,
            _ => Ok(()),
        }
    }

    async fn collect(&self, cx: &Context, mut input: Receiver<Words>) -> Result<Words> {
        let probe = &*self.0;
        probe.add(&probe.started);
        let _guard = Guard(probe);
        let mut all = Words::default();
        while let Some(next) = input.message().await? {
            probe.add(&probe.received);
            all.big_number += next.big_number;
            all.text.push_str(&next.text);
            if next.text == "hold" {
                return std::future::pending().await;
            }
        }
        cx.reply_trailers().set("Done", "yes");
        Ok(all)
    }

    async fn talk(
        &self,
        _cx: &Context,
        mut input: Receiver<Words>,
        mut out: Sender<Words>,
    ) -> Result<()> {
        let probe = &*self.0;
        probe.add(&probe.started);
        let _guard = Guard(probe);
        let mut sum = 0;
        while let Some(next) = input.message().await? {
            probe.add(&probe.received);
            sum += next.big_number;
            if next.text == "stop" {
                return Err(Error::forbidden("teller.talk", "stopped"));
            }
            out.send(number(&next.text, sum)).await?;
        }
        Ok(())
    }
}

/// A server without a network.
pub struct Net {
    pub server: Arc<Server>,
    pub probe: Arc<Probe>,
}

impl Net {
    pub fn new() -> Self {
        Self::with(Grpc::new(), Limits::default())
    }

    pub fn with(settings: Grpc, limits: Limits) -> Self {
        let probe = Arc::new(Probe::default());
        let service = TellerServer::new(Handlers(probe.clone()));
        let mut options = CoreOptions::default();
        options.name = "test.teller".into();
        options.limits = limits;
        options.tasks = Tasks::new();
        let core = Core::new(options, [Arc::new(service) as Arc<dyn Dispatch>]).unwrap();
        let protocols: Vec<Arc<dyn Protocol>> =
            vec![Arc::new(settings.clone()), Arc::new(Web::with(settings))];
        let server = Arc::new(Server::new(core, protocols).unwrap());
        Self { server, probe }
    }

    /// A server whose pages of this origin may call.
    pub fn of_origin(origin: &str) -> Self {
        let mut settings = Grpc::new();
        settings.origins = vec![origin.into()];
        Self::with(settings, Limits::default())
    }

    pub fn connect(&self) -> DuplexStream {
        let (client, server) = tokio::io::duplex(64 * 1024);
        self.server
            .attach(Connection::new(server, "caller", "server"));
        client
    }
}
