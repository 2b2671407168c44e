//! The example prints what it says.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn a_call_that_runs_is_answered_before_the_service_ends() {
    let registry = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_example-shutdown"))
        .env("MICRO_REGISTRY", "local")
        .env("MICRO_REGISTRY_ADDRESS", registry.path().join("registry"))
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&run.stdout),
        "hook: before start\nhook: after start\nhandler: begun, and asking the process to stop\nhook: before stop\nhandler: done\ncaller: Hello John\nhook: after stop, nothing is served any more\n"
    );
}
