//! What the decisions of a call cost: nothing where it succeeds and nobody asks, little where a
//! handler has answered with an error, however many nodes there are.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

#[path = "support/scripted.rs"]
mod scripted;

use allocation_counter::{AllocationInfo, measure};
use micro_runtime::Error;
use micro_runtime::selector::{Filter, Strategy};
use tokio::runtime::Builder;

use scripted::{Answer, Setup};

const CALLS: u64 = 1000;
/// The log, its steps, and the words of the error within it.
const LOG: u64 = 3;
/// The error that the node answers with: constants, in a box.
const ERROR: u64 = 1;

#[derive(Clone, Copy, PartialEq)]
enum Call {
    Well,
    Fails,
    Asked,
}

/// What so many calls allocate of a client of so many nodes.
fn run(nodes: usize, call: Call, zones: bool) -> AllocationInfo {
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let names: Vec<String> = (0..nodes)
        .map(|number| format!("node{number:05}"))
        .collect();
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    let setup = runtime.block_on(Setup::with(
        &names,
        move |_, _| match call {
            Call::Fails => Answer::Fail(Error::not_found("greeter", "no such thing")),
            Call::Well | Call::Asked => Answer::Echo,
        },
        |options| {
            options.selector = Strategy::Random;
            if zones {
                options.filters = vec![Filter::from(|node: &_| half(node))];
            }
        },
    ));
    let greeter = setup.client.target("greeter");
    let calls = |many: u64| {
        runtime.block_on(async {
            for _ in 0..many {
                let hello = greeter.unary::<_, scripted::Frame>(&HELLO, scripted::frame("hi"));
                match call {
                    Call::Well => drop(hello.await.unwrap()),
                    Call::Fails => drop(hello.await.unwrap_err()),
                    Call::Asked => drop(hello.explain().await.result.unwrap()),
                }
            }
        });
    };
    // Each node keeps its channel from its first call on.
    calls(10 * nodes as u64 + 100);
    let measured = measure(|| calls(CALLS));
    println!(
        "{nodes} nodes: {:.2} allocations, {:.0} bytes a call",
        measured.count_total as f64 / CALLS as f64,
        measured.bytes_total as f64 / CALLS as f64,
    );
    measured
}

fn half(node: &micro_runtime::registry::NodeEntry) -> bool {
    node.id().ends_with(['0', '2', '4', '6', '8'])
}

static HELLO: micro_runtime::method::Method = micro_runtime::method::Method::new(
    "",
    "Say.Hello",
    "/Say/Hello",
    micro_runtime::method::Kind::Unary,
    micro_runtime::method::Idempotency::Unknown,
    0,
);

#[test]
fn an_answered_error_costs_few_allocations_more_than_a_reply_whatever_the_number_of_nodes() {
    for (nodes, zones) in [(1, false), (3, true), (600, false), (600, true)] {
        let well = run(nodes, Call::Well, zones).count_total;
        let fails = run(nodes, Call::Fails, zones).count_total;
        let more = fails.saturating_sub(well);
        println!("{} allocations more", more as f64 / CALLS as f64);
        // Who asks pays for it.
        run(nodes, Call::Asked, zones);
        assert!(more <= (ERROR + LOG) * CALLS + CALLS / 10, "{more}");
    }
}
