//! The server, in a process of its own, and what it says of itself.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::registry::Memory;
use micro_runtime::{Context, Error, Receiver, Result, Sender, Service};
use micro_tests::child::{Child, listens, memory};
use micro_tests::proto::greeter::{
    CountRequest, CountResponse, EchoRequest, EchoResponse, FailRequest, Greeter, GreeterServer,
    HelloRequest, HelloResponse, SleepRequest, SumRequest, SumResponse,
};
use tokio::time::sleep;

const COUNTS: &str = "counts ";
/// The figure of what a process holds.
pub const HELD: &str = "VmRSS:";

/// What a server has open and holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Those that run for long, by protocol and method.
    pub handlers: String,
    pub tasks: u64,
    pub calls: u64,
    pub connections: u64,
    /// Calls of one name that ran twice.
    pub doubled: u64,
    /// In KiB.
    pub memory: u64,
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
pub struct Server {
    child: Child,
    pub address: String,
}

impl Server {
    pub fn start() -> Self {
        let child = Child::start("server::serves", &[]);
        let address = child.address().to_owned();
        Self { child, address }
    }

    pub fn counts(&mut self) -> Counts {
        let counts = self.child.ask(COUNTS);
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
    let core = running.core().clone();
    let (ask, mut asked) = tokio::sync::mpsc::channel(1);
    listens(running.address(), move || ask.blocking_send(()).unwrap());
    while asked.recv().await.is_some() {
        let (tasks, calls) = (core.tasks().running(), core.running());
        let connections = running.connections();
        let twice = doubled.lock().unwrap().1;
        println!(
            "{COUNTS}{tasks} {calls} {connections} {twice} {} {:?}",
            memory(std::process::id(), HELD),
            handlers.lock().unwrap()
        );
    }
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
