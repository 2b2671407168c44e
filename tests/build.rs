//! Generates the services of the live tests, and writes the descriptors of the kitchen's messages.

use std::error::Error;
use std::path::Path;

fn main() -> Result<(), Box<dyn Error>> {
    micro_build::compile(&[
        "proto/greeter.proto",
        "proto/kitchen.proto",
        "proto/debug.proto",
        "proto/tally.proto",
    ])?;
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).open_file("kitchen.proto")?;
    let out = std::env::var("OUT_DIR")?;
    std::fs::write(
        Path::new(&out).join("kitchen.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    Ok(())
}
