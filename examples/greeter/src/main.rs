//! cargo run -p example-greeter
//!
//! Starts the service and then the client, each a process of its own, as two terminals would.

use std::io::{BufRead, BufReader, Error, Result};
use std::process::{Command, Stdio};

fn cargo(binary: &str) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args([
        "run",
        "--quiet",
        "--package",
        "example-greeter",
        "--bin",
        binary,
    ]);
    cargo
}

fn main() -> Result<()> {
    let mut service = cargo("greeter-service").stderr(Stdio::piped()).spawn()?;
    let mut lines = BufReader::new(service.stderr.take().expect("it is piped")).lines();
    // The first line says that it serves.
    let started = lines
        .next()
        .ok_or_else(|| Error::other("the service ended at once"))??;
    println!("service | {started}");

    let answer = cargo("greeter-client").output()?;
    print!("client  | {}", String::from_utf8_lossy(&answer.stdout));
    eprint!("{}", String::from_utf8_lossy(&answer.stderr));

    // As Ctrl-C does, so that the service deregisters before it ends.
    Command::new("sh")
        .args(["-c", &format!("kill -INT {}", service.id())])
        .status()?;
    let stopped = service.wait()?;
    println!("service | stopped: {stopped}");
    if answer.status.success() && stopped.success() {
        Ok(())
    } else {
        Err(Error::other("one of the two failed"))
    }
}
