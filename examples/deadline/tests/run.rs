//! The example prints what it says.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn prints_what_it_says() {
    let registry = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_example-deadline"))
        .env("MICRO_REGISTRY", "local")
        .env("MICRO_REGISTRY_ADDRESS", registry.path().join("registry"))
        .output()
        .unwrap();
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let printed = String::from_utf8_lossy(&run.stdout);
    // The caller's own clock and the back's end the call at about the same time.
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "back: 2 s left for John",
            "back: nobody waits any more",
            "caller: code 408"
        ]
    );
}
