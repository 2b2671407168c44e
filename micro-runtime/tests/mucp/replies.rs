//! What the client makes of replies, and what it sends of metadata.

use std::sync::Arc;

use micro_runtime::Error;
use micro_runtime::protocol::Environment;

use crate::client::{Counting, counted, hello, says};
use crate::generated::greeter::*;
use crate::harness::*;

#[tokio::test(start_paused = true)]
async fn replies_of_any_framing_are_read() {
    for reply in [
        &b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n\n\x05there"[..],
        b"HTTP/1.1 200 \r\ncontent-length: 7\r\n\r\n\n\x05there",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n\n\x05t\r\n4\r\nhere\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n\n\x05there",
        b"HTTP/1.0 200 OK\r\n\r\n\n\x05there",
        // Anything may be echoed.
        b"HTTP/1.1 200 OK\r\nMicro-Id: 77\r\nTimeout: 1\r\nFoo: bar\r\nContent-Length: 7\r\n\r\n\n\x05there",
    ] {
        let (greeter, _) = says(reply).await;
        let reply = greeter.hello(hello()).full().await.unwrap();
        assert_eq!(reply.message.msg, "there");
        // mucp has no metadata of replies.
        assert!(reply.metadata.is_empty());
        assert_eq!(&*reply.peer.unwrap().node, "node");
    }
}

#[tokio::test(start_paused = true)]
async fn replies_that_are_errors_say_so() {
    let long = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\n{}",
        "x".repeat(5000)
    );
    for (reply, id, code, words) in [
        (
            "HTTP/1.1 200 OK\r\nMICRO-error: {\"id\":\"a\",\"code\":404,\"detail\":\"b\"}\r\n\
             Content-Length: 0\r\n\r\n",
            "a",
            404,
            "b",
        ),
        (
            "HTTP/1.1 200 OK\r\nMicro-Error: boom\r\nContent-Length: 0\r\n\r\n",
            "",
            0,
            "boom",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\n\r\nno!",
            "go.micro.client.codec",
            500,
            "no!",
        ),
        (&long, "go.micro.client.codec", 500, "xxxxxx"),
        (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 5\r\n\r\nlater",
            "go.micro.client.transport",
            503,
            "503 Service Unavailable: later",
        ),
        (
            "HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n",
            "go.micro.client.transport",
            500,
            "302 Found: ",
        ),
        (
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
            "go.micro.client.transport",
            500,
            "an informational response",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n",
            "go.micro.client.transport",
            500,
            "the body is too long",
        ),
        (
            "SSH-2.0-OpenSSH\r\n\r\n",
            "go.micro.client.transport",
            500,
            "",
        ),
        (
            "HTTP/1.1 200 OK\r\nMicro-Error: EOS\r\nContent-Length: 0\r\n\r\n",
            "go.micro.client.transport",
            500,
            "the end of a stream",
        ),
    ] {
        let (greeter, _) = says(reply).await;
        let error: Error = greeter.hello(hello()).await.unwrap_err();
        assert_eq!((error.id(), error.code()), (id, code), "{reply:.80}");
        assert!(error.detail().starts_with(words), "{error}");
        assert!(error.detail().len() < 1100);
        assert!(!error.is_unprocessed());
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_that_comes_before_the_request_is_written_is_heard() {
    let counting = Counting::default();
    let mut setup = Setup {
        transport: Arc::new(counting.clone()),
        ..Setup::default()
    };
    setup.limits.message = 10_000;
    let server = setup.serve().await;
    let greeter = server.client();
    for dialled in 1..=2 {
        let name = "x".repeat(1_000_000);
        let error = greeter.hello(HelloRequest { name }).await.unwrap_err();
        assert_eq!(error.code(), 413, "{error}");
        assert_eq!(counting.dialled(), dialled);
    }
}

#[tokio::test(start_paused = true)]
async fn large_messages_pass_both_ways() {
    let (server, _) = counted().await;
    for content_type in [
        "application/protobuf",
        "application/proto-rpc",
        "application/grpc",
    ] {
        let name = "x".repeat(3_000_000);
        let call = server.client().hello(HelloRequest { name });
        let reply = call.content_type(content_type).await.unwrap();
        assert_eq!(reply.msg.len(), 3_000_006);
    }
}

#[tokio::test(start_paused = true)]
async fn a_reply_over_the_limit_is_refused() {
    let (server, _) = counted().await;
    let environment = Environment {
        max_message: 1000,
        ..server.environment()
    };
    let greeter = client(&server.mucp, &server.address, environment, false);
    let name = "x".repeat(2000);
    let error = greeter.hello(HelloRequest { name }).await.unwrap_err();
    assert_eq!(error.detail(), "the body is too long");
}

#[tokio::test(start_paused = true)]
async fn metadata_cannot_change_the_framing_or_the_meaning_of_a_call() {
    let server = serve().await;
    let mut call = server.client().echo(EchoRequest::default());
    for key in [
        "Content-Length",
        "transfer-encoding",
        "Connection",
        "Host",
        "Expect",
        "Upgrade",
        "Te",
        "Trailer",
        "Micro-Error",
        "Micro-Topic",
        "Micro-Stream",
        "Micro-Target",
        "Micro-Protocol",
        "Micro-Endpoint",
        "bad key",
        "bad\r\nKey",
        "",
    ] {
        call = call.metadata(key, "odd");
    }
    let call = call
        .metadata("split", "a\r\nMicro-Endpoint: Odd.Odd\r\n\r\nb\0c")
        .metadata("user-agent", "mine/1");
    let seen = call.await.unwrap().metadata;
    assert!(seen.values().all(|value| value != "odd"), "{seen:?}");
    assert_eq!(seen["Split"], "a  Micro-Endpoint: Odd.Odd    b c");
    assert_eq!(seen["User-Agent"], "mine/1");
    assert_eq!(seen["Micro-Endpoint"], "Greeter.Echo");
}

#[tokio::test(start_paused = true)]
async fn a_pooled_connection_is_not_held_by_a_task() {
    let (server, _) = counted().await;
    let environment = server.environment();
    let greeter = client(&server.mucp, &server.address, environment.clone(), false);
    greeter.hello(hello()).await.unwrap();
    let (mut out, mut input) = greeter.sum().await.unwrap();
    out.send(SumRequest { n: 1, fail: false }).await.unwrap();
    assert!(input.message().await.unwrap().is_some());
    assert_eq!(environment.tasks.running(), 0);
}
