//! Generates the code of three versions of one `.proto`, each in a folder of its own.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

fn main() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    for version in ["v1", "v2", "v3"] {
        let folder = out.join(version);
        fs::create_dir_all(&folder)?;
        micro_build::Builder::new()
            .out_dir(folder)
            .compile(&[format!("proto/{version}/orders.proto")])?;
    }
    Ok(())
}
