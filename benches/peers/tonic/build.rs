//! Compiles the service without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["bench.proto"], ["../../../tests/proto"])?;
    Ok(tonic_prost_build::configure().compile_fds(descriptors)?)
}
