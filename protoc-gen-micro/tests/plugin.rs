//! The plugin under a real protoc.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

mod common;

use common::{here, protoc_fails, protoc_ok, read_all, run_protoc, shared, write};

#[test]
fn each_package_gets_a_file_and_mod_rs_includes_them() {
    let out = tempfile::tempdir().unwrap();
    let files = [
        "ring/left.proto",
        "ring/right.proto",
        "ring/right_base.proto",
        "ring/root.proto",
    ];
    protoc_ok(&here("proto"), out.path(), "", &files);
    let written = read_all(out.path());
    let names: Vec<_> = written.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        ["mod.rs", "ring.left.rs", "ring.right.rs", "ring.rs"]
    );
    let tree = String::from_utf8_lossy(&written["mod.rs"]);
    for name in &names[1..] {
        assert!(tree.contains(&format!("include!(\"{name}\");")), "{tree}");
    }
}

#[test]
fn the_order_of_files_changes_nothing() {
    let outs = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
    let mut files = [
        "ring/right_base.proto",
        "kinds.proto",
        "ring/right.proto",
        "ring/left.proto",
        "ring/root.proto",
    ];
    protoc_ok(&here("proto"), outs[0].path(), "", &files);
    files.reverse();
    protoc_ok(&here("proto"), outs[1].path(), "", &files);
    assert!(read_all(outs[0].path()) == read_all(outs[1].path()));
}

#[test]
fn proto3_optional_and_proto2_are_supported() {
    let out = tempfile::tempdir().unwrap();
    protoc_ok(
        &here("proto"),
        out.path(),
        "",
        &["shapes.proto", "old.proto"],
    );
    let shapes = String::from_utf8(read_all(out.path()).remove("shapes.rs").unwrap()).unwrap();
    assert!(shapes.contains("pub maybe_int: ::core::option::Option<i32>"));
}

#[test]
fn a_file_that_is_not_named_is_missed_with_a_warning() {
    let out = tempfile::tempdir().unwrap();
    let said = protoc_ok(&here("proto"), out.path(), "", &["ring/left.proto"]);
    assert!(
        said.contains("ring/left.proto uses `ring.right.Base` of ring/right_base.proto, which is not generated"),
        "{said}"
    );
    let options = "extern_path=.ring.right=crate::x,extern_path=.ring.Common=crate::y";
    let said = protoc_ok(&here("proto"), out.path(), options, &["ring/left.proto"]);
    assert_eq!(said, "");
}

#[test]
fn a_service_with_a_messages_name_is_renamed_with_a_warning_that_names_both() {
    let root = tempfile::tempdir().unwrap();
    let text = "syntax = \"proto3\";\npackage p;\nmessage SayServer {}\n  service Say { rpc A(SayServer) returns (SayServer); }";
    write(root.path(), "say.proto", text);
    let said = protoc_ok(root.path(), root.path(), "", &["say.proto"]);
    assert_eq!(
        said,
        "protoc-gen-micro: warning: say.proto:4:3: service `p.Say` would have a name of message `p.SayServer`, \
         so its trait, server and client are called `SayService`, `SayServiceServer` and `SayServiceClient`\n"
    );
}

#[test]
fn the_descriptor_set_is_written_where_it_is_wanted() {
    let out = tempfile::tempdir().unwrap();
    let options = "file_descriptor_set=set.bin,include_file=tree.rs";
    protoc_ok(&here("proto"), out.path(), options, &["routes.proto"]);
    let written = read_all(out.path());
    let names: Vec<_> = written.keys().map(String::as_str).collect();
    assert_eq!(names, ["routes.rs", "set.bin", "tree.rs"]);
    let pool = prost_reflect::DescriptorPool::decode(&*written["set.bin"]).unwrap();
    let method = pool
        .get_service_by_name("routes.Routes")
        .unwrap()
        .methods()
        .next()
        .unwrap();
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    assert!(
        method.options().has_extension(&http),
        "custom options are kept"
    );
}

#[test]
fn an_unknown_option_lists_the_known_ones() {
    let said = protoc_fails(&here("proto"), "paths=source_relative", &["kinds.proto"]);
    assert!(said.contains("unknown option `paths`"), "{said}");
    assert!(said.contains("btree_map=PATH"), "{said}");
}

