//! Generates the code of `proto/pubsub.proto`.

fn main() -> micro_build::Result<()> {
    micro_build::compile(&["../../proto/pubsub.proto"])
}
