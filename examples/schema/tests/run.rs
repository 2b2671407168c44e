//! The example prints what it says.
#![allow(missing_docs)]

use std::process::Command;

#[test]
fn prints_what_it_says() {
    let registry = tempfile::tempdir().unwrap();
    let run = Command::new(env!("CARGO_BIN_EXE_example-schema"))
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
        "v2: field 3 `note` of orders.Order is not here (request: harmless)\n\
         v3: field 2 `count` of orders.Order is string there and int32 here (request: cannot be read)\n\
         Place reaches {\"v1\", \"v2\"}, Track reaches {\"v1\", \"v2\", \"v3\"}\n\
         error selecting examples.orders node: none understands Orders.Place (examples.orders-v3: \
         field 2 `count` of orders.Order is string there and int32 here)\n\
         tracked by v3\n"
    );
}
