//! The server that is attacked, and those who call it meanwhile.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use micro_runtime::registry::Memory;
use micro_runtime::router::Limits;
use micro_runtime::{Context, Receiver, Result, Sender, Service};
use micro_tests::child::{Child, listens, memory};
use micro_tests::proto::greeter::{
    CountRequest, CountResponse, EchoRequest, EchoResponse, FailRequest, Greeter, GreeterClient,
    GreeterServer, HelloRequest, HelloResponse, SleepRequest, SumRequest, SumResponse,
};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::time::{sleep, timeout};

/// The variable that tells the child its limits.
const LIMITS: &str = "MICRO_TESTS_FLOODS_LIMITS";
/// How long a call of somebody else may take. Test machines are slow, and this is far below what any
/// caller waits by default.
const PATIENCE: Duration = Duration::from_secs(10);

/// What others call it over meanwhile.
const PROTOCOLS: [&str; 3] = ["mucp", "grpc", "braid"];

/// A server in a process of its own.
pub struct Victim {
    child: Child,
    /// What it held when nothing had happened yet.
    base: Held,
}

/// What a process holds, in KiB.
#[derive(Clone, Copy, Debug)]
pub struct Held {
    /// At most, so far.
    pub peak: u64,
    /// Now.
    pub now: u64,
}

/// Milliseconds and numbers of [`Limits`], as far as tests change them.
#[derive(Clone, Copy, Default)]
pub struct Changed {
    pub first_request: Option<u64>,
    pub request_read: Option<u64>,
    pub write: Option<u64>,
    pub connections: Option<u64>,
}

impl Changed {
    fn text(self) -> String {
        let all = [
            self.first_request,
            self.request_read,
            self.write,
            self.connections,
        ];
        let all = all.map(|value| value.map_or(String::new(), |value| value.to_string()));
        all.join(",")
    }

    fn limits(text: &str) -> Limits {
        let mut values = text.split(',').map(|value| value.parse::<u64>().ok());
        let mut limits = Limits::default();
        let mut time = |limit: &mut Duration| {
            if let Some(value) = values.next().flatten() {
                *limit = Duration::from_millis(value);
            }
        };
        time(&mut limits.first_request);
        time(&mut limits.request_read);
        time(&mut limits.write);
        if let Some(value) = values.next().flatten() {
            limits.connections = usize::try_from(value).unwrap();
        }
        limits
    }
}

impl Victim {
    /// A server with the default limits.
    pub fn start() -> Self {
        Self::with(Changed::default())
    }

    pub fn with(changed: Changed) -> Self {
        let child = Child::start("victim::serves", &[(LIMITS, &changed.text())]);
        let base = Held::of(child.process());
        Self { child, base }
    }

    pub async fn connect(&self) -> TcpStream {
        let socket = TcpStream::connect(self.child.address()).await.unwrap();
        socket.set_nodelay(true).unwrap();
        socket
    }

    /// What it holds more than at its start.
    pub fn more(&self) -> Held {
        let now = Held::of(self.child.process());
        Held {
            peak: now.peak.saturating_sub(self.base.peak),
            now: now.now.saturating_sub(self.base.now),
        }
    }

    /// Fails where it held, at any time, so many MiB more than at its start.
    pub fn assert_held(&self, what: &str, mib: u64) {
        let more = self.more();
        println!("{what}: {more}, {} bound {mib} MiB", self.base);
        assert!(more.peak < mib * 1024, "{what}: {more}");
    }

