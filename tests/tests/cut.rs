//! A call never runs twice unless it is declared idempotent: the connection is cut at every byte of
//! the request and of the reply, and the handler counts how often it has run, in a process of its own.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use micro_runtime::registry::Memory;
use micro_runtime::{Client, Error, Service};
use micro_tests::cut::{Cut, How, Proxy, Side, Traffic};
use micro_tests::peers::{Program, Running};
use micro_tests::proto::tally::{AddRequest, ReadRequest, TallyClient};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// Cuts that are tried at once.
const AT_ONCE: usize = 8;

fn serve(protocol: &str) -> Running {
    let protocol = format!("protocol={protocol}");
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "tally").serve(&[&protocol])
}

/// A client that tries again as often as it may.
fn client(protocol: &str) -> Client {
    let service = Service::new("cut")
        .registry(Memory::new())
        .client_protocols([protocol])
        .attempt_timeout(Duration::from_secs(3))
        .retries(5);
    service.client().clone()
}

/// How a method is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    /// It may run once, at most.
    Once,
    /// The `.proto` says that it may run again.
    Idempotent,
    /// The caller says so.
    CalledIdempotent,
}

/// What came of a call whose connection was cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The handler has not run and the caller has an error.
    NotRun,
    /// The handler has run once, by another connection than the one that was cut.
    RetriedOk,
    /// The handler has run once and the caller has an error.
    RunOnceError,
    /// The handler has run once and the caller has its answer.
    RunOnceOk,
    /// The handler has run twice and the caller has its answer.
    RunTwiceOk,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotRun => "not run, error",
            Self::RetriedOk => "not run, sent again, ok",
            Self::RunOnceError => "run once, error",
            Self::RunOnceOk => "run once, ok",
            Self::RunTwiceOk => "run twice, ok",
        })
    }
}

/// A call that was tried.
#[derive(Clone, Debug)]
struct Done {
    outcome: Outcome,
    error: Option<String>,
    /// What its first connection carried of it.
    traffic: Traffic,
}

/// What is tried: the same call, cut at each place in turn.
#[derive(Clone, Debug)]
struct Sweep {
    protocol: &'static str,
    server: String,
    method: Method,
    /// Whether the connection has carried a call before.
    warm: bool,
    side: Side,
    how: How,
}

impl Sweep {
    /// A call through a proxy; with `at`, the connection is cut there.
    async fn once(&self, at: Option<usize>) -> Result<Done, String> {
        let proxy = Proxy::before(&self.server)
            .await
            .map_err(|error| error.to_string())?;
        let client = client(self.protocol);
        let tally = TallyClient::new("tally", &client);
        // Keys of one length, so that the places are the same in each run.
        let at_text = at.map_or_else(|| "-----".to_owned(), |at| format!("{at:05}"));
        let key = format!(
            "{:?} {:?} {} {:?} {at_text}",
            self.method, self.side, self.warm, self.how
        );
        let mut before = Traffic::default();
        if self.warm {
            let warm = tally
                .read(ReadRequest { key: key.clone() })
                .address(proxy.address().to_owned());
            warm.await
                .map_err(|error| format!("the call before: {error:?}"))?;
            before = proxy.traffic()[0];
        }
        if let Some(at) = at {
            let passed = match self.side {
                Side::Request => before.request,
                Side::Reply => before.reply,
            };
            proxy.cut(Cut {
                side: self.side,
                after: passed + at,
                how: self.how,
            });
        }
        let request = AddRequest { key: key.clone() };
        let call = match self.method {
            Method::Once => tally.add(request),
            Method::Idempotent => tally.touch(request),
            Method::CalledIdempotent => tally.add(request).idempotent(),
        };
        let answer = call.address(proxy.address().to_owned()).await;
        let traffic = proxy.traffic();
        // No connection of the call may be at work when its runs are counted.
        drop((tally, client));
        proxy.let_go().await?;
        let count = count(self.protocol, &self.server, &key).await?;
        let first = traffic[0];
        Ok(Done {
            error: answer.as_ref().err().map(|error| format!("{error:?}")),
            outcome: self.outcome(answer.map(|answer| answer.count), count, traffic.len())?,
            traffic: Traffic {
                request: first.request - before.request,
                reply: first.reply - before.reply,
                cut: first.cut,
            },
        })
    }

    fn outcome(
        &self,
        answer: Result<u64, Error>,
        count: u64,
        connections: usize,
    ) -> Result<Outcome, String> {
        Ok(match (&answer, count) {
            (Err(_), 0) => Outcome::NotRun,
            (Err(_), 1) => Outcome::RunOnceError,
            (Ok(1), 1) if connections > 1 => Outcome::RetriedOk,
            (Ok(1), 1) => Outcome::RunOnceOk,
            // The second run may overtake the first.
            (Ok(1 | 2), 2) if self.method != Method::Once => Outcome::RunTwiceOk,
            _ => return Err(format!("run {count} times, and the caller has {answer:?}")),
        })
    }

