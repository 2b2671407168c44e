//! grpcurl, which has no `.proto` and asks for everything.

use std::process::Command;

use micro_tests::peers::Program;

use super::server;

/// What grpcurl prints, and whether it went well.
fn grpcurl(args: &[&str]) -> (bool, String) {
    let program = Program::go("grpcurl");
    let output = Command::new(program.path())
        .args(["-plaintext", "-max-time", "20"])
        .args(args)
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (
        output.status.success(),
        String::from_utf8_lossy(&text).into_owned(),
    )
}

fn prints(args: &[&str], lines: &[&str]) {
    let (well, text) = grpcurl(args);
    assert!(well, "{args:?}: {text}");
    let said: Vec<_> = text.lines().map(str::trim).collect();
    assert_eq!(said, lines, "{args:?}");
}

#[test]
fn grpcurl_lists_describes_and_calls() {
    let server = server();
    let address = server.address();
    prints(
        &[address, "list"],
        &[
            "debug.Debug",
            "greeter.Greeter",
            "grpc.health.v1.Health",
            "grpc.reflection.v1.ServerReflection",
            "grpc.reflection.v1alpha.ServerReflection",
        ],
    );
    prints(
        &[address, "describe", "greeter.Greeter.Sum"],
        &[
            "greeter.Greeter.Sum is a method:",
            "rpc Sum ( stream .greeter.SumRequest ) returns ( stream .greeter.SumResponse );",
        ],
    );
    let (well, all) = grpcurl(&[address, "describe"]);
    assert!(well && all.contains("rpc Watch"), "{all}");
    let hello = ["-d", r#"{"name":"x"}"#, address, "greeter.Greeter/Hello"];
    prints(&hello, &["{", r#""msg": "Hello x""#, "}"]);
    let sum = r#"{"n":1}{"n":2}"#;
    let sums = ["{", r#""total": "1""#, "}", "{", r#""total": "3""#, "}"];
    prints(&["-d", sum, address, "greeter.Greeter/Sum"], &sums);
    let fail = r#"{"kind":"notfound","detail":"gone"}"#;
    let (well, text) = grpcurl(&["-d", fail, address, "greeter.Greeter/Fail"]);
    assert!(!well && text.contains("Code: NotFound"), "{text}");
    assert!(text.contains("Message: gone"), "{text}");
}

#[test]
fn grpcurl_asks_for_the_health() {
    let server = server();
    let serving = ["{", r#""status": "SERVING""#, "}"];
    let check = "grpc.health.v1.Health/Check";
    prints(&[server.address(), check], &serving);
    let one = r#"{"service":"greeter.Greeter"}"#;
    prints(&["-d", one, server.address(), check], &serving);
    let other = r#"{"service":"nobody"}"#;
    let (well, text) = grpcurl(&["-d", other, server.address(), check]);
    assert!(!well && text.contains("Code: NotFound"), "{text}");
}
