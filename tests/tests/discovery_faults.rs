//! What is lost where something fails: every call of a constant load is counted by who makes it and
//! by the handlers. Lost is what was sent and not answered.
//!
//! The nodes are processes of their own, the registry is a real Consul, and all limits are those
//! that every service has. The first test takes as long as Consul does to forget a dead node; the
//! others run beside it.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::thread;
use std::time::{Duration, Instant};

use micro_tests::consul::Consul;
use micro_tests::fleet::{Fleet, HOLD, Ran};
use micro_tests::gate::{Gate, Way};
use micro_tests::load::{Kind, LAG, Load, Plan, Report};
use micro_tests::peers::Program;

/// Calls in a second.
const RATE: u32 = 500;

/// A fleet of three in a Consul.
fn fleet(name: &str, consul: &str) -> Fleet {
    let program = Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter");
    let program = program.with(&["protocol=auto", "linger=1s"]);
    started(program, name, consul)
}

/// A fleet of three of Go Micro.
fn go_fleet(name: &str, consul: &str) -> Fleet {
    started(Program::go("greeter"), name, consul)
}

fn started(program: Program, name: &str, consul: &str) -> Fleet {
    let address = format!("registry_address={consul}");
    let program = program.with(&["registry=consul", &address, HOLD]);
    Fleet::start(&program, name, 3)
}

/// What is called; `settings` are the client's beside the registry.
fn plan(fleet: &Fleet, label: &str, consul: &str, settings: &[&str]) -> Plan {
    let flags = ["--registry=consul", &format!("--registry_address={consul}")];
    let flags = flags.iter().chain(settings);
    Plan {
        name: fleet.name().to_owned(),
        label: label.to_owned(),
        rate: RATE,
        flags: flags.map(|flag| (*flag).to_owned()).collect(),
        kinds: Kind::ALL.to_vec(),
        settings: |service| service,
    }
}

/// Lets the load run for so long.
fn run_for(load: &Load, seconds: usize) {
    load.wait_for(seconds * RATE as usize);
}

/// The load was a constant one, no call was lost, and each ran once.
fn nothing_lost(what: &str, report: &Report, fleet: Fleet) {
    let wrong = report.miscounted(&fleet.stop());
    println!("{what}: {report}");
    assert!(report.lag() < LAG, "{what}: {report}");
    assert_eq!(report.failed().count(), 0, "{what}: {report}");
    assert!(wrong.is_empty(), "{what}: {wrong:?}");
}

/// A node was ended between `before` and `after`: lost is only what it was working on then, and of
/// that only what may not be sent again.
fn only_in_flight(report: &Report, ran: &Ran, node: usize, before: Instant, after: Instant) {
    assert!(report.lag() < LAG, "{report}");
    assert_eq!(report.miscounted(ran), [], "{report}");
    for call in report.failed() {
        let in_flight = call.begun <= after && call.ended >= before;
        let there = ran.of(&call.key).iter().all(|at| *at == node);
        assert!(
            in_flight && there && !call.kind.idempotent,
            "{call:?}\n{report}"
        );
    }
}

#[test]
fn a_node_killed_with_9_costs_only_its_calls_in_flight_and_leaves_consul() {
    let consul = Consul::start();
    let mut fleet = fleet("killed", consul.address());
    consul.wait_for_all("killed", 3);
    let load = Load::start(plan(&fleet, "k", consul.address(), &[]));
    run_for(&load, 3);
    let dead = fleet.id(1);
    let before = Instant::now();
    fleet.crash(1);
    let after = Instant::now();
    run_for(&load, 8);
    // Until Consul has forgotten it some calls still go on.
    let report = load.stop();
    let mut slow = plan(&fleet, "later", consul.address(), &[]);
    slow.rate = 20;
    let later = Load::start(slow);
    let forgotten = loop {
        thread::sleep(Duration::from_secs(1));
        if consul.nodes("killed").iter().all(|(id, _)| *id != dead) {
            break before.elapsed();
        }
        assert!(
            before.elapsed() < Duration::from_secs(180),
            "Consul keeps it"
        );
    };
    let later = later.stop();
    let ran = fleet.stop();

    println!("killed: {report}\nuntil Consul has forgotten it, after {forgotten:?}: {later}");
    only_in_flight(&report, &ran, 1, before, after);
    let asked: Vec<_> = report
        .tries
        .iter()
        .filter(|one| one.node == dead)
        .map(|one| one.at.saturating_duration_since(after))
        .collect();
    println!("tries of the dead node, after its end: {asked:?}");
    // A caller that has lost a call goes elsewhere for some seconds, and only then finds out that
    // nothing listens there any more: each of the clients for itself, with one call. Who finds out
    // whether it is back does so just before calls may go there again, and on a busy machine one gets
    // through there too.
    let late = asked
        .iter()
        .filter(|after| **after > Duration::from_secs(1));
    assert!(!asked.is_empty() && late.count() <= 6, "asked {asked:?}");
    assert_eq!(later.failed().count(), 0, "{later}");
}

