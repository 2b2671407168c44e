//! Everything at once on one port, for a while: each protocol, unary calls and streams, new
//! connections, calls given up, deadlines, connections that are cut and callers that are killed. Each
//! call has exactly one answer or error, and in the end nothing is left: no task, no call, no
//! connection and no memory.
//!
//! Fifteen seconds, or as many as `MICRO_MIXED_SECONDS` says. What it did is printed (`--nocapture`).
#![allow(missing_docs)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::future::IntoFuture;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::registry::Memory;
use micro_runtime::tasks::Tasks;
use micro_runtime::{Context, Error, Receiver, Result, Sender, Service};
use micro_tests::cut::{Cut, How, Proxy, Side};
use micro_tests::proto::greeter::{
    CountRequest, CountResponse, EchoRequest, EchoResponse, FailRequest, Greeter, GreeterClient,
    GreeterServer, HelloRequest, HelloResponse, SleepRequest, SumRequest, SumResponse,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

/// What our clients speak.
const PROTOCOLS: [&str; 5] = ["mucp", "braid", "grpc", "connect", "grpc-web"];
/// No call takes longer, whatever happens to it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the child processes are told what to call.
const ADDRESS: &str = "MICRO_TESTS_MIXED_ADDRESS";
const READY: &str = "listening on ";
const COUNTS: &str = "counts ";
/// What the server may hold more at the end than after the first seconds, in KiB.
const KEPT: u64 = 48 * 1024;

fn seconds() -> Duration {
    let given = std::env::var("MICRO_MIXED_SECONDS").ok();
    let given = given.map(|given| given.parse().expect("a number of seconds"));
    Duration::from_secs(given.unwrap_or(15))
}

/// What a server has open and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Counts {
    /// Those that run for long, by protocol and method.
    handlers: String,
    tasks: u64,
    calls: u64,
    connections: u64,
    /// Calls of one name that ran twice.
    doubled: u64,
    /// In KiB.
    memory: u64,
}

/// Handlers that run, by protocol and method.
type Running = Arc<Mutex<BTreeMap<String, u64>>>;

/// Counts a handler as long as it lives.
struct Counted(Running, String);

impl Counted {
    fn new(running: &Running, cx: &Context, method: &str) -> Self {
        let protocol = cx.peer().map_or("none", |peer| peer.protocol);
        let name = format!("{protocol}/{method}");
        *running.lock().unwrap().entry(name.clone()).or_default() += 1;
        Self(running.clone(), name)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut running = self.0.lock().unwrap();
        let left = running.get_mut(&self.1).map(|count| {
            *count -= 1;
            *count
        });
        if left == Some(0) {
            running.remove(&self.1);
        }
    }
}

/// The server, in a process of its own.
struct Server {
    child: Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

fn this_test(name: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    command.stdin(Stdio::piped());
    command
}

impl Server {
    fn start() -> Self {
        let mut child = this_test("serves").stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = after(&mut lines, READY);
        Self {
            input: child.stdin.take().unwrap(),
            child,
            lines,
            address,
        }
    }

    fn counts(&mut self) -> Counts {
        self.input.write_all(b"\n").unwrap();
        let counts = after(&mut self.lines, COUNTS);
        let (numbers, handlers) = counts.split_once(" {").unwrap();
        let numbers = numbers.split(' ').map(|number| number.parse().unwrap());
        let numbers: Vec<u64> = numbers.collect();
        let handlers = handlers.trim_end_matches('}').to_owned();
        let [tasks, calls, connections, doubled, memory] = numbers[..] else {
            panic!("{counts}")
        };
        Counts {
            handlers,
            tasks,
            calls,
            connections,
            doubled,
            memory,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What follows `start` in the next line that has it.
fn after(lines: &mut Lines<BufReader<ChildStdout>>, start: &str) -> String {
    lines
        .find_map(|line| Some(line.unwrap().split_once(start)?.1.to_owned()))
        .expect("the server lives")
}

/// The server's process.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "the server of the other test"]
async fn serves() {
    let doubled = Doubled::default();
    let handlers = Running::default();
    let running = Service::new("greeter")
        .registry(Memory::new())
        .handle(GreeterServer::new(Mixed(doubled.clone(), handlers.clone())))
        .start()
        .await
        .unwrap();
    println!("{READY}{}", running.address());
    let core = running.core().clone();
    let (ask, mut asked) = tokio::sync::mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            line.unwrap();
            ask.blocking_send(()).unwrap();
        }
        std::process::exit(0);
    });
    while asked.recv().await.is_some() {
        let (tasks, calls) = (core.tasks().running(), core.running());
        let connections = running.connections();
        let twice = doubled.lock().unwrap().1;
        println!(
            "{COUNTS}{tasks} {calls} {connections} {twice} {} {:?}",
            memory(std::process::id()),
            handlers.lock().unwrap()
        );
    }
}

/// What a process holds, in KiB.
fn memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let value = line.and_then(|line| line.split_whitespace().next());
    value.unwrap().parse().unwrap()
}

