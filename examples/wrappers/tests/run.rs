//! The example prints what it says.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn prints_what_it_says() {
    let registry = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_example-wrappers"))
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
        concat!(
            "Say.Hello: ok\nHello John, says Jane\nid r-17\n",
            "Say.Hello: greeter.auth: a token is needed (401 Unauthorized)\n401\n",
            "Say.Hello: go.micro.server: name: must not be empty (400 Bad Request)\n400\n",
        )
    );
}
