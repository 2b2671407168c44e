//! Go's clients call us.

use super::{fails, go_micro, plain, says, server};

const PROTO: &str = "content_type=application/grpc+proto";

#[test]
fn go_micro_and_grpc_go_call_all_four_kinds() {
    let server = server();
    let micro = go_micro().with(&[PROTO]);
    for client in [&micro, &plain()] {
        let hello = [r#"OK {"msg":"Hello x"}"#];
        says(client, &server, &["call=hello", "arg=x"], &hello);
        let count = [r#"OK {"n":1}"#, r#"OK {"n":2}"#, "EOF"];
        says(client, &server, &["call=count", "arg=2"], &count);
    }
    let sums = [r#"OK {"total":1}"#, r#"OK {"total":3}"#];
    says(&micro, &server, &["call=sum", "arg=2"], &sums);
    says(
        &plain(),
        &server,
        &["call=sum", "arg=2"],
        &[sums[0], sums[1], "EOF"],
    );
    let total = [r#"OK {"total":6}"#, "after: EOF"];
    says(&micro, &server, &["call=collect", "arg=3"], &total);
    says(&plain(), &server, &["call=collect", "arg=3"], &total[..1]);
    let raw = ["call=raw", "arg=/greeter.Greeter/Hello", "arg2=x"];
    says(&micro, &server, &raw, &[r#"OK {"msg":"Hello x"}"#]);
}

#[test]
fn go_micro_calls_in_json_and_grpc_go_with_gzip() {
    let server = server();
    let json = go_micro().with(&["content_type=application/json"]);
    says(
        &json,
        &server,
        &["call=hello"],
        &[r#"OK {"msg":"Hello world"}"#],
    );
    let gzip = plain().with(&["gzip"]);
    let long = "x".repeat(20_000);
    let (arg, reply) = (
        format!("arg={long}"),
        format!(r#"OK {{"msg":"Hello {long}"}}"#),
    );
    says(&gzip, &server, &["call=hello", &arg], &[&reply]);
    says(
        &gzip,
        &server,
        &["call=collect", "arg=3"],
        &[r#"OK {"total":6}"#],
    );
}

#[test]
fn many_calls_at_once_are_answered() {
    let server = server();
    for client in [go_micro().with(&[PROTO]), plain()] {
        says(
            &client,
            &server,
            &["call=hello", "n=100", "parallel=20"],
            &[],
        );
    }
}

#[test]
fn each_caller_reads_our_errors() {
    let server = server();
    let micro = go_micro().with(&[PROTO]);
    let error = r#"ERR *errors.Error {"id":"greeter.fail","code":404,"detail":"gone é","status":"Not Found"}"#;
    fails(
        &micro,
        &server,
        &["call=fail", "arg=notfound", "arg2=gone é"],
        error,
    );
    let error = r#"ERR *errors.Error {"id":"greeter.fail","code":418,"detail":"x","status":"I'm a teapot"}"#;
    fails(
        &micro,
        &server,
        &["call=fail", "arg=custom", "arg2=x"],
        error,
    );
    let error = r#"ERR *errors.Error {"id":"go.micro.client","code":500,"detail":"words""#;
    fails(
        &micro,
        &server,
        &["call=fail", "arg=plain", "arg2=words"],
        error,
    );
    let error =
        r#"ERR *errors.Error {"id":"go.micro.server","code":500,"detail":"panic recovered: boom""#;
    fails(
        &micro,
        &server,
        &["call=fail", "arg=panic", "arg2=boom"],
        error,
    );
    let error = "ERR *status.Error rpc error: code = AlreadyExists desc = ";
    fails(
        &micro,
        &server,
        &["call=count", "arg=1", "arg2=fail"],
        error,
    );
    let error = r#"ERR *errors.Error {"id":"go.micro.server","code":501,"#;
    fails(&micro, &server, &["call=raw", "arg=Greeter.Nope"], error);

    fails(
        &plain(),
        &server,
        &["call=fail", "arg=notfound", "arg2=gone é"],
        "ERR 5 gone é",
    );
    fails(
        &plain(),
        &server,
        &["call=sum", "arg=1", "arg2=fail"],
        "ERR 6 stream failed",
    );
    let unknown = ["call=hello", "service=greeter.Nobody"];
    fails(&plain(), &server, &unknown, "ERR 12 unknown service Nobody");
    // The package may be any, as with Go Micro.
    let other = ["call=hello", "service=some.where.else.Greeter"];
    says(&plain(), &server, &other, &[r#"OK {"msg":"Hello world"}"#]);
}

#[test]
fn deadlines_and_metadata_reach_our_handlers() {
    let mut server = server();
    for client in [go_micro().with(&[PROTO]), plain()] {
        let address = server.as_flag();
        let flags = ["call=echo", "metadata=Foo=bar", "timeout=5s", &address];
        let ended = client.run(&flags);
        let line = ended.line("OK ").unwrap_or_default();
        assert!(line.to_lowercase().contains(r#""foo":"bar""#), "{ended}");
        let (_, left) = line.split_once(r#""deadline_ns":"#).unwrap();
        let left: u64 = left.trim_end_matches('}').parse().unwrap();
        assert!((3_000_000_000..=5_000_000_000).contains(&left), "{left}");

        let ended = client.run(&["call=sleep", "arg=20000", "timeout=300ms", &address]);
        assert_eq!(ended.code, Some(1), "{ended}");
        server.wait_for("DROPPED");
    }
    let binary = ["call=echo", "metadata=x-bin=00ff"];
    let address = server.as_flag();
    let ended = plain().run(&[&binary[..], &[&*address]].concat());
    assert!(
        ended.line("OK ").unwrap().contains(r#""x-bin":"AP8""#),
        "{ended}"
    );
}

#[test]
fn messages_beyond_a_window_come_whole_from_go() {
    let server = server();
    let long = "x".repeat(120_000);
    let (arg, reply) = (
        format!("arg={long}"),
        format!(r#"OK {{"msg":"Hello {long}"}}"#),
    );
    for client in [go_micro().with(&[PROTO]), plain()] {
        says(&client, &server, &["call=hello", &arg], &[&reply]);
    }
}
