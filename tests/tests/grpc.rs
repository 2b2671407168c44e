//! gRPC between this project, unmodified Go Micro's gRPC plugins, and plain grpc-go: both directions,
//! four kinds, errors, metadata, deadlines, cancellation.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::time::Duration;

use micro_runtime::protocol::Grpc;
use micro_runtime::registry::Memory;
use micro_runtime::{Metadata, Service};
use micro_tests::peers::{Program, Running};
use micro_tests::proto::greeter::{
    CountRequest, EchoRequest, FailRequest, GreeterClient, HelloRequest, SleepRequest, SumRequest,
};

const PROTO: &str = "content_type=application/grpc+proto";

fn ours() -> Running {
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter")
        .with(&["protocol=grpc", "trace"])
        .serve(&[])
}

/// Go Micro with its gRPC plugins.
fn go_micro() -> Program {
    Program::go("greeter").with(&["protocol=grpc"])
}

/// grpc-go alone.
fn plain() -> Program {
    Program::go("grpcpeer")
}

/// The servers that are not ours.
fn others() -> [(&'static str, Running); 2] {
    [
        ("go-micro", go_micro().serve(&[])),
        ("grpc-go", plain().serve(&[])),
    ]
}

fn service(settings: Grpc) -> Service {
    Service::new("caller")
        .registry(Memory::new())
        .protocol(settings)
        .client_protocols(["grpc"])
}

fn greeter() -> GreeterClient {
    GreeterClient::new("greeter", service(Grpc::new()).client())
}

/// Runs a client against `server` and gives what it printed, which must be `lines`.
fn says(client: &Program, server: &Running, flags: &[&str], lines: &[&str]) {
    let address = server.as_flag();
    let flags: Vec<_> = flags.iter().copied().chain([&*address]).collect();
    let ended = client.run(&flags);
    assert_eq!(ended.lines, lines, "{ended}");
}

/// As [`says`], for calls that fail: the first line begins with `start`.
fn fails(client: &Program, server: &Running, flags: &[&str], start: &str) {
    let address = server.as_flag();
    let flags: Vec<_> = flags.iter().copied().chain([&*address]).collect();
    let ended = client.run(&flags);
    assert!(ended.line(start).is_some(), "{start}: {ended}");
    assert_eq!(ended.code, Some(1), "{ended}");
}

#[test]
fn go_micro_and_grpc_go_call_all_four_kinds() {
    let server = ours();
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
    let server = ours();
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
    let server = ours();
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
    let server = ours();
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
    let mut server = ours();
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

#[tokio::test]
async fn we_call_all_four_kinds_of_others() {
    for (name, server) in others() {
        let greeter = greeter();
        let address = server.address().to_owned();
        let hello = greeter.hello(HelloRequest { name: "x".into() });
        assert_eq!(
            hello.address(address.clone()).await.unwrap().msg,
            "Hello x",
            "{name}"
        );

        let count = CountRequest {
            to: 500,
            fail: false,
        };
        let mut numbers = greeter.count(count).address(address.clone()).await.unwrap();
        let mut next = 0;
        while let Some(number) = numbers.message().await.unwrap() {
            next += 1;
            assert_eq!(number.n, next, "{name}");
        }
        assert_eq!(next, 500);

        let (mut send, mut receive) = greeter.sum().address(address.clone()).await.unwrap();
        let mut total = 0;
        for n in 1..=100 {
            total += n;
            send.send(SumRequest { n, fail: false }).await.unwrap();
            assert_eq!(
                receive.message().await.unwrap().unwrap().total,
                total,
                "{name}"
            );
        }
        send.finish().await.unwrap();
        assert_eq!(receive.message().await.unwrap(), None);

        let mut upload = greeter.collect().address(address.clone()).await.unwrap();
        for n in 1..=100 {
            upload.send(SumRequest { n, fail: false }).await.unwrap();
        }
        assert_eq!(upload.finish().await.unwrap().total, 5050, "{name}");
    }
}

#[tokio::test]
async fn we_read_the_errors_of_others() {
    let [(_, micro), (_, plain)] = others();
    let greeter = greeter();
    let fail = |kind: &str, to: &Running| {
        greeter
            .fail(FailRequest {
                kind: kind.into(),
                detail: "gone é".into(),
            })
            .address(to.address().to_owned())
    };
    let error = fail("notfound", &micro).await.unwrap_err();
    assert_eq!(
        (error.id(), error.code(), error.detail(), error.grpc_code()),
        ("greeter.fail", 404, "gone é", Some(5))
    );
    let error = fail("custom", &micro).await.unwrap_err();
    assert_eq!((error.code(), error.grpc_code()), (418, Some(2)));
    let error = fail("plain", &micro).await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (500, "gone é"));

    let error = fail("9", &plain).await.unwrap_err();
    assert_eq!(
        (error.id(), error.code(), error.detail(), error.grpc_code()),
        ("go.micro.client", 412, "gone é", Some(9))
    );
    assert_eq!(error.metadata().get("retry-after"), Some("3"));
    let types: Vec<_> = error
        .details()
        .iter()
        .map(|detail| &*detail.type_url)
        .collect();
    assert_eq!(types, ["type.googleapis.com/google.protobuf.StringValue"]);
    for (server, id) in [(&micro, "greeter.count"), (&plain, "go.micro.client")] {
        let count = CountRequest { to: 1, fail: true };
        let mut numbers = greeter
            .count(count)
            .address(server.address().to_owned())
            .await
            .unwrap();
        assert_eq!(numbers.message().await.unwrap().unwrap().n, 1);
        let error = numbers.message().await.unwrap_err();
        assert_eq!((error.id(), error.code()), (id, 409));
    }
}

// What a server says is waited for on a thread, and the connection lives on another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metadata_deadlines_and_the_end_of_a_call_reach_others() {
    let [(_, mut micro), (_, mut plain)] = others();
    let greeter = greeter();
    let mut binary = Metadata::new();
    binary.set_binary("k-bin", [0, 255]);
    let reply = greeter
        .echo(EchoRequest::default())
        .metadata("Foo", "bar")
        .metadata("k-bin", binary.get_text("k-bin").unwrap().clone())
        .timeout(Duration::from_secs(4))
        .address(plain.address().to_owned())
        .full()
        .await
        .unwrap();
    assert_eq!(reply.message.metadata["foo"], "bar");
    assert_eq!(reply.message.metadata["k-bin"], "00ff");
    assert!((2_000_000_000..=4_000_000_000).contains(&reply.message.deadline_ns));
    assert_eq!(reply.metadata.get("head"), Some("yes"));
    assert_eq!(reply.metadata.get_binary("both-bin"), Some(vec![0, 1, 254]));
    assert_eq!(reply.trailers.get("tail"), Some("yes"));

    for server in [&mut micro, &mut plain] {
        let call = greeter
            .sleep(SleepRequest { ms: 20_000 })
            .address(server.address().to_owned());
        let given_up = tokio::time::timeout(Duration::from_millis(300), async { call.await });
        assert!(given_up.await.is_err());
        let said = server.wait_for("DROPPED");
        assert!(said.contains("context canceled"), "{said}");
    }
}

#[tokio::test]
async fn a_server_that_stops_lets_our_calls_end() {
    let server = plain().serve(&[]);
    let greeter = greeter();
    let address = server.address().to_owned();
    let hello = || {
        greeter
            .hello(HelloRequest::default())
            .address(address.clone())
    };
    hello().await.unwrap();
    let call = greeter
        .sleep(SleepRequest { ms: 1000 })
        .address(address.clone());
    let sleeping = tokio::spawn(async move { call.await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let stopped = tokio::task::spawn_blocking(move || server.stop());
    assert_eq!(sleeping.await.unwrap().unwrap().msg, "slept");
    assert!(stopped.await.unwrap().is_ok());
    let error = hello().retries(0).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
}

#[tokio::test]
async fn our_compressed_requests_are_read_by_grpc_go() {
    let server = plain().serve(&[]);
    let mut settings = Grpc::new();
    settings.compress = true;
    let service = service(settings);
    let name = "x".repeat(50_000);
    let reply = GreeterClient::new("greeter", service.client())
        .hello(HelloRequest { name: name.clone() })
        .address(server.address().to_owned())
        .await
        .unwrap();
    assert_eq!(reply.msg, format!("Hello {name}"));
}
