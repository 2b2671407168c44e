fn main() {
    let proto = "../../../tests/proto";
    let builder = volo_build::Builder::protobuf().add_service(format!("{proto}/bench.proto"));
    builder
        .include_dirs(vec![proto.into()])
        .write()
        .expect("the proto compiles");
}
