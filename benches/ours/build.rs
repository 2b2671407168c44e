//! Generates the code of the service that all frameworks serve here.

fn main() -> micro_build::Result<()> {
    micro_build::compile(&["../../tests/proto/bench.proto"])
}
