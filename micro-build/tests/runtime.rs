//! The generated code in the runtime's source tree is what the generator makes today.
//!
//! `UPDATE_GOLDEN=1 cargo test -p micro-build --test runtime` writes it anew.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::path::{Path, PathBuf};

use micro_build::Builder;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Writes to `folder`, or only looks at it.
fn builder(folder: &str) -> Builder {
    Builder::new()
        .source_dir(root().join(folder))
        .check(std::env::var_os("UPDATE_GOLDEN").is_none())
}

#[test]
fn the_debug_service_is_up_to_date() {
    builder("micro-runtime/src/server/debug/generated")
        .compile(&[root().join("proto/micro/debug/debug.proto")])
        .unwrap();
}

#[test]
fn health_and_reflection_of_grpc_are_up_to_date() {
    let protos = root().join("proto");
    builder("micro-runtime/src/server/grpc/generated")
        .include(&protos)
        .btree_map(".")
        .bytes(".")
        .compile(&[
            protos.join("grpc/health/v1/health.proto"),
            protos.join("grpc/reflection/v1/reflection.proto"),
            protos.join("grpc/reflection/v1alpha/reflection.proto"),
        ])
        .unwrap();
}

#[test]
fn the_messages_of_json_tests_are_up_to_date() {
    let protos = root().join("micro-runtime/tests/json/proto");
    builder("micro-runtime/tests/json/generated")
        .include(&protos)
        .include(root().join("tests/proto"))
        .bytes(".forms.Odd.shared")
        .btree_map(".forms.Odd.ordered")
        .compile(&[
            root().join("tests/proto/kitchen.proto"),
            protos.join("forms.proto"),
        ])
        .unwrap();
}

#[test]
fn the_greeter_of_mucp_tests_is_up_to_date() {
    builder("micro-runtime/tests/mucp/generated")
        .btree_map(".greeter")
        .compile(&[root().join("tests/proto/greeter.proto")])
        .unwrap();
}

#[test]
fn the_teller_of_web_tests_is_up_to_date() {
    let protos = root().join("micro-runtime/tests/web/proto");
    builder("micro-runtime/tests/web/generated")
        .btree_map(".test")
        .bytes(".test")
        .compile(&[protos.join("teller.proto")])
        .unwrap();
}
