fn main() {
    let proto = "../../../tests/proto";
    let config = connectrpc_build::Config::new()
        .files(&[format!("{proto}/bench.proto")])
        .includes(&[proto]);
    config
        .include_file("_connectrpc.rs")
        .compile()
        .expect("the proto compiles");
}
