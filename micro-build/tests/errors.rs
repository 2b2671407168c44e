//! What a person reads when the build fails.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod common;

use common::{folder, write};
use micro_build::Builder;

/// The error of compiling a file with this text, and the path of that file.
fn error(text: &str) -> (String, String) {
    let folder = folder(&[]);
    let path = write(folder.path(), "proto/a/bad.proto", text);
    let error = Builder::new()
        .out_dir(folder.path().join("out"))
        .compile(&[&path])
        .unwrap_err();
    assert!(!folder.path().join("out").exists(), "nothing is written");
    // What cargo shows of `main`'s error is its `Debug`.
    assert_eq!(format!("{error:?}"), error.to_string());
    (error.to_string(), path.display().to_string())
}

#[test]
fn errors_of_syntax_have_path_line_and_column() {
    let (unknown, path) = error("syntax = \"proto3\";\nmessage M {\n  strin name = 1;\n}");
    assert_eq!(unknown, format!("{path}:3:3: name 'strin' is not defined"));
    let (missing, path) = error("syntax = \"proto3\";\nmessage M {\n  string name 1;\n}");
    assert!(missing.starts_with(&format!("{path}:3:15: ")), "{missing}");
}

#[test]
fn a_missing_import_is_found_at_its_line() {
    let (error, path) = error("syntax = \"proto3\";\n\nimport \"not/there.proto\";");
    assert!(error.starts_with(&format!("{path}:3:1: ")), "{error}");
    assert!(error.contains("not/there.proto"), "{error}");
}

#[test]
fn editions_are_refused_by_name() {
    let (error, path) = error("// Comment.\n  edition = \"2023\";\nmessage M {}");
    assert!(
        error.starts_with(&format!("{path}:2:3: editions are not supported yet")),
        "{error}"
    );
}

#[test]
fn editions_in_an_import_are_refused_there() {
    let folder = folder(&[
        ("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";"),
        ("b.proto", "edition = \"2023\";"),
    ]);
    let a = folder.path().join("a.proto");
    let error = Builder::new()
        .out_dir(folder.path())
        .compile(&[a])
        .unwrap_err();
    let b = folder.path().join("b.proto");
    assert!(
        error
            .to_string()
            .starts_with(&format!("{}:1:1: editions", b.display())),
        "{error}"
    );
}

#[test]
fn the_generators_errors_have_the_path_too() {
    let text = "syntax = \"proto2\";\npackage p;\nenum E { A = 0;\n  E_A = 1; }";
    let (error, path) = error(text);
    assert_eq!(
        error,
        format!("{path}:4:3: `E_A` and `A` would both be the variant `A` of `p.E`: rename one")
    );
}

#[test]
fn an_event_without_a_topic_is_refused_at_its_place() {
    let (error, path) = error(
        "syntax = \"proto3\";\npackage a;\nimport \"micro/event.proto\";\nmessage M { option (micro.event) = {}; }\n",
    );
    assert!(
        error.starts_with(&format!("{path}:4:1: M is an event without a topic")),
        "{error}"
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = micro_build::compile(&["proto/nothing.proto"]).unwrap_err();
    assert_eq!(
        error.to_string(),
        "proto/nothing.proto: there is no such file"
    );
}

#[test]
fn a_file_hidden_by_another_of_the_same_name_is_named() {
    let text = "syntax = \"proto3\";";
    let folder = folder(&[("x/a.proto", text), ("y/a.proto", text)]);
    let paths = ["x/a.proto", "y/a.proto"].map(|name| folder.path().join(name));
    let error = Builder::new()
        .out_dir(folder.path())
        .compile(&paths)
        .unwrap_err();
    let [x, y] = paths.map(|path| path.display().to_string());
    assert_eq!(
        error.to_string(),
        format!("{y}: {x} has the same name, a.proto")
    );
}

#[test]
fn an_unknown_option_lists_the_known_ones() {
    let error = Builder::new()
        .option("grpc=true")
        .compile(&["a.proto"])
        .unwrap_err();
    let error = error.to_string();
    assert!(
        error.contains("unknown option `grpc`") && error.contains("json=true|false"),
        "{error}"
    );
}

#[test]
fn without_out_dir_the_way_out_is_told() {
    let folder = folder(&[("a.proto", "syntax = \"proto3\";\nmessage M {}")]);
    let error = micro_build::compile(&[folder.path().join("a.proto")]).unwrap_err();
    assert!(
        error.to_string().starts_with("OUT_DIR is not set"),
        "{error}"
    );
}

#[test]
fn protocs_errors_are_passed_on() {
    let folder = folder(&[(
        "a.proto",
        "syntax = \"proto3\";\nmessage M { strin s = 1; }",
    )]);
    let builder = Builder::new().out_dir(folder.path());
    let path = folder.path().join("a.proto");
    let protoc = protoc_bin_vendored::protoc_bin_path().unwrap();
    let error = builder
        .clone()
        .protoc(protoc)
        .compile(&[&path])
        .unwrap_err();
    let wanted = format!("{}:2:13: \"strin\" is not defined.", path.display());
    assert_eq!(error.to_string(), wanted);

    let error = builder
        .protoc("no-such-protoc")
        .compile(&[&path])
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("PROTOC: cannot run no-such-protoc: "),
        "{error}"
    );
}

#[test]
fn what_is_no_descriptor_set_is_named() {
    let folder = folder(&[("set.bin", "syntax")]);
    let set = folder.path().join("set.bin");
    let error = Builder::new()
        .descriptor_set(&set)
        .compile(&[""; 0])
        .unwrap_err();
    let wanted = format!("{}: this is not a descriptor set: ", set.display());
    assert!(error.to_string().starts_with(&wanted), "{error}");
}