#[test]
fn protoc_says_that_editions_are_not_supported() {
    let root = tempfile::tempdir().unwrap();
    let text = "\nedition = \"2023\";\npackage p;\nmessage M {}";
    write(root.path(), "new.proto", text);
    let said = protoc_fails(root.path(), "", &["new.proto"]);
    assert!(
        said.contains("new.proto:2:1: editions are not supported yet"),
        "{said}"
    );
}

#[test]
fn names_that_are_one_in_rust_are_an_error_with_file_line_and_column() {
    // What protoc itself lets pass: most of it in proto2 alone.
    let cases = [
        (
            "message A {}\nmessage a {}",
            ":4:1: `p.a` and `p.A` would both be the type `A` of `p`",
        ),
        (
            "message A {\n  oneof foo { int32 a = 1; }\n  optional int32 Foo = 2; }",
            ":4:3: `foo` and `Foo` would both be the field `foo` of `p.A`",
        ),
        (
            "message A {\n  optional int32 b = 1;\n  optional int32 B = 2; }",
            ":5:3: `B` and `b` would both be the field `b` of `p.A`",
        ),
        (
            "message A { oneof o { int32 ab = 1; int32 Ab = 2; } }",
            ":3:37: `Ab` and `ab` would both be the variant `Ab` of `p.A.o`",
        ),
        (
            "message M {} service S { rpc Get(M) returns (M);\n rpc get(M) returns (M); }",
            ":4:2: method `get` would be called `get`, as another method of service `S` is",
        ),
    ];
    for (text, wanted) in cases {
        let root = tempfile::tempdir().unwrap();
        let text = format!("syntax = \"proto2\";\npackage p;\n{text}\n");
        write(root.path(), "a.proto", &text);
        let said = protoc_fails(root.path(), "", &["a.proto"]);
        assert!(said.contains(&format!("a.proto{wanted}")), "{said}");
        assert!(said.contains("rename one"), "{said}");
    }
}

#[test]
fn modules_that_are_one_in_rust_are_an_error() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "a.proto",
        "syntax = \"proto3\";\npackage p;\nmessage Sub { enum E { X = 0; } }",
    );
    write(
        root.path(),
        "b.proto",
        "syntax = \"proto3\";\npackage p.sub;\nmessage M {}",
    );
    let said = protoc_fails(root.path(), "", &["a.proto", "b.proto"]);
    assert!(
        said.contains("a.proto:3:1: the nested types of message `p.Sub`"),
        "{said}"
    );
    write(
        root.path(),
        "c.proto",
        "syntax = \"proto3\";\npackage P.Sub;\nmessage M {}",
    );
    let said = protoc_fails(root.path(), "", &["b.proto", "c.proto"]);
    assert!(said.contains("c.proto:2:1: packages `P` and `p`"), "{said}");
}

#[test]
fn errors_of_syntax_are_protocs_with_file_line_and_column() {
    let root = tempfile::tempdir().unwrap();
    write(
        root.path(),
        "a.proto",
        "syntax = \"proto3\";\nmessage M {\n  strin name = 1;\n}",
    );
    let output = run_protoc(root.path(), root.path(), "", &["a.proto"]);
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("a.proto:3:3: "), "{said}");
}

#[test]
fn what_is_not_a_request_is_refused() {
    use std::io::Write as _;
    use std::process::{Command, Stdio};
    let mut plugin = Command::new(env!("CARGO_BIN_EXE_protoc-gen-micro"))
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    plugin.stdin.take().unwrap().write_all(b"syntax").unwrap();
    let output = plugin.wait_with_output().unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("this is not a request of protoc"), "{said}");
}

#[test]
fn the_examples_greeter_is_found_by_its_own_name() {
    let out = tempfile::tempdir().unwrap();
    protoc_ok(
        &shared(),
        out.path(),
        "",
        &["greeter.proto", "micro/debug/debug.proto"],
    );
    let names: Vec<_> = read_all(out.path()).into_keys().collect();
    assert_eq!(names, ["debug.rs", "go.micro.srv.greeter.rs", "mod.rs"]);
}
