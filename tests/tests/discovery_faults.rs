//! What is lost where something fails: every call of a constant load is counted by who makes it and
//! by the handlers.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::{Duration, Instant};

use micro_tests::fleet::Fleet;
use micro_tests::load::{Kind, Load, Plan, Report};
use micro_tests::peers::Program;

const RATE: u32 = 500;

fn greeter(flags: &[&str]) -> Program {
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter").with(flags)
}

#[test]
fn local() {
    let folder = tempfile::TempDir::new().unwrap();
    let address = format!("registry_address={}", folder.path().join("r").display());
    let program = greeter(&[
        "registry=local",
        &address,
        "linger=1s",
        "protocol=auto",
        "hold=20ms",
    ]);
    let mut fleet = Fleet::start(&program, "t", 3);
    let load = Load::start(Plan {
        name: "t".into(),
        label: "a".into(),
        rate: RATE,
        flags: vec!["--registry=local".into(), format!("--{address}")],
        kinds: Kind::ALL.to_vec(),
    });
    load.wait_for(1000);
    fleet.terminate(3);
    load.wait_for(1000);
    let at = Instant::now();
    fleet.crash(1);
    load.wait_for(2500);
    let report = load.stop();
    let ran = fleet.stop();
    println!("{report}");
    for t in &report.tries {
        println!(
            "{:?} {} {}",
            t.at.saturating_duration_since(at),
            t.node,
            t.error
        );
    }
    println!("{:?}", report.miscounted(&ran));
}
