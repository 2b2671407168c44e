//! Generates the code of three versions of one `.proto`, each in a folder of its own.

use std::env;
use std::path::PathBuf;

fn main() -> micro_build::Result<()> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for version in ["v1", "v2", "v3"] {
        let folder = out.join(version);
        std::fs::create_dir_all(&folder)?;
        micro_build::Builder::new()
            .out_dir(folder)
            .compile(&[format!("proto/{version}/orders.proto")])?;
    }
    Ok(())
}
