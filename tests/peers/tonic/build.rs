//! Compiles the service without protoc.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = protox::compile(["greeter.proto"], ["../../proto"])?;
    Ok(tonic_prost_build::configure().compile_fds(descriptors)?)
}