/// The numbers of each caller that have come, and how many came twice.
type Doubled = Arc<Mutex<(BTreeMap<String, BTreeSet<u64>>, u64)>>;

struct Mixed(Doubled, Running);

impl Greeter for Mixed {
    async fn hello(&self, _: &Context, request: HelloRequest) -> Result<HelloResponse> {
        // `caller number`, each once.
        if let Some((caller, number)) = request.name.split_once(' ') {
            let number: u64 = number.parse().unwrap_or_default();
            let mut seen = self.0.lock().unwrap();
            let first = seen.0.entry(caller.to_owned()).or_default().insert(number);
            seen.1 += u64::from(!first);
        }
        Ok(HelloResponse {
            msg: format!("Hello {}", request.name),
        })
    }

    async fn fail(&self, _: &Context, request: FailRequest) -> Result<HelloResponse> {
        Err(Error::conflict("greeter", request.detail))
    }

    async fn sleep(&self, cx: &Context, request: SleepRequest) -> Result<HelloResponse> {
        let _counted = Counted::new(&self.1, cx, "sleep");
        sleep(Duration::from_millis(request.ms.unsigned_abs())).await;
        Ok(HelloResponse::default())
    }

    async fn echo(&self, _: &Context, _: EchoRequest) -> Result<EchoResponse> {
        Ok(EchoResponse::default())
    }

    async fn count(
        &self,
        cx: &Context,
        request: CountRequest,
        mut out: Sender<CountResponse>,
    ) -> Result<()> {
        let _counted = Counted::new(&self.1, cx, "count");
        for n in 1..=request.to {
            out.send(CountResponse { n }).await?;
        }
        Ok(())
    }

    async fn sum(
        &self,
        cx: &Context,
        mut input: Receiver<SumRequest>,
        mut out: Sender<SumResponse>,
    ) -> Result<()> {
        let _counted = Counted::new(&self.1, cx, "sum");
        let mut total = 0;
        while let Some(SumRequest { n, .. }) = input.message().await? {
            total += n;
            out.send(SumResponse { total }).await?;
        }
        Ok(())
    }

    async fn collect(&self, cx: &Context, mut input: Receiver<SumRequest>) -> Result<SumResponse> {
        let _counted = Counted::new(&self.1, cx, "collect");
        let mut total = 0;
        while let Some(SumRequest { n, .. }) = input.message().await? {
            total += n;
        }
        Ok(SumResponse { total })
    }
}

/// Numbers that look random and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// What became of calls.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    answered: u64,
    failed: u64,
    given_up: u64,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.answered += other.answered;
        self.failed += other.failed;
        self.given_up += other.given_up;
    }
}

/// Somebody who calls one thing after the other.
struct Caller {
    protocol: &'static str,
    address: String,
    name: String,
    /// Whether its connections may be cut, so that any call may fail.
    cut: bool,
    tasks: Tasks,
    random: Random,
    number: u64,
}

impl Caller {
    fn greeter(&self) -> GreeterClient {
        let service = Service::new("caller")
            .registry(Memory::new())
            .tasks(self.tasks.clone())
            .client_protocols([self.protocol])
            .retries(0);
        GreeterClient::new("greeter", service.client())
    }

    async fn run(mut self, until: Instant) -> Tally {
        let mut greeter = self.greeter();
        let mut tally = Tally::default();
        while Instant::now() < until {
            self.number += 1;
            let kind = self.random.below(10);
            if kind == 9 {
                greeter = self.greeter();
            }
            let what = format!("{} {} of kind {kind}", self.name, self.number);
            let one = timeout(PATIENCE, self.one(&greeter, kind)).await;
            let one = one.unwrap_or_else(|_| panic!("{what} is never answered"));
            match one {
                Ok(true) => tally.answered += 1,
                Ok(false) => tally.given_up += 1,
                Err(_) if self.cut => tally.failed += 1,
                Err(error) => panic!("{what}: {error}"),
            }
        }
        tally
    }

