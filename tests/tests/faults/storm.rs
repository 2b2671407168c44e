//! Half of all answers fail, and callers try each error again: what that puts on the nodes.

use std::sync::Arc;

use micro_runtime::Service;
use micro_runtime::call::{Retry, RetryDecision};
use micro_tests::consul::Consul;
use micro_tests::fleet::Fleet;
use micro_tests::load::{Kind, Load, Plan};

use super::stage::Nodes;

/// Calls in a second of each load.
const RATE: u32 = 200;
/// Longer than what a budget looks back at.
const SECONDS: usize = 12;

/// Every error is worth another try.
fn persistent(service: Service) -> Service {
    service.retry(Retry::Custom(Arc::new(|_, _, _| RetryDecision::Again)))
}

fn without_budget(service: Service) -> Service {
    persistent(service).retry_budget(None)
}

#[test]
fn half_of_all_answers_fail_and_nodes_get_a_fifth_more_to_do_at_most() {
    let consul = Consul::start();
    let address = format!("registry_address={}", consul.address());
    let flags = ["registry=consul", &address, "flaky=50"];
    let fleet = Fleet::start(&Nodes::Ours.program().with(&flags), "storm", 3);
    consul.wait_for_nodes("storm", |nodes| nodes.len() == 3);
    let begin = |label: &str, settings: fn(Service) -> Service| {
        Load::start(Plan {
            name: fleet.name().to_owned(),
            label: label.to_owned(),
            rate: RATE,
            flags: vec!["--registry=consul".to_owned(), format!("--{address}")],
            kinds: Kind::each(Nodes::Ours.protocols()),
            settings,
        })
    };
    let loads = [
        ("with the budget", begin("kept", persistent)),
        ("without", begin("free", without_budget)),
    ];
    loads[0].1.wait_for(SECONDS * RATE as usize);
    let reports = loads.map(|(what, load)| (what, load.stop()));
    let ran = fleet.stop();
    let [kept, free] = reports.map(|(what, report)| {
        let calls = report.calls.len();
        let runs: usize = report
            .calls
            .iter()
            .map(|call| ran.of(&call.key).len())
            .sum();
        println!("{what}: {calls} calls, handlers have run {runs} times");
        runs as f64 / calls as f64
    });
    assert!((1.1..=1.2).contains(&kept), "{kept} times as much");
    assert!(
        free > 1.5,
        "the budget makes no difference: {free} times as much without"
    );
}
