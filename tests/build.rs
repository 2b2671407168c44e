//! Generates the services of the live tests, and writes the descriptors of their messages.

fn main() -> micro_build::Result<()> {
    micro_build::Builder::new()
        .file_descriptor_set("descriptors.bin")
        .compile(&[
            "proto/greeter.proto",
            "proto/kitchen.proto",
            "proto/tally.proto",
            "../proto/micro/debug/debug.proto",
        ])
}
