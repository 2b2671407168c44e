//! Code that is kept in the source tree, and the check that it is not stale.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod common;

use common::{folder, write};
use micro_build::Builder;

const PROTO: &str = "syntax = \"proto3\";\npackage a.b;\nmessage M {\n  string name = 1;\n}\n";

#[test]
fn checked_code_that_is_current_passes_and_stays_untouched() {
    let folder = folder(&[("proto/a.proto", PROTO)]);
    let builder = Builder::new().source_dir(folder.path().join("gen"));
    let proto = [folder.path().join("proto/a.proto")];
    builder.compile(&proto).unwrap();
    let time = || {
        let file = folder.path().join("gen/a.b.rs");
        std::fs::metadata(file).unwrap().modified().unwrap()
    };
    let written = time();
    builder.compile(&proto).unwrap();
    builder.check(true).compile(&proto).unwrap();
    assert_eq!(time(), written, "an unchanged file keeps its time");
}

#[test]
fn stale_code_fails_with_the_difference_and_is_left() {
    let folder = folder(&[("proto/a.proto", PROTO)]);
    let builder = Builder::new().source_dir(folder.path().join("gen"));
    let proto = [folder.path().join("proto/a.proto")];
    builder.compile(&proto).unwrap();
    write(
        folder.path(),
        "proto/a.proto",
        &PROTO.replace("name", "title"),
    );
    let error = builder
        .clone()
        .check(true)
        .compile(&proto)
        .unwrap_err()
        .to_string();
    let path = folder.path().join("gen/a.b.rs").display().to_string();
    assert!(error.starts_with("generated code is stale; "), "{error}");
    assert!(
        error.contains(&format!("--- {path}\n+++ {path}, as it would be")),
        "{error}"
    );
    assert!(error.contains("\n-    pub name: "), "{error}");
    assert!(error.contains("\n+    pub title: "), "{error}");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains("pub name: "), "nothing is written");
}

#[test]
fn missing_code_fails_and_is_named() {
    let folder = folder(&[("proto/a.proto", PROTO)]);
    let error = Builder::new()
        .check(true)
        .source_dir(folder.path().join("gen"))
        .compile(&[folder.path().join("proto/a.proto")])
        .unwrap_err()
        .to_string();
    for name in ["gen/a.b.rs", "gen/mod.rs"] {
        let path = folder.path().join(name).display().to_string();
        assert!(error.contains(&format!("--- {path}: ")), "{error}");
    }
    assert!(!folder.path().join("gen").exists());
}

#[test]
fn a_check_needs_a_folder() {
    let folder = folder(&[("proto/a.proto", PROTO)]);
    let proto = [folder.path().join("proto/a.proto")];
    let error = Builder::new().check(true).compile(&proto).unwrap_err();
    assert!(error.to_string().contains("source_dir"), "{error}");
}

#[test]
fn imports_are_generated_where_their_types_are_used() {
    let text = "syntax = \"proto3\";\npackage a;\nimport \"b.proto\"; import \"c.proto\";\nimport \"google/protobuf/any.proto\";\nmessage M { b.M m = 1; google.protobuf.Any any = 2; }";
    let folder = folder(&[
        ("proto/a.proto", text),
        (
            "proto/b.proto",
            "syntax = \"proto3\";\npackage b;\nmessage M {}",
        ),
        (
            "proto/c.proto",
            "syntax = \"proto3\";\npackage c;\nmessage M {}",
        ),
    ]);
    let out = folder.path().join("out");
    let proto = [folder.path().join("proto/a.proto")];
    Builder::new().out_dir(&out).compile(&proto).unwrap();
    let there = ["a.rs", "b.rs", "c.rs"].map(|name| out.join(name).exists());
    assert_eq!(there, [true, true, false]);
}

#[test]
fn deprecated_things_say_so() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = folder(&[]);
    let proto = root.join("../protoc-gen-micro/tests/proto/deprecated.proto");
    let builder = Builder::new().out_dir(folder.path());
    builder.compile(&[proto]).unwrap();
    let text = std::fs::read_to_string(folder.path().join("gone.rs")).unwrap();
    // The first line of each item behind the attribute.
    let is_item = |line: &&str| {
        line.starts_with("pub ")
            || line.starts_with("fn ")
            || line.starts_with("Chosen(")
            || line.ends_with(" = 1,")
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let marked: Vec<&str> = lines
        .split(|line| *line == "#[deprecated]")
        .skip(1)
        .filter_map(|rest| rest.iter().copied().find(is_item))
        .collect();
    let all = marked.join("\n");
    for wanted in [
        "pub struct Old {",
        "pub gone: ",
        "pub olds: ",
        "pub by_name: ",
        "pub maybe: ",
        "Chosen(",
        "pub struct Inner {",
        "pub enum Level {",
        "Old = 1,",
        "fn go(",
        "pub struct GoneClient(",
        "pub fn go(",
    ] {
        assert!(all.contains(wanted), "{wanted} is not among\n{all}");
    }
    for current in ["pub struct New {", "fn stay(", "pub trait Gone"] {
        assert!(!all.contains(current), "{current} is among\n{all}");
    }
}
