//! Generates the suite's service and messages from the `.proto` files in its Go module.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const MODULE: &str = "connectrpc.com/conformance";

fn main() -> micro_build::Result<()> {
    // The module's version stands there.
    println!("cargo::rerun-if-changed=go.mod");
    let folder = proto_folder().join("connectrpc/conformance/v1");
    let files = ["client_compat", "config", "server_compat", "service"]
        .map(|name| folder.join(format!("{name}.proto")));
    micro_build::compile(&files)
}

/// The folder of the module's `.proto` files.
fn proto_folder() -> PathBuf {
    go(&["mod", "download", MODULE]);
    let module = go(&["list", "-m", "-f", "{{.Dir}}", MODULE]);
    Path::new(module.trim()).join("proto")
}

fn go(arguments: &[&str]) -> String {
    let output = Command::new("go")
        .args(arguments)
        .stderr(Stdio::inherit())
        .output()
        .expect("the suite is a Go module: install Go 1.25 or newer and try again");
    let ran = arguments.join(" ");
    assert!(output.status.success(), "go {ran} has failed");
    String::from_utf8(output.stdout).expect("paths are UTF-8")
}
