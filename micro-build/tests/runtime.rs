//! The generated code in the runtime's source tree is what the generator makes today.
//!
//! `UPDATE_GOLDEN=1 cargo test -p micro-build --test runtime` writes it anew.
#![allow(missing_docs)]

use std::path::Path;

#[test]
fn the_debug_service_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let builder = micro_build::Builder::new()
        .source_dir(root.join("micro-runtime/src/server/debug/generated"))
        .check(std::env::var_os("UPDATE_GOLDEN").is_none());
    builder
        .compile(&[root.join("proto/micro/debug/debug.proto")])
        .unwrap();
}
