//! The example does what it says.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

use std::process::Output;

use example_testing::{Machine, said};

fn run(machine: &Machine, args: &[&str], env: &[(&str, &str)]) -> Output {
    machine
        .command(env!("CARGO_BIN_EXE_example-flags"))
        .envs(env.iter().copied())
        .args(args)
        .output()
        .unwrap()
}

#[test]
fn takes_its_own_flags_and_those_of_every_service() {
    let machine = Machine::new();
    let plain = run(&machine, &[], &[]);
    assert_eq!(said(&plain), "examples.flags 1.2.0: Hello John\n");
    let told = run(
        &machine,
        &["-g", "Hi", "--server_name=other", "Jane"],
        &[("MICRO_SERVER_VERSION", "2.0.0"), ("GREETING", "Ahoy")],
    );
    assert_eq!(said(&told), "other 2.0.0: Hi Jane\n");
}

#[test]
fn tells_all_flags_and_where_settings_come_from() {
    let machine = Machine::new();
    let help = said(&run(&machine, &["--help"], &[]));
    for flag in ["--greeting", "--server_address", "MICRO_SERVER_ADDRESS"] {
        assert!(help.contains(flag), "{flag} in {help}");
    }
    let file = machine.folder().join("micro.toml");
    std::fs::write(&file, "register_ttl = 90\n\n[client]\nretries = 3\n").unwrap();
    let file = file.to_str().unwrap();
    let args = ["--config", file, "--server_id=7", "--explain-config"];
    let told = said(&run(&machine, &args, &[]));
    let line = |name: &str| {
        let line = told
            .lines()
            .find(|line| line.split(' ').next() == Some(name));
        let words = line.unwrap().split_whitespace().collect::<Vec<_>>();
        words.join(" ")
    };
    assert_eq!(line("server_id"), "server_id 7 flag");
    assert_eq!(
        line("register_ttl"),
        format!("register_ttl 90 file {file}:1")
    );
    assert_eq!(
        line("client_retries"),
        format!("client_retries 3 file {file}:4")
    );
    assert_eq!(line("server_version"), "server_version 1.2.0 code");
    assert_eq!(line("selector"), "selector poweroftwo default");
}

#[test]
fn says_what_is_wrong_with_a_flag() {
    let machine = Machine::new();
    let output = run(&machine, &["--server_adress", ":1"], &[]);
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--server_address"), "{said}");
}
