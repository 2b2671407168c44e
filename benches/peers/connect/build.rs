//! Compiles the service without protoc.

use std::{env, fs, path::PathBuf};

fn main() {
    let proto = "../../../tests/proto";
    let mut compiler = protox::Compiler::new([proto]).expect("the folder is there");
    compiler
        .include_imports(true)
        .open_file("bench.proto")
        .expect("the proto compiles");
    let set = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join("bench.bin");
    fs::write(&set, compiler.encode_file_descriptor_set()).expect("OUT_DIR can be written");
    let config = connectrpc_build::Config::new()
        .files(&["bench.proto"])
        .descriptor_set(set);
    config
        .include_file("_connectrpc.rs")
        .compile()
        .expect("the code is generated");
}
