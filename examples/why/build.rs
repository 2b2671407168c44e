//! Generates the code of `proto/greeter.proto`.

fn main() -> micro_build::Result<()> {
    micro_build::compile(&["../../proto/greeter.proto"])
}
