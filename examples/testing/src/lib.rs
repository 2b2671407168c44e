//! How the examples are tested: each program runs as on a machine of its own, and what it prints is
//! compared. This is no example itself.
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::path::Path;
use std::process::{Child, Command, Output};

use tempfile::TempDir;

/// A machine of its own: programs on it find each other, in a registry of their own, and nobody else.
#[derive(Debug)]
pub struct Machine(TempDir);

impl Machine {
    /// One on which nothing runs yet.
    ///
    /// # Panics
    /// Where there is no room for it.
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A folder for files; gone with the machine.
    pub fn folder(&self) -> &Path {
        self.0.path()
    }

    /// A program to run on it.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("MICRO_REGISTRY", "local");
        command.env("MICRO_REGISTRY_ADDRESS", self.folder().join("registry"));
        command
    }
}

/// What a program prints that runs alone, and ends well.
///
/// # Panics
/// Where it does not, with what it complained of.
pub fn printed_by(program: &str) -> String {
    said(&Machine::new().command(program).output().unwrap())
}

/// What a program has printed that has ended well.
///
/// # Panics
/// As [`printed_by`].
pub fn said(output: &Output) -> String {
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{complaints}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// A service that runs: a failing test leaves none behind.
#[derive(Debug)]
pub struct Service(pub Child);

impl Service {
    /// Asks it to stop, and waits until it has ended, well.
    ///
    /// # Panics
    /// Where it does not.
    pub fn stop(mut self) {
        let process = self.0.id().to_string();
        // Every shell can; a program called kill is not on every machine.
        let asked = Command::new("sh")
            .args(["-c", "kill -TERM \"$0\"", &process])
            .status();
        assert!(asked.unwrap().success());
        assert!(self.0.wait().unwrap().success());
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
