//! A closed-loop load harness: each worker has one call in flight and starts the next when it ends.
//!
//! Every framework is one program, `server --addr A` and `client --addr A --wl …`, whose client
//! prints one line of JSON. Because all of them count with this crate, their lines can be compared.

mod args;
mod cpu;
mod histogram;
mod idle;
mod mix;

pub use args::{Args, Workload};
pub use cpu::Cpu;
pub use histogram::Histogram;
pub use idle::Idle;
pub use mix::{Burden, Mix};

use std::future::Future;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// The runtime that every Rust program here uses: tokio's default, or one thread with `BENCH_RT=ct`.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = match std::env::var("BENCH_RT").as_deref() {
        Ok("ct") => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder
        .enable_all()
        .build()
        .expect("the machine gives a runtime")
}

const WARM: u8 = 0;
const MEASURE: u8 = 1;
const OVER: u8 = 2;

/// What all workers of one run share.
struct Shared {
    phase: AtomicU8,
    total: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    latencies: Histogram,
    operations: u64,
}

/// What one worker has measured; added to the whole when it is dropped.
pub struct Recorder {
    shared: Arc<Shared>,
    counts: Counts,
}

impl Recorder {
    /// Whether the worker must stop.
    #[inline]
    pub fn over(&self) -> bool {
        self.shared.phase.load(Ordering::Relaxed) == OVER
    }

    /// One operation ended that began at `start`.
    #[inline]
    pub fn done(&mut self, start: Instant) {
        if self.shared.phase.load(Ordering::Relaxed) == MEASURE {
            self.counts.latencies.add(start.elapsed());
            self.counts.operations += 1;
        }
    }

    /// `count` operations ended that have no latency of their own: messages of a stream.
    #[inline]
    pub fn count(&mut self, count: u64) {
        if self.shared.phase.load(Ordering::Relaxed) == MEASURE {
            self.counts.operations += count;
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let mut total = self
            .shared
            .total
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        total.latencies.merge(&self.counts.latencies);
        total.operations += self.counts.operations;
    }
}

/// One run: warm up, measure, stop, print.
pub struct Bench {
    shared: Arc<Shared>,
    warm: Duration,
    measure: Duration,
    server: u64,
    workload: Workload,
}

impl Bench {
    /// A run as the arguments say.
    pub fn new(args: &Args) -> Self {
        Self {
            shared: Arc::new(Shared {
                phase: AtomicU8::new(WARM),
                total: Mutex::default(),
            }),
            warm: Duration::from_millis(args.number("warm", 500)),
            measure: Duration::from_millis(args.number("dur", 2000)),
            server: args.number("spid", 0),
            workload: args.workload(),
        }
    }

    /// For one worker.
    pub fn recorder(&self) -> Recorder {
        Recorder {
            shared: self.shared.clone(),
            counts: Counts::default(),
        }
    }

    /// Runs the phases on this thread and gives what was used meanwhile.
    pub fn phases(&self) -> Used {
        thread::sleep(self.warm);
        let (client, server, start) = (Cpu::own(), Cpu::of(self.server), Instant::now());
        self.shared.phase.store(MEASURE, Ordering::SeqCst);
        thread::sleep(self.measure);
        self.shared.phase.store(OVER, Ordering::SeqCst);
        Used {
            seconds: start.elapsed().as_secs_f64(),
            client: Cpu::own() - client,
            server: Cpu::of(self.server) - server,
        }
    }

    /// Prints the line; the workers have ended.
    pub fn report(&self, used: Used) {
        let total = self
            .shared
            .total
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let Used {
            seconds,
            client,
            server,
        } = used;
        let per_million = 1e6 / total.operations.max(1) as f64;
        let micros = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{{\"wl\":\"{}\",\"ops\":{},\"secs\":{seconds:.4},\"rps\":{:.1},\"p50_us\":{:.2},\"p99_us\":{:.2},\"max_us\":{:.1},\
             \"cli_user\":{:.3},\"cli_sys\":{:.3},\"srv_user\":{:.3},\"srv_sys\":{:.3},\"cpu_s_per_m\":{:.3}}}",
            self.workload,
            total.operations,
            total.operations as f64 / seconds,
            micros(total.latencies.quantile(0.5)),
            micros(total.latencies.quantile(0.99)),
            micros(total.latencies.max()),
            client.user,
            client.system,
            server.user,
            server.system,
            (client.total() + server.total()) * per_million,
        );
    }

    /// Runs async workers to their end and prints the line; the phases run on a thread of their own.
    pub async fn drive<W, F>(self, workers: impl IntoIterator<Item = W>)
    where
        W: FnOnce(Recorder) -> F,
        F: Future<Output = ()> + Send + 'static,
    {
        let bench = Arc::new(self);
        let timer = thread::spawn({
            let bench = bench.clone();
            move || bench.phases()
        });
        let tasks: Vec<_> = workers
            .into_iter()
            .map(|worker| tokio::spawn(worker(bench.recorder())))
            .collect();
        for task in tasks {
            task.await.expect("a worker failed");
        }
        bench.report(timer.join().expect("the timer does not panic"));
    }
}

/// What a run took.
pub struct Used {
    seconds: f64,
    client: Cpu,
    server: Cpu,
}