#[test]
fn a_node_that_stops_gracefully_costs_no_call() {
    let consul = Consul::start();
    let mut fleet = fleet("stopped", consul.address());
    consul.wait_for_all("stopped", 3);
    let load = Load::start(plan(&fleet, "s", consul.address(), &[]));
    for number in [3, 2] {
        run_for(&load, 2);
        assert_eq!(fleet.terminate(number).code, Some(0));
    }
    // A new one in their place has calls at once.
    fleet.grow();
    fleet.wait_for_calls(4, 100);
    nothing_lost("stopped", &load.stop(), fleet);
}

#[test]
fn no_call_fails_while_consul_is_away_or_comes_back_empty() {
    let mut consul = Consul::start();
    let fleet = fleet("away", consul.address());
    consul.wait_for_all("away", 3);
    let load = Load::start(plan(&fleet, "away", consul.address(), &[]));
    run_for(&load, 2);
    consul.kill();
    run_for(&load, 20);
    consul.restart();
    println!("empty: {:?}", consul.nodes("away"));
    consul.wait_for_all("away", 3);

    // It is emptied once more, and beside the load runs one that believes every word of the registry.
    let bare = plan(&fleet, "bare", consul.address(), &["--registry_grace=0s"]);
    let bare = Load::start(bare);
    run_for(&bare, 2);
    consul.restart();
    let begun = Instant::now();
    while bare.counts().1 == 0 && begun.elapsed() < Duration::from_secs(20) {
        thread::sleep(Duration::from_millis(100));
    }
    run_for(&load, 3);
    let (bare, report) = (bare.stop(), load.stop());
    println!("without the guard: {bare}");
    assert!(
        bare.failed().count() > 0,
        "the guard makes no difference: {bare}"
    );
    nothing_lost("away, then empty, and empty again", &report, fleet);
}

#[test]
fn no_call_fails_while_consul_is_slow() {
    let consul = Consul::start();
    let gate = Gate::new();
    gate.leads_to(consul.address());
    let fleet = fleet("slow", gate.address());
    consul.wait_for_all("slow", 3);
    let load = Load::start(plan(&fleet, "slow", gate.address(), &[]));
    run_for(&load, 2);
    gate.set(Way::Late(Duration::from_secs(3)));
    // One who comes while it is slow is answered too.
    let mut few = plan(&fleet, "new", gate.address(), &[]);
    few.rate = 20;
    let new = Load::start(few);
    run_for(&load, 33);
    let new = new.stop();
    gate.set(Way::Silent);
    run_for(&load, 33);
    gate.set(Way::Open);
    run_for(&load, 3);
    println!("begun while it is slow: {new}");
    assert_eq!(new.failed().count(), 0, "{new}");
    nothing_lost("slow", &load.stop(), fleet);
}

#[test]
fn nodes_of_go_micro_come_and_go() {
    let consul = Consul::start();
    let mut fleet = go_fleet("go", consul.address());
    consul.wait_for_all("go", 3);
    let mut plan = plan(&fleet, "g", consul.address(), &[]);
    plan.kinds = Kind::MUCP.to_vec();
    let load = Load::start(plan.clone());
    run_for(&load, 2);
    let before = Instant::now();
    fleet.crash(1);
    let after = Instant::now();
    run_for(&load, 3);
    let killed = load.stop();
    plan.label = "h".to_owned();
    let load = Load::start(plan);
    run_for(&load, 2);
    let asked = Instant::now();
    fleet.terminate(2);
    let ended = Instant::now();
    run_for(&load, 2);
    let stopped = load.stop();
    let ran = fleet.stop();
    println!("Go Micro, killed: {killed}\nGo Micro, stopped: {stopped}");
    only_in_flight(&killed, &ran, 1, before, after);
    // Its server ends as soon as it is deregistered: whoever is just calling it then is cut off.
    only_in_flight(&stopped, &ran, 2, asked, ended);
}

#[test]
fn a_caller_of_go_micro_loses_no_call_to_a_node_that_stops_gracefully() {
    let consul = Consul::start();
    let mut fleet = fleet("left", consul.address());
    consul.wait_for_all("left", 3);
    let address = format!("registry_address={}", consul.address());
    let caller = Program::go("greeter").with(&["registry=consul", &address, "name=left"]);
    let calls = caller.launch(&["call=hello", "n=350", "parallel=4"]);
    for number in [3, 2] {
        // Go's cache watches nothing at first, and then never learns what it has missed.
        fleet.wait_for_calls(number, 120);
        fleet.terminate(number);
    }
    let ended = calls.finish();
    assert!(ended.is_ok() && ended.lines.is_empty(), "{ended}");
}
