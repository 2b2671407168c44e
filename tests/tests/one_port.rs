//! The README's commands for one port, run as they stand there.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use micro_tests::peers::{Program, workspace};

/// Where the README has the service.
const WRITTEN: &str = "127.0.0.1:8080";

/// The README's commands with what they print.
fn commands() -> Vec<(String, String)> {
    let readme = std::fs::read_to_string(workspace().join("README.md")).unwrap();
    let (_, section) = readme.split_once("## One port\n").unwrap();
    let (_, block) = section.split_once("```console\n").unwrap();
    let (block, _) = block.split_once("```").unwrap();
    let mut commands: Vec<(String, String)> = Vec::new();
    for line in block.lines() {
        match (line.strip_prefix("$ "), commands.last_mut()) {
            (Some(command), _) => commands.push((command.to_owned(), String::new())),
            (None, Some((_, printed))) => *printed += &format!("{line}\n"),
            (None, None) => panic!("the block begins with {line:?}"),
        }
    }
    commands
}

/// The service of the README, at a port of its own.
struct Service {
    child: Child,
    address: String,
}

impl Service {
    fn start(command: &str) -> Self {
        let command = command.strip_suffix(" &").unwrap();
        let command = command.replace(WRITTEN, "127.0.0.1:0");
        let mut child = Command::new("bash")
            .args(["-c", &format!("exec {command}")])
            .env("MICRO_REGISTRY", "memory")
            // Those of the tests are no settings.
            .env_remove("MICRO_PEERS")
            .env_remove("MICRO_SERVERS_BIN")
            .current_dir(workspace())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
        let line = told.next().expect("it says where it serves").unwrap();
        let (_, rest) = line.split_once("serves on ").expect(&line);
        let (address, _) = rest.split_once(' ').unwrap();
        let address = address.to_owned();
        Self { child, address }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn the_readmes_commands_print_what_it_says() {
    let mut commands = commands().into_iter();
    let (start, _) = commands.next().unwrap();
    let service = Service::start(&start);
    let grpcurl = Program::go("grpcurl");
    let mut path = OsString::from(grpcurl.path().parent().unwrap());
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap());
    let mut run = 0;
    for (command, expected) in commands {
        let output = Command::new("bash")
            .args(["-c", &command.replace(WRITTEN, &service.address)])
            .env("PATH", &path)
            .output()
            .unwrap();
        let printed = String::from_utf8_lossy(&output.stdout);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(printed.trim_end(), expected.trim_end(), "{command}: {said}");
        run += 1;
    }
    assert!(run >= 3, "{run} commands were run");
}
