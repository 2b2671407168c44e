//! tonic calls us, and is called by us.

use micro_runtime::protocol::{Compression, Grpc};
use micro_tests::proto::greeter::{EchoRequest, FailRequest, GreeterClient, HelloRequest};

use super::{fails, greeter, says, server, service, tonic};

#[test]
fn tonic_calls_all_four_kinds() {
    let server = server();
    let client = tonic();
    let hello = [r#"OK {"msg":"Hello x"}"#];
    says(&client, &server, &["call=hello", "arg=x"], &hello);
    let count = [r#"OK {"n":1}"#, r#"OK {"n":2}"#, "EOF"];
    says(&client, &server, &["call=count", "arg=2"], &count);
    let sums = [r#"OK {"total":1}"#, r#"OK {"total":3}"#, "EOF"];
    says(&client, &server, &["call=sum", "arg=2"], &sums);
    let total = [r#"OK {"total":6}"#];
    says(&client, &server, &["call=collect", "arg=3"], &total);
    let many = ["call=hello", "n=100", "parallel=20"];
    says(&client, &server, &many, &[]);
    for compressed in ["gzip", "zstd"] {
        let client = tonic().with(&[compressed]);
        let long = "x".repeat(120_000);
        let (arg, reply) = (
            format!("arg={long}"),
            format!(r#"OK {{"msg":"Hello {long}"}}"#),
        );
        says(&client, &server, &["call=hello", &arg], &[&reply]);
        says(&client, &server, &["call=collect", "arg=3"], &total);
    }
}

#[test]
fn tonic_reads_our_errors_and_its_deadlines_and_metadata_reach_us() {
    let mut server = server();
    let client = tonic();
    let not_found = ["call=fail", "arg=notfound", "arg2=gone é"];
    fails(&client, &server, &not_found, "ERR 5 gone é");
    let failed = ["call=sum", "arg=1", "arg2=fail"];
    fails(&client, &server, &failed, "ERR 6 stream failed");
    let address = server.as_flag();
    let metadata = "metadata=Foo=bar,x-bin=00ff";
    let ended = client.run(&["call=echo", metadata, "timeout=5s", &address]);
    let line = ended.line("OK ").unwrap_or_default();
    assert!(line.contains(r#""foo":"bar""#), "{ended}");
    assert!(line.contains(r#""x-bin":"AP8""#), "{ended}");
    assert!(line.contains(r#""deadline_ns":4"#), "{ended}");
    let ended = client.run(&["call=sleep", "arg=20000", "timeout=300ms", &address]);
    assert_eq!(ended.code, Some(1), "{ended}");
    server.wait_for("DROPPED");
}

#[tokio::test]
async fn we_read_the_errors_and_metadata_of_tonic() {
    let server = tonic().serve(&[]);
    let greeter = greeter();
    let fail = greeter.fail(FailRequest {
        kind: "9".into(),
        detail: "gone é".into(),
    });
    let error = fail.address(server.address().to_owned()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail(), error.grpc_code()),
        (412, "gone é", Some(9))
    );
    assert_eq!(error.metadata().get("retry-after"), Some("3"));
    let echo = greeter.echo(EchoRequest::default()).metadata("Foo", "bar");
    let reply = echo
        .address(server.address().to_owned())
        .full()
        .await
        .unwrap();
    assert_eq!(reply.message.metadata["foo"], "bar");
    assert_eq!(reply.metadata.get("head"), Some("yes"));
    assert_eq!(reply.metadata.get_binary("both-bin"), Some(vec![0, 1, 254]));
    assert!(reply.message.deadline_ns > 0);
}

#[tokio::test]
async fn what_either_compresses_the_other_reads() {
    for compressed in ["gzip", "zstd"] {
        let server = tonic().serve(&[compressed]);
        let mut settings = Grpc::new();
        settings.compress = true;
        settings.compression = Compression::from_name(compressed).unwrap();
        let service = service(settings);
        let greeter = GreeterClient::new("greeter", service.client());
        let name = "abc".repeat(50_000);
        let hello = greeter.hello(HelloRequest { name: name.clone() });
        let reply = hello.address(server.address().to_owned()).await.unwrap();
        assert_eq!(reply.msg, format!("Hello {name}"));
    }
}
