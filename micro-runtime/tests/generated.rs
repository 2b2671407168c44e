//! The generated code in the source tree is what the generator makes today.
//!
//! `UPDATE_GOLDEN=1 cargo test -p micro-runtime --test generated` writes it anew.
#![allow(missing_docs)]

use std::path::Path;

#[test]
fn the_debug_service_is_up_to_date() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let builder = micro_build::Builder::new()
        .source_dir(root.join("src/server/debug/generated"))
        .check(std::env::var_os("UPDATE_GOLDEN").is_none());
    builder
        .compile(&[root.join("../proto/micro/debug/debug.proto")])
        .unwrap();
}
