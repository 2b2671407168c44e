//! The example prints what it says.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn prints_what_it_says() {
    let registry = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_example-streaming"))
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
        "count: 1\ncount: 2\ncount: 3\nadd: 6\nrunning total: Some(10)\nrunning total: Some(30)\nrunning total: None\ntoo many: counter.count: that would take too long (400 Bad Request)\n"
    );
}
