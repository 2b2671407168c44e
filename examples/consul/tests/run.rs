//! The example does what it says. Consul itself is not needed: another registry stands in for it.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

struct Service(Child);

impl Drop for Service {
    fn drop(&mut self) {
        // A failing test leaves no service behind.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn command(program: &str, folder: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("MICRO_REGISTRY", "local");
    command.env("MICRO_REGISTRY_ADDRESS", folder.join("registry"));
    command
}

#[test]
fn a_service_is_found_once_its_check_succeeds() {
    let folder = tempfile::tempdir().unwrap();
    let maintenance = folder.path().join("maintenance");
    std::fs::write(&maintenance, "").unwrap();
    let mut service = Service(
        command(env!("CARGO_BIN_EXE_consul-service"), folder.path())
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
        command(env!("CARGO_BIN_EXE_consul-client"), folder.path())
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

    Command::new("kill")
        .args(["-TERM", &service.0.id().to_string()])
        .status()
        .unwrap();
    assert!(service.0.wait().unwrap().success());
}
