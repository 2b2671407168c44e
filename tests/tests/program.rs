//! The interop program itself: its flags, its end, and how it is found by name.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use micro_tests::peers::Program;
use tempfile::TempDir;

const PROTOCOLS: [&str; 3] = ["protocol=mucp", "protocol=braid", "protocol=grpc"];

fn ours() -> Program {
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter")
}

#[test]
fn flags_that_make_no_sense_are_named() {
    for (flags, words) in [
        (&["adress=127.0.0.1:1"][..], "'--adress'"),
        (&["call=publish"], "--topic"),
        (&["call=answer"], "'answer'"),
        (&["timeout=5"], "5"),
        (&["secure"], "--ca or --insecure"),
        (&["cert=a", "key=b"], "for the server"),
        (&["registry_address=a"], "--registry memory"),
        (&["metadata=a"], "not k=v"),
        (&["call=make"], "--service kitchen"),
    ] {
        let ended = ours().run(flags);
        let told = ended.log.iter().any(|line| line.contains(words));
        assert!(told && !ended.is_ok() && ended.lines.is_empty(), "{ended}");
    }
}

#[test]
fn a_server_is_found_by_name_until_it_stops() {
    for protocol in PROTOCOLS {
        let folder = TempDir::new().unwrap();
        let registry = format!(
            "registry_address={}",
            folder.path().join("registry").display()
        );
        let program = ours().with(&["registry=local", &registry, "name=some.greeter"]);
        let server = program.serve(&[protocol]);
        let found = program.run(&[protocol, "call=hello"]);
        assert_eq!(found.lines, [r#"OK {"msg":"Hello world"}"#], "{found}");
        assert_eq!(server.stop().code, Some(0));
        let gone = program.run(&[protocol, "call=hello"]);
        assert!(
            gone.line("ERR ")
                .is_some_and(|error| error.contains("not found")),
            "{gone}"
        );
    }
}

#[test]
fn a_server_that_stops_finishes_what_it_has_begun() {
    let callers = PROTOCOLS.map(|protocol| (protocol, ours().with(&[protocol])));
    for (protocol, caller) in callers
        .into_iter()
        .chain([(PROTOCOLS[0], Program::go("greeter"))])
    {
        let mut server = ours().serve(&[protocol, "trace"]);
        let call = caller.launch(&[&server.as_flag(), "call=sleep", "arg=400"]);
        server.wait_for("BEGIN ");
        let stopped = server.stop();
        assert_eq!(stopped.code, Some(0), "{stopped}");
        let ended = call.finish();
        assert_eq!(ended.lines, [r#"OK {"msg":"slept"}"#], "{ended}");
    }
}
