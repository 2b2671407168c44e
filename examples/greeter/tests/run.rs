//! The example does what it says, as two processes.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // A failing test leaves no service behind.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_client_finds_the_service_by_name() {
    let registry = tempfile::tempdir().unwrap();
    let address = registry.path().join("registry");
    let mut service = Service(
        Command::new(env!("CARGO_BIN_EXE_greeter-service"))
            .env("MICRO_REGISTRY", "local")
            .env("MICRO_REGISTRY_ADDRESS", &address)
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
        let client = Command::new(env!("CARGO_BIN_EXE_greeter-client"))
            .env("MICRO_REGISTRY", "local")
            .env("MICRO_REGISTRY_ADDRESS", &address)
            .args(["--client", protocol])
            .output()
            .unwrap();
        assert!(
            client.status.success(),
            "{}",
            String::from_utf8_lossy(&client.stderr)
        );
        assert_eq!(String::from_utf8_lossy(&client.stdout), "Hello John\n");
    }

    // Asked to stop, the service deregisters and ends well.
    Command::new("kill")
        .args(["-TERM", &service.0.id().to_string()])
        .status()
        .unwrap();
    assert!(service.0.wait().unwrap().success());
    let client = Command::new(env!("CARGO_BIN_EXE_greeter-client"))
        .env("MICRO_REGISTRY", "local")
        .env("MICRO_REGISTRY_ADDRESS", &address)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&client.stderr);
    assert!(
        !client.status.success() && said.contains("service go.micro.srv.greeter: not found"),
        "{said}"
    );
}
