//! Protobuf JSON: three dialects, one form.
#![allow(missing_docs, unreachable_pub)]

#[deny(warnings, missing_docs, unreachable_pub)]
#[path = "json/generated/mod.rs"]
mod generated;
#[path = "json/property.rs"]
mod property;
#[path = "json/random.rs"]
mod random;
#[path = "json/support.rs"]
mod support;

#[test]
fn the_generated_forms_are_current() {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = here.join("tests/json");
    micro_build::Builder::new()
        .include(folder.join("proto"))
        .include(here.join("../tests/proto"))
        .bytes(".forms.Odd.shared")
        .btree_map(".forms.Odd.ordered")
        .source_dir(folder.join("generated"))
        .check(std::env::var_os("UPDATE_GOLDEN").is_none())
        .compile(&[
            here.join("../tests/proto/kitchen.proto"),
            folder.join("proto/forms.proto"),
        ])
        .unwrap();
}
