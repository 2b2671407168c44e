//! The example does what it says, as two processes.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use example_testing::{Machine, Service, said};

#[test]
fn the_client_finds_the_service_by_name() {
    let machine = Machine::new();
    let mut service = Service(
        machine
            .command(env!("CARGO_BIN_EXE_greeter-service"))
            .stderr(Stdio::piped())
            .spawn()
            .unwrap(),
    );
    let mut lines = BufReader::new(service.0.stderr.take().unwrap()).lines();
    let started = lines.next().unwrap().unwrap();
    assert!(
        started.starts_with("go.micro.srv.greeter serves on 127.0.0.1:"),
        "{started}"
    );

    for protocol in ["auto", "mucp", "braid"] {
        let client = machine
            .command(env!("CARGO_BIN_EXE_greeter-client"))
            .args(["--client", protocol])
            .output();
        assert_eq!(said(&client.unwrap()), "Hello John\n");
    }

    // Asked to stop, the service deregisters and ends well.
    service.stop();
    let client = machine
        .command(env!("CARGO_BIN_EXE_greeter-client"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&client.stderr);
    assert!(
        !client.status.success() && said.contains("service go.micro.srv.greeter: not found"),
        "{said}"
    );
}
