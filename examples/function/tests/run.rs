//! The example prints what it says.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn serves_one_call_and_exits() {
    let registry = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_example-function"))
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
        "function: called by John\ncaller: Hello John\nfunction: deregistered, drained, done\ncaller: nobody is there any more\n"
    );
}
