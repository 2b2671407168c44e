//! Connections: kept, lost, given up, never reached.

use std::time::Duration;

use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::{Connect, GrpcWeb};

use crate::net::{LONG, Peer, client, framed};
use crate::say::word;

const OK: &str = "200 OK\r\nContent-Type: application/proto";
const STREAM: &str = "200 OK\r\nContent-Type: application/connect+proto";

fn bytes(text: &str) -> Vec<u8> {
    word(text).encode_to_vec()
}

#[tokio::test]
async fn a_connection_is_used_again_and_calls_at_once_have_one_each() {
    let peer = Peer::new().await;
    let say = client(Connect::new(), &peer.address).await;
    let two = async { tokio::join!(say.hello(word("a")), say.hello(word("b"))) };
    let serve = async {
        let (mut one, mut two) = (peer.accept().await, peer.accept().await);
        // Each has a call, and none is answered before both are there.
        let (_, first) = one.request().await;
        let (_, second) = two.request().await;
        one.answer(OK, first).await;
        two.answer(OK, second).await;
        (one, two)
    };
    let ((a, b), (mut one, mut two)) = tokio::join!(two, serve);
    assert_eq!((a.unwrap(), b.unwrap()), (word("a"), word("b")));
    let again = async { tokio::join!(say.hello(word("c")), say.hello(word("d"))) };
    let serve = async {
        let (_, first) = one.request().await;
        let (_, second) = two.request().await;
        one.answer(OK, first).await;
        two.answer(OK, second).await;
    };
    let ((c, d), ()) = tokio::join!(again, serve);
    assert_eq!((c.unwrap(), d.unwrap()), (word("c"), word("d")));
    assert!(peer.is_left_alone().await);
}

#[tokio::test]
async fn a_connection_that_its_server_closed_is_replaced() {
    let peer = Peer::new().await;
    let say = client(Connect::new(), &peer.address).await;
    for round in 0..3 {
        let call = say.hello(word("x"));
        let serve = async {
            let mut wire = peer.accept().await;
            let (_, body) = wire.request().await;
            match round {
                // Closed after a good answer, said before or not.
                0 => wire.answer(OK, body).await,
                1 => {
                    wire.answer(&format!("{OK}\r\nConnection: close"), body)
                        .await
                }
                // The end of the connection is that of the body.
                _ => {
                    wire.write(format!("HTTP/1.1 {OK}\r\n\r\n")).await;
                    wire.write(body).await;
                }
            }
        };
        let (reply, ()) = tokio::join!(call, serve);
        assert_eq!(reply.unwrap(), word("x"), "{round}");
    }
}

#[tokio::test]
async fn a_call_given_up_closes_its_connection() {
    let peer = Peer::new().await;
    let say = client(Connect::new(), &peer.address).await;
    let call = say.hello(word("x")).timeout(Duration::from_millis(100));
    let serve = async {
        let mut wire = peer.accept().await;
        wire.request().await;
        wire.closed().await;
    };
    let (reply, ()) = tokio::join!(call, serve);
    assert!(reply.unwrap_err().is_timeout());

    // A stream whose halves are dropped, before and after its opening.
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.begin(STREAM).await;
        wire.send_chunk(framed(0, bytes("1"))).await;
        wire.closed().await;
    };
    let call = async {
        let (send, mut receive) = say.sum().await.unwrap();
        assert_eq!(receive.message().await.unwrap(), Some(word("1")));
        drop(receive);
        drop(send);
    };
    tokio::join!(call, serve);
    // The next call has a new connection.
    let serve = async {
        let mut wire = peer.accept().await;
        let (_, body) = wire.request().await;
        wire.answer(OK, body).await;
    };
    let (reply, ()) = tokio::join!(say.hello(word("y")), serve);
    assert_eq!(reply.unwrap(), word("y"));
}

