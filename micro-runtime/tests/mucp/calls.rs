//! Our client against our server.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::transport::Tcp;

use crate::generated::greeter::*;
use crate::harness::*;

#[tokio::test]
async fn all_four_kinds_work_over_memory_and_tcp() {
    let tcp = Setup {
        transport: Arc::new(Tcp),
        ..Setup::default()
    };
    for setup in [Setup::default(), tcp] {
        let server = setup.serve().await;
        let greeter = server.client();
        for content_type in [
            "application/protobuf",
            "application/json",
            "application/proto-rpc",
            "application/json-rpc",
            "application/grpc",
            "application/grpc+json",
        ] {
            let reply = greeter
                .hello(HelloRequest {
                    name: "John".into(),
                })
                .content_type(content_type)
                .await
                .unwrap();
            assert_eq!(reply.msg, "Hello John", "{content_type}");
            let empty = greeter
                .hello(HelloRequest::default())
                .content_type(content_type)
                .await
                .unwrap();
            assert_eq!(empty.msg, "Hello ", "{content_type}");

            let fail = FailRequest {
                kind: "notfound".into(),
                detail: "no\nsuch <thing>".into(),
            };
            let error = greeter
                .fail(fail)
                .content_type(content_type)
                .await
                .unwrap_err();
            assert_eq!(
                (error.code(), error.id(), error.detail()),
                (404, "greeter.fail", "no\nsuch <thing>"),
                "{content_type}"
            );

            let request = CountRequest { to: 3, fail: false };
            let mut count = greeter
                .count(request)
                .content_type(content_type)
                .await
                .unwrap();
            for n in 1..=3 {
                assert_eq!(count.message().await.unwrap().unwrap().n, n);
            }
            assert!(count.message().await.unwrap().is_none());
            assert!(count.message().await.unwrap().is_none());

            let mut upload = greeter.collect().content_type(content_type).await.unwrap();
            for n in [1, 2, 3] {
                upload.send(SumRequest { n, fail: false }).await.unwrap();
            }
            assert_eq!(upload.finish().await.unwrap().total, 6, "{content_type}");

            let (mut out, mut input) = greeter.sum().content_type(content_type).await.unwrap();
            for (n, total) in [(1, 1), (2, 3), (3, 6)] {
                out.send(SumRequest { n, fail: false }).await.unwrap();
                assert_eq!(input.message().await.unwrap().unwrap().total, total);
            }
            out.finish().await.unwrap();
            assert!(input.message().await.unwrap().is_none());
        }
    }
}

#[tokio::test]
async fn a_node_from_before_protocol_metadata_gets_envelopes() {
    let server = serve().await;
    let greeter = client(
        &Mucp::default(),
        &server.address,
        server.environment(),
        true,
    );
    for content_type in ["application/protobuf", "application/json"] {
        let request = HelloRequest {
            name: "John".into(),
        };
        let reply = greeter.hello(request).content_type(content_type).await;
        assert_eq!(reply.unwrap().msg, "Hello John", "{content_type}");
        let (mut out, mut input) = greeter.sum().content_type(content_type).await.unwrap();
        out.send(SumRequest { n: 7, fail: false }).await.unwrap();
        assert_eq!(input.message().await.unwrap().unwrap().total, 7);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_fails_says_why_on_both_halves() {
    let server = serve().await;
    let (mut out, mut input) = server.client().sum().await.unwrap();
    out.send(SumRequest { n: 1, fail: false }).await.unwrap();
    assert_eq!(input.message().await.unwrap().unwrap().total, 1);
    out.send(SumRequest { n: 2, fail: true }).await.unwrap();
    let error = input.message().await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (409, "stream failed"));
    assert!(input.message().await.unwrap().is_none());
    let error = out.send(SumRequest::default()).await.unwrap_err();
    assert_eq!(error.id(), "go.micro.client.transport");
}

#[tokio::test(start_paused = true)]
async fn the_deadline_reaches_the_handler() {
    let server = serve().await;
    let reply = server
        .client()
        .echo(EchoRequest::default())
        .attempt_timeout(Duration::from_millis(1500))
        .metadata("Tenant", "blue")
        .await
        .unwrap();
    assert_eq!(reply.metadata["Tenant"], "blue");
    assert_eq!(reply.metadata["Timeout"], "1500000000");
    assert_eq!(reply.deadline_ns, 1_500_000_000);
    assert_eq!(reply.metadata["Micro-Endpoint"], "Greeter.Echo");
    assert_eq!(reply.metadata["Local"], server.address);
    assert!(!reply.metadata.contains_key("Host"));
}