    /// Runs `flood` while others call over each protocol, which have had an answer before it begins:
    /// all of them must be answered.
    pub async fn floods<T>(&self, flood: impl Future<Output = T>) -> T {
        let mut callers = tokio::task::JoinSet::new();
        let answered = Arc::new(Barrier::new(PROTOCOLS.len() + 1));
        let (stop, _) = tokio::sync::watch::channel(false);
        for protocol in PROTOCOLS {
            let address = self.child.address().to_owned();
            let answered = answered.clone();
            let stopped = stop.subscribe();
            callers.spawn(async move {
                let (mut slowest, mut calls) = (Duration::ZERO, 0_u32);
                let service = Service::new("caller")
                    .registry(Memory::new())
                    .client_protocols([protocol])
                    .retries(0);
                let client = GreeterClient::new("greeter", service.client());
                loop {
                    let begun = Instant::now();
                    let call = client.hello(HelloRequest {
                        name: protocol.to_owned(),
                    });
                    let call = call.address(address.clone()).timeout(PATIENCE);
                    let reply = call
                        .await
                        .unwrap_or_else(|error| panic!("over {protocol}, call {calls}: {error}"));
                    assert_eq!(reply.msg, format!("Hello {protocol}"));
                    slowest = slowest.max(begun.elapsed());
                    calls += 1;
                    if calls == 1 {
                        answered.wait().await;
                    }
                    if *stopped.borrow() {
                        return (protocol, calls, slowest);
                    }
                    sleep(Duration::from_millis(5)).await;
                }
            });
        }
        // One that has no answer ends first, and says why.
        tokio::select! {
            biased;
            _ = answered.wait() => {}
            Some(ended) = callers.join_next() => panic!("nothing is flooded yet: {ended:?}"),
        }
        let done = flood.await;
        stop.send_replace(true);
        while let Some(ended) = callers.join_next().await {
            let (protocol, calls, slowest) = ended.unwrap();
            println!("  beside it {calls} calls over {protocol}, the slowest took {slowest:?}");
        }
        done
    }

    /// Waits until it holds at most so many MiB more than at its start.
    pub async fn settles(&self, mib: u64) {
        let settled = async {
            while self.more().now > mib * 1024 {
                sleep(Duration::from_millis(20)).await;
            }
        };
        let settled = timeout(Duration::from_secs(20), settled).await;
        assert!(settled.is_ok(), "it still holds {}", self.more());
    }
}

impl Held {
    fn of(process: u32) -> Self {
        Self {
            peak: memory(process, "VmHWM:"),
            now: memory(process, "VmRSS:"),
        }
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} KiB at most, {} KiB now;", self.peak, self.now)
    }
}

/// The child: serves until its standard input ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the server of the others"]
async fn serves() {
    let limits = std::env::var(LIMITS).expect("a test starts it");
    let running = Service::new("greeter")
        .registry(Memory::new())
        .limits(Changed::limits(&limits))
        .handle(GreeterServer::new(Attacked))
        .start()
        .await
        .unwrap();
    listens(running.address(), || {});
    std::future::pending().await
}

struct Attacked;

impl Greeter for Attacked {
    async fn hello(&self, _: &Context, request: HelloRequest) -> Result<HelloResponse> {
        // A reply as long as it is asked for, for who does not read it.
        let msg = match request.name.strip_prefix("long ") {
            Some(length) => "x".repeat(length.parse().unwrap_or_default()),
            None => format!("Hello {}", request.name),
        };
        Ok(HelloResponse { msg })
    }

    async fn fail(&self, _: &Context, request: FailRequest) -> Result<HelloResponse> {
        Ok(HelloResponse {
            msg: request.detail,
        })
    }

    async fn sleep(&self, _: &Context, request: SleepRequest) -> Result<HelloResponse> {
        sleep(Duration::from_millis(request.ms.unsigned_abs())).await;
        Ok(HelloResponse::default())
    }

    async fn echo(&self, _: &Context, _: EchoRequest) -> Result<EchoResponse> {
        Ok(EchoResponse::default())
    }

    async fn count(
        &self,
        _: &Context,
        request: CountRequest,
        mut out: Sender<CountResponse>,
    ) -> Result<()> {
        for n in 1..=request.to {
            out.send(CountResponse { n }).await?;
        }
        Ok(())
    }

    async fn sum(
        &self,
        _: &Context,
        mut input: Receiver<SumRequest>,
        mut out: Sender<SumResponse>,
    ) -> Result<()> {
        let mut total = 0;
        while let Some(SumRequest { n, .. }) = input.message().await? {
            total += n;
            out.send(SumResponse { total }).await?;
        }
        Ok(())
    }

    async fn collect(&self, cx: &Context, _unread: Receiver<SumRequest>) -> Result<SumResponse> {
        // Reads nothing: what comes is held, or the peer waits.
        cx.cancelled().await;
        Ok(SumResponse::default())
    }
}
