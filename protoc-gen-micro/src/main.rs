//! `protoc-gen-micro`: protoc's plugin. See the library for what it does.

use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("protoc-gen-micro: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    if std::env::args().any(|argument| argument == "--version") {
        println!("protoc-gen-micro {}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let mut stdin = io::stdin().lock();
    if stdin.is_terminal() {
        return Err("protoc runs this: protoc --micro_out=OUT a.proto".into());
    }
    let mut request = Vec::new();
    stdin.read_to_end(&mut request)?;
    let (response, warnings) = protoc_gen_micro::plugin::respond(&request)?;
    for warning in warnings {
        eprintln!("protoc-gen-micro: warning: {warning}");
    }
    io::stdout().write_all(&response)?;
    Ok(())
}