    /// One call; false where it was given up.
    async fn one(&mut self, greeter: &GreeterClient, kind: u64) -> Result<bool> {
        let address = || self.address.clone();
        match kind {
            0 | 1 | 9 => {
                let name = format!("{} {}", self.name, self.number);
                let call = greeter.hello(HelloRequest { name: name.clone() });
                let reply = call.address(address()).await?;
                assert_eq!(reply.msg, format!("Hello {name}"), "another's answer");
            }
            2 => {
                let to = i64::try_from(self.random.below(200)).unwrap();
                let call = greeter.count(CountRequest { to, fail: false });
                let mut replies = call.address(self.address.clone()).await?;
                let mut came = 0;
                while let Some(reply) = replies.message().await? {
                    came += 1;
                    assert_eq!(reply.n, came);
                }
                assert_eq!(came, to);
            }
            // Browsers cannot stream both ways, and these are for them.
            3 if self.protocol != "grpc-web" => {
                let mut upload = greeter.collect().address(address()).await?;
                for n in 1..=20 {
                    upload.send(SumRequest { n, fail: false }).await?;
                }
                assert_eq!(upload.finish().await?.total, 210);
            }
            4 if !matches!(self.protocol, "grpc-web" | "connect") => {
                let (mut send, mut receive) = greeter.sum().address(address()).await?;
                for n in 1..=5 {
                    send.send(SumRequest { n, fail: false }).await?;
                    let total = receive.message().await?.map(|reply| reply.total);
                    assert_eq!(total, Some(n * (n + 1) / 2));
                }
                send.finish().await?;
                assert!(receive.message().await?.is_none());
            }
            5 => {
                // Given up, at once or a little later.
                let call = greeter.sleep(SleepRequest { ms: 20_000 });
                let call = call.address(address()).into_future();
                let some = Duration::from_millis(self.random.below(4));
                if timeout(some, call).await.is_err() {
                    return Ok(false);
                }
                return Err(Error::internal("mixed", "answered before its time"));
            }
            6 => {
                let call = greeter.sleep(SleepRequest { ms: 20_000 });
                let call = call.address(address()).timeout(Duration::from_millis(20));
                let error = call.await.expect_err("it cannot be in time");
                if error.code() != 408 {
                    return Err(error);
                }
            }
            7 => {
                // A stream that is let go in the middle.
                // The proxy takes what the server of HTTP/1.1 still has to say, and that only ends
                // with the stream.
                let to = if self.cut { 5_000 } else { 1_000_000 };
                let call = greeter.count(CountRequest { to, fail: false });
                let mut replies = call.address(address()).await?;
                for _ in 0..self.random.below(20) {
                    replies.message().await?;
                }
                return Ok(false);
            }
            _ => {
                let request = FailRequest {
                    detail: "as asked".to_owned(),
                    ..FailRequest::default()
                };
                let call = greeter.fail(request).address(address());
                let error = call.await.expect_err("it always fails");
                if error.code() != 409 {
                    return Err(error);
                }
                assert_eq!(error.detail(), "as asked");
            }
        }
        Ok(true)
    }
}

/// JSON by hand over HTTP/1.1, as curl sends it.
async fn json(address: String, until: Instant) -> Tally {
    let mut tally = Tally::default();
    while Instant::now() < until {
        let mut socket = TcpStream::connect(&address).await.unwrap();
        for number in 0..20 {
            let body = format!("{{\"name\":\"json{number}\"}}");
            let request = format!(
                "POST /greeter.Greeter/Hello HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
            socket.write_all(request.as_bytes()).await.unwrap();
            let want = format!("{{\"msg\":\"Hello json{number}\"}}");
            let mut answer = Vec::new();
            let whole = async {
                while !answer.ends_with(want.as_bytes()) {
                    assert_ne!(socket.read_buf(&mut answer).await.unwrap(), 0);
                }
            };
            let whole = timeout(PATIENCE, whole).await;
            whole.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&answer)));
            assert!(answer.starts_with(b"HTTP/1.1 200 "));
            tally.answered += 1;
        }
    }
    tally
}

/// A process that calls until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a caller of the other test, to be killed"]
async fn calls() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    let address = std::env::var(ADDRESS).expect("the other test starts it");
    let mut callers = JoinSet::new();
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let seed = u64::from(std::process::id()) << 8;
        let caller = Caller {
            protocol,
            address: address.clone(),
            name: format!("killed-{}-{protocol}", std::process::id()),
            cut: true,
            tasks: Tasks::new(),
            random: Random(seed + number as u64),
            number: 0,
        };
        callers.spawn(caller.run(Instant::now() + Duration::from_secs(3600)));
    }
    while callers.join_next().await.is_some() {}
}

