//! A server of a test's own, in a process of its own: the test program once more, of which one
//! ignored test serves. So what the server holds is nobody else's.

use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader, Lines, Write};
use std::process::{self, ChildStdin, ChildStdout, Command, Stdio};

/// What the server says when it listens.
const READY: &str = "listening on ";

/// Such a process; killed when it is dropped.
#[derive(Debug)]
pub struct Child {
    child: process::Child,
    input: ChildStdin,
    lines: Lines<BufReader<ChildStdout>>,
    address: String,
}

impl Child {
    /// Starts the server that `test` is, and waits until it [listens].
    ///
    /// # Panics
    /// Where it does not.
    pub fn start(test: &str, variables: &[(&str, &str)]) -> Self {
        let mut child = this_test(test)
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the program that runs can be run");
        let input = child.stdin.take().expect("it is piped");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let address = after(&mut lines, READY);
        Self {
            child,
            input,
            lines,
            address,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a line, and gives what follows `start` in the next line of its own that has it.
    ///
    /// # Panics
    /// Where it lives no more.
    pub fn ask(&mut self, start: &str) -> String {
        self.input.write_all(b"\n").expect("the server lives");
        after(&mut self.lines, start)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Says, in the child, that it listens; `told` hears of each line that it is [sent](Child::ask). It
/// ends with its standard input, so with whoever started it.
pub fn listens(address: impl Display, mut told: impl FnMut() + Send + 'static) {
    println!("{READY}{address}");
    std::thread::spawn(move || {
        for line in std::io::stdin().lines() {
            match line {
                Ok(_) => told(),
                Err(_) => break,
            }
        }
        process::exit(0);
    });
}

/// This program once more, to run the ignored test of this name alone.
///
/// # Panics
/// Where it does not know where it is.
pub fn this_test(name: &str) -> Command {
    let program = std::env::current_exe().expect("the program knows where it is");
    let mut command = Command::new(program);
    command.args([name, "--exact", "--ignored", "--nocapture"]);
    command.stdin(Stdio::piped());
    command
}

/// A figure of a process in KiB, as the system tells it: `VmRSS:`.
///
/// # Panics
/// Where it does not.
pub fn memory(process: u32, figure: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).expect("the process lives");
    let line = status.lines().find_map(|line| line.strip_prefix(figure));
    let value = line.and_then(|line| line.split_whitespace().next());
    let value = value.and_then(|value| value.parse().ok());
    value.expect("the system tells it")
}

fn after(lines: &mut Lines<BufReader<ChildStdout>>, start: &str) -> String {
    lines
        .map_while(Result::ok)
        .find_map(|line| Some(line.split_once(start)?.1.to_owned()))
        .expect("the server lives")
}
