//! Half-closes, which mucp does not have: how streams end between this project and unmodified Go
//! Micro when one side has said all.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::future::IntoFuture;
use std::time::Duration;

use micro_runtime::Service;
use micro_runtime::registry::Memory;
use micro_tests::peers::{Program, Running};
use micro_tests::proto::greeter::{CountRequest, GreeterClient, SumRequest};
use tokio::time::timeout;

fn servers() -> [(&'static str, Running); 5] {
    let ours = Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter");
    [
        ("mucp", Program::go("greeter").serve(&["pace=15ms"])),
        ("mucp", ours.serve(&[])),
        ("braid", ours.clone().with(&["protocol=braid"]).serve(&[])),
        ("grpc", Program::go("greeter").serve(&["protocol=grpc"])),
        ("grpc", ours.clone().with(&["protocol=grpc"]).serve(&[])),
    ]
}

fn greeter(protocol: &str) -> GreeterClient {
    let service = Service::new("caller")
        .registry(Memory::new())
        .client_protocols([protocol]);
    GreeterClient::new("greeter", service.client())
}

fn number(n: i64) -> SumRequest {
    SumRequest { n, fail: false }
}

#[tokio::test]
async fn a_stream_both_ways_ends_after_the_caller_has_said_all() {
    for (protocol, server) in servers() {
        let whole = async {
            let call = greeter(protocol).sum().address(server.address().to_owned());
            let (mut send, mut receive) = call.await.unwrap();
            for n in 1..=3 {
                send.send(number(n)).await.unwrap();
                assert!(receive.message().await.unwrap().is_some());
            }
            send.finish().await.unwrap();
            assert_eq!(receive.message().await.unwrap(), None);
        };
        timeout(Duration::from_secs(10), whole)
            .await
            .expect("it ends");
    }
}

#[tokio::test]
async fn an_upload_without_a_message_has_its_reply() {
    for (protocol, server) in servers() {
        let call = greeter(protocol)
            .collect()
            .address(server.address().to_owned());
        let reply = timeout(Duration::from_secs(10), call.await.unwrap().finish());
        assert_eq!(reply.await.expect("it ends").unwrap().total, 0);
    }
}

#[tokio::test]
async fn a_stream_that_is_read_no_further_holds_up_no_other_call() {
    for (protocol, server) in servers() {
        let greeter = greeter(protocol);
        let count = CountRequest {
            to: 1_000_000,
            fail: false,
        };
        let call = greeter.count(count).address(server.address().to_owned());
        let mut numbers = call.await.unwrap();
        assert_eq!(numbers.message().await.unwrap().unwrap().n, 1);
        // The rest fills what buffers there are, and waits.
        for _ in 0..100 {
            let call = greeter
                .hello(Default::default())
                .address(server.address().to_owned());
            assert_eq!(
                timeout(Duration::from_secs(10), call.into_future())
                    .await
                    .expect("it is answered")
                    .unwrap()
                    .msg,
                "Hello "
            );
        }
        drop(numbers);
        let call = greeter
            .hello(Default::default())
            .address(server.address().to_owned());
        assert_eq!(call.await.unwrap().msg, "Hello ");
    }
}
