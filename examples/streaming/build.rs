//! Generates the code of `proto/counter.proto`.

fn main() -> micro_build::Result<()> {
    micro_build::compile(&["../../proto/counter.proto"])
}
