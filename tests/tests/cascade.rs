//! A deadline and a cancel go through three services, each a process of its own, to the last one.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use micro_runtime::Service;
use micro_runtime::registry::Memory;
use micro_tests::peers::{Program, Running};
use micro_tests::proto::greeter::{GreeterClient, SleepRequest};

/// What "at once" means to a busy machine: less than the 5 s of a try, which would end all of them too.
const AT_ONCE: Duration = Duration::from_secs(4);

/// What ours speak to each other.
const PROTOCOLS: [&str; 5] = ["mucp", "braid", "grpc", "connect", "grpc-web"];

fn ours(protocol: &str) -> Program {
    let protocol = format!("protocol={protocol}");
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter").with(&[&protocol])
}

/// Three greeters, each of which passes Sleep and Echo on to the next; the last one answers.
struct Chain {
    first: Running,
    second: Running,
    third: Running,
    protocol: &'static str,
    /// Whether the second one tells the third that its caller has gone. Go Micro's client of mucp does
    /// not: its try goes on by itself until its own limit.
    cancels: bool,
}

impl Chain {
    fn of(protocol: &'static str) -> Self {
        let third = ours(protocol).serve(&["trace"]);
        Self::before(third, protocol, protocol)
    }

    /// The last one is Go Micro's.
    fn to_go(protocol: &'static str) -> Self {
        Self::before(Program::go("greeter").serve(&[]), protocol, "mucp")
    }

    /// Go Micro's in the middle: ours, Go, ours. To Go it is mucp or gRPC, and to `first` what it says.
    fn through_go(first: &'static str, protocol: &str) -> Self {
        let next = |running: &Running| format!("next={}", running.address());
        let third = ours(protocol).serve(&["trace"]);
        let middle = Program::go("greeter").with(&[&format!("protocol={protocol}")]);
        let second = middle.serve(&[&next(&third)]);
        let last = format!("next_protocol={protocol}");
        let first_one = ours(first).serve(&["trace", &next(&second), &last]);
        Self {
            first: first_one,
            second,
            third,
            protocol: first,
            cancels: protocol != "mucp",
        }
    }

    fn before(third: Running, protocol: &'static str, last: &str) -> Self {
        let next = |running: &Running| format!("next={}", running.address());
        let last = format!("next_protocol={last}");
        let second = ours(protocol).serve(&["trace", &next(&third), &last]);
        let first = ours(protocol).serve(&["trace", &next(&second)]);
        Self {
            first,
            second,
            third,
            protocol,
            cancels: true,
        }
    }

    /// A caller of the first one, started.
    fn call(&self, flags: &[&str]) -> Running {
        let address = self.first.as_flag();
        ours(self.protocol).launch(&[&[&*address], flags].concat())
    }

    /// Waits until all three know that their caller has gone.
    fn wait_until_dropped(&mut self) {
        let started = Instant::now();
        for service in [&mut self.third, &mut self.second, &mut self.first] {
            service.wait_for("DROPPED");
        }
        let took = started.elapsed();
        assert!(took < AT_ONCE, "the cancel took {took:?}");
    }

    /// One to each of the ends that a chain may have, and each with Go in the middle; each is started
    /// when the one before it is gone.
    fn all() -> impl Iterator<Item = Self> {
        let through_go = [
            ("mucp", "mucp"),
            ("braid", "mucp"),
            ("grpc", "grpc"),
            ("braid", "grpc"),
        ];
        let through_go = through_go
            .into_iter()
            .map(|(first, protocol)| Self::through_go(first, protocol));
        let to_go = ["mucp", "braid", "grpc"].into_iter().map(Self::to_go);
        through_go
            .chain(PROTOCOLS.into_iter().map(Self::of))
            .chain(to_go)
    }
}

/// The time that was left when the handler began.
fn left(service: &mut Running) -> Duration {
    let line = service.wait_for("BEGIN ");
    let (_, nanos) = line.split_once("BEGIN ").unwrap();
    Duration::from_nanos(nanos.parse().expect("the call has a deadline"))
}

#[test]
fn each_handler_has_less_time_than_its_caller() {
    for mut chain in Chain::all() {
        let own = Duration::from_millis(1900);
        let _caller = chain.call(&["call=sleep", "arg=1", "timeout=1900ms"]);
        let first = left(&mut chain.first);
        let second = left(&mut chain.second);
        let third = left(&mut chain.third);
        assert!(
            own >= first && first >= second && second >= third && !third.is_zero(),
            "{}: {own:?}, {first:?}, {second:?}, {third:?}",
            chain.protocol
        );
    }
}

#[test]
fn a_deadline_that_passes_ends_every_handler() {
    for mut chain in Chain::all() {
        let started = Instant::now();
        let ended = ours(chain.protocol).run(&[
            &chain.first.as_flag(),
            "call=sleep",
            "arg=60000",
            // Enough to reach the third one on a busy machine.
            "timeout=1500ms",
        ]);
        let error = ended.line("ERR ").unwrap_or_default();
        assert!(error.contains("\"code\":408"), "{ended}");
        chain.third.wait_for("DROPPED");
        // Those before it have the answer of their own call at the same moment.
        chain.second.wait_for_any(&["DROPPED", "DONE"]);
        chain.first.wait_for_any(&["DROPPED", "DONE"]);
        assert!(started.elapsed() < AT_ONCE, "{ended}");
    }
}

#[test]
fn a_caller_that_is_killed_ends_every_handler() {
    for mut chain in Chain::all().filter(|chain| chain.cancels) {
        let mut caller = chain.call(&["call=sleep", "arg=60000"]);
        chain.third.wait_for("BEGIN ");
        caller.kill();
        chain.wait_until_dropped();
    }
}

#[test]
fn behind_go_micros_mucp_a_handler_whose_caller_is_killed_ends_by_its_deadline() {
    let mut chain = Chain::through_go("mucp", "mucp");
    let mut caller = chain.call(&["call=sleep", "arg=60000", "timeout=3s"]);
    let left = left(&mut chain.third);
    assert!(left <= Duration::from_secs(3), "{left:?}");
    caller.kill();
    chain.wait_until_dropped();
}

#[test]
fn a_go_micro_caller_that_is_killed_ends_every_handler() {
    let mut chain = Chain::of("mucp");
    let address = chain.first.as_flag();
    let mut caller = Program::go("greeter").launch(&[&address, "call=sleep", "arg=60000"]);
    chain.third.wait_for("BEGIN ");
    caller.kill();
    chain.wait_until_dropped();
}

#[test]
fn a_call_that_is_dropped_ends_every_handler() {
    // A client in this process, in a runtime that goes on.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    for protocol in PROTOCOLS {
        let mut chain = Chain::of(protocol);
        let service = Service::new("caller")
            .registry(Memory::new())
            .client_protocols([protocol]);
        let greeter = GreeterClient::new("greeter", service.client());
        let call = greeter
            .sleep(SleepRequest { ms: 60_000 })
            .address(chain.first.address().to_owned());
        let task = runtime.spawn(call.into_future());
        chain.third.wait_for("BEGIN ");
        task.abort();
        chain.wait_until_dropped();
    }
}