    /// Cuts at every byte until there are no more, and gives what came of it.
    async fn run(&self) -> Places {
        let Done {
            outcome,
            traffic: whole,
            ..
        } = self
            .once(None)
            .await
            .unwrap_or_else(|error| panic!("{self:?}, uncut: {error}"));
        assert_eq!(outcome, Outcome::RunOnceOk, "{self:?}, uncut");
        let length = match self.side {
            Side::Request => whole.request,
            Side::Reply => whole.reply,
        };
        assert!(length > 10, "{self:?}: {length} bytes");
        let mut places = Places {
            length,
            done: BTreeMap::new(),
        };
        let mut running = JoinSet::new();
        for at in 0..=length {
            if running.len() >= AT_ONCE
                && let Some(done) = running.join_next().await
            {
                places.note(self, done.expect("no panic"));
            }
            let sweep = self.clone();
            running.spawn(async move { (at, sweep.once(Some(at)).await) });
        }
        while let Some(done) = running.join_next().await {
            places.note(self, done.expect("no panic"));
        }
        println!("{self:?}\n{places}");
        places
    }
}

/// How often the handler has run, asked directly.
async fn count(protocol: &str, server: &str, key: &str) -> Result<u64, String> {
    let tally = TallyClient::new("tally", &client(protocol));
    let read = tally
        .read(ReadRequest {
            key: key.to_owned(),
        })
        .address(server.to_owned());
    read.await
        .map(|read| read.count)
        .map_err(|error| format!("cannot count: {error:?}"))
}

/// What came of the cuts at each place.
struct Places {
    length: usize,
    done: BTreeMap<usize, Done>,
}

impl Places {
    fn note(&mut self, sweep: &Sweep, (at, done): (usize, Result<Done, String>)) {
        let done = done
            .unwrap_or_else(|error| panic!("{sweep:?} at byte {at} of {}: {error}", self.length));
        // The last place is behind the last byte; there a reply is not cut any more. How much HTTP/2's
        // ends have said when a call is answered, their answers to settings included, is chance.
        assert!(
            done.traffic.cut || at == self.length || sweep.protocol == "grpc",
            "{sweep:?}: no cut at byte {at}"
        );
        self.done.insert(at, done);
    }

    /// Each cut in `places` has one of these outcomes.
    fn assert(&self, places: impl Iterator<Item = usize>, want: &[Outcome]) {
        for at in places {
            let Done { outcome, error, .. } = &self.done[&at];
            assert!(
                want.contains(outcome),
                "at byte {at} of {}: {outcome}, want {want:?}, error {error:?}\n{self}",
                self.length
            );
        }
    }
}

impl fmt::Display for Places {
    /// The outcomes, with the places that have them in a row.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut from = 0;
        for (at, Done { outcome, .. }) in &self.done {
            let next = self.done.get(&(at + 1)).map(|done| done.outcome);
            if next != Some(*outcome) {
                writeln!(f, "  bytes {from}–{at} of {}: {outcome}", self.length)?;
                from = at + 1;
            }
        }
        Ok(())
    }
}

/// Sweeps of a method over new and used connections, ended both ways.
fn sweeps<'a>(
    protocol: &'static str,
    server: &'a Running,
    method: Method,
    side: Side,
) -> impl Iterator<Item = Sweep> + 'a {
    [(false, How::Close), (false, How::Reset), (true, How::Close)]
        .into_iter()
        .map(move |(warm, how)| Sweep {
            protocol,
            server: server.address().to_owned(),
            method,
            warm,
            side,
            how,
        })
}

async fn a_request_that_is_cut_has_not_run(protocol: &'static str) {
    let server = serve(protocol);
    for sweep in sweeps(protocol, &server, Method::Once, Side::Request) {
        let places = sweep.run().await;
        places.assert(0..places.length, &[Outcome::NotRun, Outcome::RetriedOk]);
        // The whole request has passed, and then the connection is gone: it may run or not.
        places.assert(
            places.length..=places.length,
            &[Outcome::NotRun, Outcome::RunOnceError],
        );
    }
}

async fn a_reply_that_is_cut_has_run_once(protocol: &'static str) {
    let server = serve(protocol);
    let mut all = Vec::new();
    for sweep in sweeps(protocol, &server, Method::Once, Side::Reply) {
        all.push(sweep.run().await);
    }
    // What a server says on a new connection before it has a request: braid's greeting.
    let shortest = all.iter().map(|places| places.length).min().unwrap();
    for places in all {
        let greeting = places.length - shortest;
        assert!(protocol == "braid" || greeting == 0, "{protocol}");
        places.assert(0..greeting, &[Outcome::NotRun, Outcome::RetriedOk]);
        places.assert(greeting..places.length, &[Outcome::RunOnceError]);
        places.assert(places.length..=places.length, &[Outcome::RunOnceOk]);
    }
}

