//! We call the servers of others.

use std::time::Duration;

use micro_runtime::Metadata;
use micro_runtime::protocol::Grpc;
use micro_tests::peers::Running;
use micro_tests::proto::greeter::{
    CountRequest, EchoRequest, FailRequest, GreeterClient, HelloRequest, SleepRequest, SumRequest,
};

use super::{greeter, others, plain, service};

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
    let [(_, micro), (_, plain), _] = others();
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
    let [(_, mut micro), (_, mut plain), (_, mut tonic)] = others();
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

    for server in [&mut micro, &mut plain, &mut tonic] {
        let call = greeter
            .sleep(SleepRequest { ms: 20_000 })
            .address(server.address().to_owned());
        let call = tokio::spawn(async { call.await });
        server.wait_for("BEGIN ");
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        let said = server.wait_for("DROPPED");
        assert!(said.contains("context canceled"), "{said}");
    }
}

// As above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_lets_our_calls_end() {
    let mut server = plain().serve(&[]);
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
    server.wait_for("BEGIN ");
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

#[tokio::test]
async fn large_messages_go_both_ways_up_to_the_limit() {
    let mut settings = Grpc::new();
    settings.max_message = 3 << 20;
    let service = service(settings);
    let greeter = GreeterClient::new("greeter", service.client());
    for (name, server) in others() {
        let hello = |length: usize| {
            let name = "x".repeat(length);
            greeter
                .hello(HelloRequest { name })
                .address(server.address().to_owned())
        };
        let reply = hello(2 << 20).await.unwrap();
        assert_eq!(reply.msg.len(), (2 << 20) + "Hello ".len(), "{name}");
        // The reply is more than we take.
        let error = hello(3 << 20).await.unwrap_err();
        assert_eq!(error.grpc_code(), Some(8), "{name}: {error}");
        assert!(!error.is_unprocessed(), "{name}");
        // And the connection still serves.
        assert_eq!(hello(1).await.unwrap().msg, "Hello x", "{name}");
    }
}

// As above.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stream_that_is_dropped_ends_at_others() {
    let mut server = plain().serve(&[]);
    let to = i64::MAX;
    let count = CountRequest { to, fail: false };
    let mut numbers = greeter()
        .count(count)
        .address(server.address().to_owned())
        .await
        .unwrap();
    assert_eq!(numbers.message().await.unwrap().unwrap().n, 1);
    drop(numbers);
    server.wait_for("DROPPED");
}
