//! A deadline and a cancel go through three services, each a process of its own, to the last one.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::IntoFuture;
use std::time::{Duration, Instant};

use micro_runtime::Service;
use micro_runtime::registry::Memory;
use micro_tests::peers::{Program, Running};
use micro_tests::proto::greeter::{GreeterClient, SleepRequest};
use serde_json::Value;

/// What "at once" means to a busy machine.
const AT_ONCE: Duration = Duration::from_secs(5);

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
    /// Go's greeter does not tell that a call has begun.
    ends_with_go: bool,
}

impl Chain {
    fn of(protocol: &'static str) -> Self {
        let third = ours(protocol).serve(&["trace"]);
        Self::before(third, protocol, false)
    }

    /// The last one is Go Micro's.
    fn to_go(protocol: &'static str) -> Self {
        Self::before(Program::go("greeter").serve(&[]), protocol, true)
    }

    fn before(third: Running, protocol: &'static str, ends_with_go: bool) -> Self {
        let next = |running: &Running| format!("next={}", running.address());
        let last = if ends_with_go { "mucp" } else { protocol };
        let last = format!("next_protocol={last}");
        let second = ours(protocol).serve(&["trace", &next(&third), &last]);
        let first = ours(protocol).serve(&["trace", &next(&second)]);
        Self {
            first,
            second,
            third,
            protocol,
            ends_with_go,
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
}

/// The time that was left when the handler began.
fn left(service: &mut Running) -> Duration {
    let line = service.wait_for("BEGIN ");
    let nanos = line.trim_start_matches("BEGIN ").parse();
    Duration::from_nanos(nanos.expect("the call has a deadline"))
}

#[test]
fn each_handler_has_less_time_than_its_caller() {
    for protocol in ["mucp", "braid"] {
        let mut chain = Chain::of(protocol);
        let own = Duration::from_millis(1900);
        let _caller = chain.call(&["call=sleep", "arg=1", "timeout=1900ms"]);
        let first = left(&mut chain.first);
        let second = left(&mut chain.second);
        let third = left(&mut chain.third);
        assert!(
            own >= first && first >= second && second >= third && !third.is_zero(),
            "{protocol}: {own:?}, {first:?}, {second:?}, {third:?}"
        );
    }
}

#[test]
fn go_micro_at_the_end_has_no_more_time_than_the_first_caller() {
    for protocol in ["mucp", "braid"] {
        let chain = Chain::to_go(protocol);
        let ended = ours(protocol).run(&[&chain.first.as_flag(), "call=echo", "timeout=1900ms"]);
        let reply: Value = serde_json::from_str(ended.line("OK ").unwrap_or_default()).unwrap();
        let left = reply["deadline_ns"].as_u64().unwrap();
        assert!(0 < left && left <= 1_900_000_000, "{protocol}: {left} ns");
    }
}

#[test]
fn a_deadline_that_passes_ends_every_handler() {
    for mut chain in [Chain::of("mucp"), Chain::of("braid"), Chain::to_go("mucp")] {
        let started = Instant::now();
        let ended = ours(chain.protocol).run(&[
            &chain.first.as_flag(),
            "call=sleep",
            "arg=60000",
            "timeout=300ms",
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
    for mut chain in [
        Chain::of("mucp"),
        Chain::of("braid"),
        Chain::to_go("mucp"),
        Chain::to_go("braid"),
    ] {
        let mut caller = chain.call(&["call=sleep", "arg=60000"]);
        chain.second.wait_for("BEGIN ");
        if !chain.ends_with_go {
            chain.third.wait_for("BEGIN ");
        }
        caller.kill();
        chain.wait_until_dropped();
    }
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
    for protocol in ["mucp", "braid"] {
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