#[tokio::test]
async fn a_node_that_could_not_be_reached_is_reached_when_it_is_back() {
    let peer = Peer::new().await;
    let address = peer.address.clone();
    let say = client(GrpcWeb::new(), &address).await;
    drop(peer);
    let error = say.hello(word("x")).retries(0).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    let listener = tokio::net::TcpListener::bind(&address).await.unwrap();
    let serve = async {
        // What looks whether the node is back may dial too.
        loop {
            let (mut io, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut some = [0; 2048];
                if io.read(&mut some).await.unwrap_or(0) > 0 {
                    let mut body = framed(0, bytes("back"));
                    body.extend(framed(0x80, "grpc-status: 0\r\n"));
                    let head = "200 OK\r\nContent-Type: application/grpc-web";
                    io.write_all(&crate::net::answer(head, body)).await.unwrap();
                }
                let _ = io.read(&mut some).await;
            });
        }
    };
    let call = async {
        loop {
            match say.hello(word("x")).retries(0).await {
                Ok(reply) => return reply,
                Err(error) => assert!(error.is_unprocessed(), "{error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let reply = tokio::select! {
        biased;
        reply = tokio::time::timeout(LONG, call) => reply.unwrap(),
        () = serve => unreachable!(),
    };
    assert_eq!(reply, word("back"));
}

#[tokio::test]
async fn a_connection_lost_in_a_call_is_an_error_that_says_no_more_than_is_known() {
    for cut in [
        "",
        "HTTP/1.1 200",
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123",
    ] {
        let peer = Peer::new().await;
        let say = client(Connect::new(), &peer.address).await;
        let call = say.hello(word("x"));
        let serve = async {
            let mut wire = peer.accept().await;
            wire.request().await;
            wire.write(cut).await;
        };
        let (reply, ()) = tokio::join!(call, serve);
        let error = reply.unwrap_err();
        // The handler may have run.
        assert!(!error.is_unprocessed(), "{cut}: {error}");
        assert_ne!(error.grpc_code(), Some(0));
        assert!(peer.is_left_alone().await, "it was tried again");
    }
}

#[tokio::test]
async fn a_server_may_answer_before_it_has_all_of_a_request() {
    let peer = Peer::new().await;
    let say = client(Connect::new(), &peer.address).await;
    let large = crate::say::sized("x", 8 << 20);
    let call = say.hello(large);
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        let json = r#"{"code":"resource_exhausted","message":"too much"}"#;
        let head = "429 Too Many\r\nContent-Type: application/json\r\nConnection: close";
        wire.answer(head, json).await;
        wire.closed().await;
    };
    let (reply, ()) = tokio::join!(call, serve);
    let error = reply.unwrap_err();
    assert_eq!((error.grpc_code(), error.detail()), (Some(8), "too much"));
}

#[tokio::test]
async fn an_upload_waits_for_its_reader_and_ends_with_the_answer() {
    let peer = Peer::new().await;
    let say = client(Connect::new(), &peer.address).await;
    let call = async {
        let (mut send, mut receive) = say.sum().await.unwrap();
        let mut sent = 0;
        let large = crate::say::sized("x", 256 << 10);
        let pushing = async {
            while send.send(large.clone()).await.is_ok() {
                sent += 1;
            }
        };
        let waited = tokio::time::timeout(Duration::from_millis(300), pushing).await;
        assert!(waited.is_err(), "nobody reads, and all was taken");
        assert!(sent < 64, "{sent}");
        (send, receive.message().await)
    };
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        let mut body = framed(0, bytes("enough"));
        body.extend(framed(2, r#"{"error":{"code":"aborted"}}"#));
        wire.answer(STREAM, body).await;
        wire
    };
    let ((mut send, first), _wire) = tokio::join!(call, serve);
    assert_eq!(first.unwrap(), Some(word("enough")));
    drop(_wire);
    let failed = loop {
        if let Err(error) = send.send(word("more")).await {
            break error;
        }
    };
    assert!(failed.code() > 0);
}

#[tokio::test]
async fn what_sends_an_upload_ends_with_its_stream() {
    let tasks = micro_runtime::tasks::Tasks::new();
    let peer = Peer::new().await;
    let say = crate::net::client_of(Connect::new(), &peer.address, &tasks).await;
    // What goes on as long as the client does.
    let opened = async {
        let (mut send, receive) = say.sum().await.unwrap();
        let quiet = tasks.running() - 1;
        let large = crate::say::sized("x", 4 << 20);
        let pushing = async { while send.send(large.clone()).await.is_ok() {} };
        let waited = tokio::time::timeout(Duration::from_millis(300), pushing).await;
        assert!(waited.is_err(), "nobody reads, and all was taken");
        (send, receive, quiet)
    };
    let serve = async {
        let mut wire = peer.accept().await;
        wire.head().await;
        wire.begin(STREAM).await;
        wire
    };
    let ((send, receive, quiet), _wire) = tokio::join!(opened, serve);
    assert!(tasks.running() > quiet);
    drop(receive);
    drop(send);
    tokio::time::timeout(LONG, async {
        while tasks.running() > quiet {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("a task goes on");
}

#[tokio::test]
async fn a_connection_with_more_to_say_is_not_used_again() {
    for (more, behind) in [
        ("\r\nConnection: close", ""),
        ("", "HTTP/1.1 200 OK\r\n"),
        ("", "x"),
    ] {
        let peer = Peer::new().await;
        let say = client(Connect::new(), &peer.address).await;
        let mut kept = Vec::new();
        for _ in 0..2 {
            let serve = async {
                let mut wire = peer.accept().await;
                let (_, body) = wire.request().await;
                let mut answer = crate::net::answer(&format!("{OK}{more}"), body);
                answer.extend_from_slice(behind.as_bytes());
                wire.write(answer).await;
                wire
            };
            let (reply, wire) = tokio::join!(say.hello(word("x")), serve);
            assert_eq!(reply.unwrap(), word("x"));
            // Open all the while.
            kept.push(wire);
        }
    }
}
