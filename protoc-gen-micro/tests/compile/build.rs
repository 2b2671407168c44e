//! Generates each case into a folder of its own, and those of the default options into `OUT_DIR`.

use std::path::PathBuf;

use micro_build::{Builder, Result};

fn main() -> Result<()> {
    let proto = |name: &str| format!("../proto/{name}.proto");
    micro_build::compile(
        &["kinds", "shapes", "ring/left", "ring/right", "plain/plain"].map(proto),
    )?;
    for name in ["old", "names", "deprecated", "docs", "meta"] {
        case(name, |builder| builder).compile(&[proto(name)])?;
    }
    case("routes", |builder| {
        builder.include("../proto").include("../../../proto")
    })
    .compile(&[proto("routes")])?;
    // Without a folder that has `micro/event.proto`.
    case("events", |builder| builder).compile(&[proto("events")])?;
    options()
}

/// A case for each option.
fn options() -> Result<()> {
    let shapes = "../proto/shapes.proto";
    case("no_client", |builder| builder.client(false)).compile(&[shapes])?;
    case("no_server", |builder| builder.server(false)).compile(&[shapes])?;
    case("no_json", |builder| builder.json(false)).compile(&[shapes])?;
    case("bytes", |builder| builder.bytes(".")).compile(&[shapes])?;
    case("btree_map", |builder| builder.btree_map("Shape.counts")).compile(&[shapes])?;
    case("btree_maps", |builder| {
        builder.btree_map(".").bytes(".shapes")
    })
    .compile(&[shapes])?;
    case("messages", |builder| builder.client(false).server(false)).compile(&[shapes])?;
    case("services", |builder| {
        builder
            .messages(false)
            .extern_path(".shapes", "crate::options::messages::shapes")
    })
    .compile(&[shapes])?;
    case("extern_path", |builder| {
        builder
            .extern_path(".ring.right", "crate::ring::right")
            .extern_path(".ring.Common", "crate::ring::Common")
    })
    .compile(&["../proto/ring/left.proto"])?;
    case("attributes", |builder| {
        builder
            .type_attribute(".kinds.Question", "derive(PartialOrd)")
            .type_attribute(".kinds", "#[must_use]")
            .field_attribute(
                ".kinds.Question.text",
                r#"doc = "The text, [as it is]: `x`.""#,
            )
    })
    .compile(&["../proto/kinds.proto"])?;
    case("files", |builder| {
        builder
            .file_descriptor_set("set.bin")
            .include_file("tree.rs")
    })
    .compile(&["../proto/kinds.proto"])
}

/// A builder that writes into a folder called `name`.
fn case(name: &str, with: impl FnOnce(Builder) -> Builder) -> Builder {
    let out = PathBuf::from(std::env::var_os("OUT_DIR").unwrap_or_default());
    with(Builder::new().out_dir(out.join(name)))
}
