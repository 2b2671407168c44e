//! The example prints what it says.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn prints_what_it_says() {
    let registry = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_example-pubsub"))
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
        "a mail to John for blue\nno mail: mails: whom? (400 Bad Request)\n"
    );
}
