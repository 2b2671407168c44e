//! What is generated, in full, for people to read. `tests/compile` compiles the same files.
//!
//! `UPDATE_GOLDEN=1 cargo test -p protoc-gen-micro` writes them anew.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod common;

use common::{here, read_all, shared};

#[test]
fn golden_files_are_what_is_generated() {
    let builder = micro_build::Builder::new()
        .include(here("proto"))
        .include(shared())
        .out_dir(here("golden"));
    let golden = here("golden");
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let files = [
        "greeter",
        "kinds",
        "docs",
        "routes",
        "events",
        "plain/plain",
    ]
    .map(|name| {
        let own = here("proto").join(format!("{name}.proto"));
        if own.is_file() {
            own
        } else {
            shared().join(format!("{name}.proto"))
        }
    });
    if update {
        std::fs::remove_dir_all(&golden).ok();
        builder.compile(&files).unwrap();
        return;
    }
    let temporary = tempfile::tempdir().unwrap();
    builder.out_dir(temporary.path()).compile(&files).unwrap();
    let (wanted, found) = (read_all(&golden), read_all(temporary.path()));
    assert_eq!(
        wanted.keys().collect::<Vec<_>>(),
        found.keys().collect::<Vec<_>>()
    );
    for (name, content) in &found {
        let (wanted, found) = [&wanted[name], content]
            .map(|bytes| String::from_utf8_lossy(bytes))
            .into();
        let different = wanted
            .lines()
            .zip(found.lines())
            .enumerate()
            .find(|(_, (wanted, found))| wanted != found);
        assert!(
            wanted == found,
            "golden/{name} differs at {different:?}: run UPDATE_GOLDEN=1 cargo test -p protoc-gen-micro, and read the change"
        );
    }
}

#[test]
fn a_service_with_one_method_takes_less_than_a_hundred_lines() {
    let out = tempfile::tempdir().unwrap();
    let greeter = shared().join("greeter.proto");
    let builder = micro_build::Builder::new().out_dir(out.path());
    builder.compile(&[greeter]).unwrap();
    let text = std::fs::read_to_string(out.path().join("go.micro.srv.greeter.rs")).unwrap();
    let (_, service) = text.split_once("/// The `FileDescriptorSet`").unwrap();
    let lines = service.lines().count();
    assert!(lines < 100, "{lines} lines");
}