/// Kills callers again and again, without a word to the server.
async fn kills(address: String, until: Instant) -> u64 {
    let mut killed = 0;
    while Instant::now() < until {
        let child = this_test("calls")
            .env(ADDRESS, &address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap();
        sleep(Duration::from_millis(1_500 + 137 * (killed % 5))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
    }
    killed
}

/// Cuts connections of a proxy again and again.
async fn cuts(proxy: &Proxy, until: Instant) {
    let mut random = Random(77);
    while Instant::now() < until {
        let side = match random.below(2) {
            0 => Side::Request,
            _ => Side::Reply,
        };
        let how = match random.below(2) {
            0 => How::Close,
            _ => How::Reset,
        };
        let after = usize::try_from(random.below(3_000)).unwrap();
        proxy.cut(Cut { side, after, how });
        sleep(Duration::from_millis(random.below(60))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_end_at_the_server_whatever_the_protocol() {
    let mut server = Server::start();
    let mut left = Vec::new();
    for protocol in PROTOCOLS {
        for kind in [5, 6, 7] {
            let mut caller = Caller {
                protocol,
                address: server.address.clone(),
                name: protocol.to_owned(),
                cut: false,
                tasks: Tasks::new(),
                random: Random(0x2545_f491_4f6c_dd1d),
                number: 0,
            };
            let greeter = caller.greeter();
            for _ in 0..10 {
                caller.one(&greeter, kind).await.unwrap();
            }
            let ended = async {
                while server.counts().calls > 0 {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            if timeout(Duration::from_secs(5), ended).await.is_err() {
                left.push(format!("{protocol}, kind {kind}: {:?}", server.counts()));
            }
        }
    }
    assert!(left.is_empty(), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_has_one_answer_a_call_and_leaves_nothing() {
    let mut server = Server::start();
    let first = server.counts();
    let tasks = Tasks::new();
    let address = server.address.clone();
    let proxy = Proxy::before(&address).await.unwrap();
    // Warm first, so that what is made once does not look like a leak.
    let load = |until: Instant, round: &str| {
        let mut callers = JoinSet::new();
        for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
            for (kind, address) in [
                ("direct", &*address),
                ("again", &*address),
                ("cut", proxy.address()),
            ] {
                let caller = Caller {
                    protocol,
                    address: address.to_owned(),
                    name: format!("{round}-{kind}-{protocol}"),
                    cut: kind == "cut",
                    tasks: tasks.clone(),
                    random: Random(0x2545_f491_4f6c_dd1d + number as u64 * 31 + kind.len() as u64),
                    number: 0,
                };
                callers.spawn(caller.run(until));
            }
        }
        callers.spawn(json(address.clone(), until));
        callers
    };
    let mut warm = load(Instant::now() + Duration::from_secs(2), "warm");
    while let Some(ended) = warm.join_next().await {
        ended.unwrap();
    }
    let (theirs, ours) = (server.counts().memory, memory(std::process::id()));

    let until = Instant::now() + seconds();
    let mut callers = load(until, "long");
    let all = async {
        let mut tally = Tally::default();
        while let Some(ended) = callers.join_next().await {
            tally.add(ended.unwrap());
        }
        tally
    };
    let killing = kills(address.clone(), until);
    let (tally, killed, ()) = tokio::join!(all, killing, cuts(&proxy, until));
    println!("{tally:?}, {killed} callers killed");
    assert!(tally.answered > 100 && tally.given_up > 10, "{tally:?}");

    let settled = async {
        loop {
            let counts = server.counts();
            if (counts.tasks, counts.calls, counts.connections) == (first.tasks, 0, 0)
                && tasks.running() == 0
            {
                return counts;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let settled = timeout(Duration::from_secs(15), settled).await;
    let last = settled.unwrap_or_else(|_| {
        panic!(
            "something is left: {} tasks of the clients, {:?} of the server, which began with {first:?}",
            tasks.running(),
            server.counts()
        )
    });
    assert_eq!(last.doubled, 0, "calls that ran twice");
    let ours_now = memory(std::process::id());
    println!(
        "server: {} KiB at first, {theirs} warm, {} at the end; clients: {ours} warm, {ours_now} at the end",
        first.memory, last.memory
    );
    assert!(last.memory < theirs + KEPT, "the server holds {last:?}");
    assert!(ours_now < ours + KEPT, "the clients hold {ours_now} KiB");
}
