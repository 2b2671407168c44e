//! The example does what it says. Consul itself is not needed: another registry stands in for it.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use example_testing::{Machine, Service};

#[test]
fn a_service_is_found_once_its_check_succeeds() {
    let machine = Machine::new();
    let maintenance = machine.folder().join("maintenance");
    std::fs::write(&maintenance, "").unwrap();
    let mut service = Service(
        machine
            .command(env!("CARGO_BIN_EXE_consul-service"))
            .arg("--maintenance")
            .arg(&maintenance)
            .args(["--server_address=127.0.0.1:0", "--register_interval=1"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(service.0.stderr.take().unwrap()).lines();
    let warned = lines.next().unwrap().unwrap();
    assert!(warned.contains("in maintenance"), "{warned}");
    let started = lines.next().unwrap().unwrap();
    let (_, rest) = started.split_once(" serves on ").unwrap();
    let address = rest.split(' ').next().unwrap();

    let call = || {
        machine
            .command(env!("CARGO_BIN_EXE_consul-client"))
            .output()
            .unwrap()
    };
    let said = String::from_utf8_lossy(&call().stderr).into_owned();
    assert!(said.contains("not found"), "{said}");

    std::fs::remove_file(&maintenance).unwrap();
    // Within an interval it is there; asked until then, at most so long.
    let until = Instant::now() + Duration::from_secs(30);
    let answer = loop {
        let answer = call();
        if answer.status.success() || Instant::now() > until {
            break answer;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let answer = String::from_utf8_lossy(&answer.stdout).into_owned();
    assert_eq!(answer, format!("Hello John from {address}\n"));

    service.stop();
}
