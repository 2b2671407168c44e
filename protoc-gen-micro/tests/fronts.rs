//! Both fronts give the same code, whatever has read the files.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod common;

use std::path::PathBuf;
use std::process::Command;

use common::{here, protoc, protoc_ok, read_all, shared};

const FILES: [&str; 15] = [
    "kinds.proto",
    "shapes.proto",
    "old.proto",
    "names.proto",
    "deprecated.proto",
    "docs.proto",
    "routes.proto",
    "events.proto",
    "ring/left.proto",
    "ring/right.proto",
    "ring/right_base.proto",
    "ring/root.proto",
    "plain/plain.proto",
    "plain/inner.proto",
    // Of the other folder.
    "micro/debug/debug.proto",
];

const OPTIONS: &str = "bytes=.,btree_map=Shape.counts,type_attribute=.kinds=#[derive(PartialOrd)],file_descriptor_set=set.bin";

fn builder() -> micro_build::Builder {
    let options = OPTIONS.split(',');
    options
        .fold(micro_build::Builder::new(), |builder, option| {
            builder.option(option)
        })
        .include(here("proto"))
        .include(shared())
}

fn paths() -> Vec<PathBuf> {
    FILES
        .iter()
        .map(|file| [here("proto"), shared()].map(|root| root.join(file)))
        .map(|[own, shared]| if own.is_file() { own } else { shared })
        .collect()
}

/// Compares what the plugin writes with what `build` writes.
fn same_as_the_plugin(build: impl FnOnce(micro_build::Builder) -> micro_build::Result<()>) {
    let (plugin, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    protoc_ok(&here("proto"), plugin.path(), OPTIONS, &FILES);
    build(builder().out_dir(other.path())).unwrap();
    let (plugin, other) = (read_all(plugin.path()), read_all(other.path()));
    assert_eq!(
        plugin.keys().collect::<Vec<_>>(),
        other.keys().collect::<Vec<_>>()
    );
    for (name, content) in &plugin {
        assert!(*content == other[name], "{name} differs");
    }
}

#[test]
fn a_build_script_gives_the_plugins_code_byte_for_byte() {
    same_as_the_plugin(|builder| builder.compile(&paths()));
}

#[test]
fn protoc_in_a_build_script_gives_the_same() {
    same_as_the_plugin(|builder| builder.protoc(protoc()).compile(&paths()));
}

#[test]
fn a_descriptor_set_gives_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set.bin");
    let status = Command::new(protoc())
        .args(["--include_imports", "--include_source_info"])
        .arg(format!("--proto_path={}", here("proto").display()))
        .arg(format!("--proto_path={}", shared().display()))
        .arg(format!("--descriptor_set_out={}", set.display()))
        .args(FILES)
        .status()
        .unwrap();
    assert!(status.success());
    same_as_the_plugin(|builder| builder.descriptor_set(&set).compile(&FILES));
}

#[test]
fn the_option_of_events_is_known_without_its_file_being_there() {
    let source = tempfile::tempdir().unwrap();
    std::fs::copy(
        here("proto/events.proto"),
        source.path().join("events.proto"),
    )
    .unwrap();
    let read = |with: fn(micro_build::Builder) -> micro_build::Builder| {
        let out = tempfile::tempdir().unwrap();
        let builder = micro_build::Builder::new().out_dir(out.path());
        let file = source.path().join("events.proto");
        with(builder).compile(&[file]).unwrap();
        read_all(out.path())
    };
    let ours = read(|builder| builder);
    assert_eq!(ours, read(|builder| builder.protoc(protoc())));
    let text = String::from_utf8_lossy(&ours["events.rs"]);
    assert!(
        text.contains("event!(Greeted, \"greeter.greeted\")"),
        "{text}"
    );
}

#[test]
fn the_file_of_events_is_the_one_that_is_brought_along() {
    let file = std::fs::read_to_string(shared().join("micro/event.proto")).unwrap();
    assert_eq!(file, protoc_gen_micro::EVENT_PROTO);
}
