//! What SIGTERM does to a process that runs a service.
#![cfg(unix)]
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "the caller is a task of its own, as users' are"
)]

mod support;

use std::future::IntoFuture;
use std::process::Stdio;
use std::time::Duration;

use micro_runtime::registry::Memory;
use micro_runtime::{Error, Service};
use support::{Say, World, frame};
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::{Instant, timeout};

/// Names what the child does, and that it is one.
const CHILD: &str = "MICRO_TEST_SIGNALS";

/// Runs only as a child of the tests below: a service with a call that never ends, or one that is
/// idle, or one whose start never ends,
/// or a function.
#[tokio::test]
async fn child_that_serves() {
    let Ok(what) = std::env::var(CHILD) else {
        return;
    };
    let world = World::default();
    let (busy, function) = (what.starts_with("busy"), what.ends_with("function"));
    let say = Say::hello(|_, frame| async move {
        println!("entered");
        std::future::pending::<()>().await;
        Ok(frame)
    });
    let service: Service = world
        .service("a", "braid")
        .registry(Memory::new())
        .handle(say);
    let client = service.client().clone();
    let service = service
        .drain(Duration::from_secs(60))
        .after_start(move || async move {
            if busy {
                let call = client.request("a", "Say.Hello", frame("x"));
                tokio::spawn(
                    call.timeout(Duration::from_secs(100))
                        .attempt_timeout(Duration::from_secs(100))
                        .into_future(),
                );
            } else {
                println!("entered");
            }
            if what == "starting" {
                std::future::pending::<()>().await;
            }
            Ok(())
        });
    let service = service.before_stop(|| async {
        println!("stopping");
        Ok::<(), Error>(())
    });
    let ran = match function {
        true => service.serve_once().await,
        false => service.run().await,
    };
    match ran {
        Ok(()) => println!("stopped"),
        Err(error) => println!("failed: {}", error.detail()),
    }
}

struct Process {
    child: Child,
    said: Lines<BufReader<ChildStdout>>,
}

impl Process {
    async fn new(what: &str) -> Self {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_serves", "--nocapture"])
            .env(CHILD, what)
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, said }
    }

    async fn terminate(&self) {
        let id = self.child.id().unwrap().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &id])
            .status()
            .await;
        assert!(sent.unwrap().success());
    }

    /// Reads until a line that begins with `word`.
    async fn says(&mut self, word: &str) -> String {
        let found = async {
            while let Some(line) = self.said.next_line().await.unwrap() {
                // The test harness writes before the first line.
                if let Some(at) = line.find(word) {
                    return line[at..].to_owned();
                }
            }
            panic!("it never said {word}");
        };
        timeout(Duration::from_secs(20), found).await.unwrap()
    }
}

#[tokio::test]
async fn a_signal_stops_an_idle_service_well() {
    let mut process = Process::new("idle").await;
    process.says("entered").await;
    process.terminate().await;
    process.says("stopping").await;
    process.says("stopped").await;
}

#[tokio::test]
async fn a_signal_stops_a_function_that_nobody_has_called() {
    let mut process = Process::new("idle function").await;
    process.says("entered").await;
    process.terminate().await;
    process.says("stopping").await;
    process.says("stopped").await;
}

#[tokio::test]
async fn a_second_signal_stops_at_once_what_still_runs() {
    for what in ["busy", "busy function"] {
        second_signal(what).await;
    }
}

async fn second_signal(what: &str) {
    let mut process = Process::new(what).await;
    process.says("entered").await;
    let since = Instant::now();
    process.terminate().await;
    process.says("stopping").await;
    process.terminate().await;
    let failed = process.says("failed").await;
    assert!(failed.contains("second signal"), "{failed}");
    assert!(
        since.elapsed() < Duration::from_secs(30),
        "{:?}",
        since.elapsed()
    );
}

#[tokio::test]
async fn a_signal_during_the_start_stops_well() {
    let mut process = Process::new("starting").await;
    process.says("entered").await;
    process.terminate().await;
    process.says("stopping").await;
    process.says("stopped").await;
}