async fn an_idempotent_call_always_succeeds(protocol: &'static str) {
    let server = serve(protocol);
    for method in [Method::Idempotent, Method::CalledIdempotent] {
        for side in [Side::Request, Side::Reply] {
            for sweep in sweeps(protocol, &server, method, side) {
                let places = sweep.run().await;
                places.assert(
                    0..=places.length,
                    &[Outcome::RetriedOk, Outcome::RunOnceOk, Outcome::RunTwiceOk],
                );
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mucp_a_request_that_is_cut_has_not_run() {
    a_request_that_is_cut_has_not_run("mucp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_braid_a_request_that_is_cut_has_not_run() {
    a_request_that_is_cut_has_not_run("braid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mucp_a_reply_that_is_cut_has_run_once() {
    a_reply_that_is_cut_has_run_once("mucp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_braid_a_reply_that_is_cut_has_run_once() {
    a_reply_that_is_cut_has_run_once("braid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_mucp_an_idempotent_call_always_succeeds() {
    an_idempotent_call_always_succeeds("mucp").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_braid_an_idempotent_call_always_succeeds() {
    an_idempotent_call_always_succeeds("braid").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_an_idempotent_call_always_succeeds() {
    an_idempotent_call_always_succeeds("grpc").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_grpc_a_call_that_is_cut_never_runs_twice() {
    // HTTP/2 does not say what of a request has left, so that less is tried again.
    let server = serve("grpc");
    for side in [Side::Request, Side::Reply] {
        for sweep in sweeps("grpc", &server, Method::Once, side) {
            let places = sweep.run().await;
            let once = [
                Outcome::NotRun,
                Outcome::RetriedOk,
                Outcome::RunOnceError,
                Outcome::RunOnceOk,
            ];
            places.assert(0..=places.length, &once);
        }
    }
}

#[tokio::test]
async fn a_node_that_is_not_there_costs_no_call() {
    for protocol in ["mucp", "braid", "grpc"] {
        let server = serve(protocol);
        // A port that was free a moment ago.
        let nobody = TcpListener::bind("127.0.0.1:0")
            .await
            .unwrap()
            .local_addr()
            .unwrap();
        for number in 0..20 {
            let tally = TallyClient::new("tally", &client(protocol));
            let key = format!("nobody {number}");
            let call = tally.add(AddRequest { key: key.clone() });
            let call = call
                .address(nobody.to_string())
                .address(server.address().to_owned());
            assert_eq!(call.await.unwrap().count, 1);
            assert_eq!(count(protocol, server.address(), &key).await, Ok(1));
        }
    }
}

#[tokio::test]
async fn a_connection_that_ended_while_idle_costs_no_call() {
    for protocol in ["mucp", "braid", "grpc"] {
        let server = serve(protocol);
        for how in [How::Close, How::Reset] {
            let proxy = Proxy::before(server.address()).await.unwrap();
            let client = client(protocol);
            let tally = TallyClient::new("tally", &client);
            for number in 1..=20 {
                let key = format!("{how:?}");
                let call = tally
                    .add(AddRequest { key })
                    .address(proxy.address().to_owned());
                let answer = call.await;
                assert_eq!(
                    answer.map(|answer| answer.count),
                    Ok(number),
                    "{protocol}, {how:?}: {:?}",
                    proxy.traffic()
                );
                // Cut where it is.
                proxy.cut(Cut {
                    side: Side::Request,
                    after: 0,
                    how,
                });
                until_noticed(&proxy).await;
            }
            assert_eq!(proxy.traffic().len(), 20, "{protocol}, {how:?}");
        }
    }
}

/// Waits until the client's machine, and then the client, has been told that its connection is gone:
/// before that nobody could know, and the call is not tried again.
async fn until_noticed(proxy: &Proxy) {
    const ESTABLISHED: &str = "01";
    let (_, port) = proxy.address().rsplit_once(':').unwrap();
    let port = format!(":{:04X}", port.parse::<u16>().unwrap());
    let noticed = async {
        loop {
            // By Linux: number, local address, remote address, state.
            let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
            let is_open = |line: &str| {
                let mut fields = line.split_whitespace().skip(2);
                let to_proxy = fields.next().is_some_and(|remote| remote.ends_with(&port));
                to_proxy && fields.next() == Some(ESTABLISHED)
            };
            // The first turn of the reactor tells the client's task, which runs by the second.
            for _ in 0..2 {
                sleep(Duration::from_millis(1)).await;
            }
            if !table.lines().any(is_open) {
                return;
            }
        }
    };
    let in_time = timeout(Duration::from_secs(10), noticed).await;
    in_time.expect("the connection ends");
}
