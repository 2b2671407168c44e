//! Peers of HTTP/2 made by hand.

use std::future::poll_fn;
use std::time::Duration;

use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response};
use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::{Connect, GrpcWeb, HttpVersion};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::net::{LONG, client, framed};
use crate::say::{SayClient, word};

type Peer = Connection<TcpStream, Bytes>;

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

async fn connect(address: &str) -> SayClient {
    let mut connect = Connect::new();
    connect.http = HttpVersion::Http2;
    client(connect, address).await
}

async fn accept(listener: &TcpListener) -> Peer {
    let (io, _) = timeout(LONG, listener.accept()).await.unwrap().unwrap();
    h2::server::handshake(io).await.unwrap()
}

async fn next(peer: &mut Peer) -> (Request<RecvStream>, SendResponse<Bytes>) {
    let next = timeout(LONG, peer.accept()).await.unwrap();
    next.unwrap().unwrap()
}

/// Moves a connection's bytes until `done`.
async fn moving<T>(peer: &mut Peer, done: impl Future<Output = T>) -> T {
    tokio::select! {
        biased;
        done = timeout(LONG, done) => done.unwrap(),
        _ = poll_fn(|task| peer.poll_closed(task)) => panic!("the connection has ended"),
    }
}

fn good(answer: &mut SendResponse<Bytes>, text: &str) {
    let head = Response::builder().header("content-type", "application/proto");
    let mut out = answer.send_response(head.body(()).unwrap(), false).unwrap();
    out.send_data(word(text).encode_to_vec().into(), true)
        .unwrap();
}

#[tokio::test]
async fn a_call_has_the_heads_of_http2() {
    let (listener, address) = listen().await;
    let say = connect(&address).await;
    let serve = async {
        let mut peer = accept(&listener).await;
        let (request, mut answer) = next(&mut peer).await;
        good(&mut answer, "yes");
        let head = request.into_parts().0;
        assert_eq!(head.method, "POST");
        assert_eq!(head.uri, *format!("http://{address}/test.Say/Hello"));
        assert_eq!(
            head.headers.get("content-type").unwrap(),
            "application/proto"
        );
        assert!(!head.headers.contains_key("host") && !head.headers.contains_key("te"));
        poll_fn(|task| peer.poll_closed(task)).await.unwrap();
    };
    let call = async {
        assert_eq!(say.hello(word("x")).await.unwrap(), word("yes"));
        drop(say);
    };
    let ((), ()) = tokio::join!(call, serve);
}

#[tokio::test]
async fn a_refused_call_is_made_again_and_one_that_was_reset_is_not() {
    let (listener, address) = listen().await;
    let say = connect(&address).await;
    let serve = async {
        let mut peer = accept(&listener).await;
        let (_, mut answer) = next(&mut peer).await;
        answer.send_reset(Reason::REFUSED_STREAM);
        let (_, mut answer) = next(&mut peer).await;
        good(&mut answer, "second");
        let (_, mut answer) = next(&mut peer).await;
        answer.send_reset(Reason::INTERNAL_ERROR);
        let (_, mut answer) = next(&mut peer).await;
        answer.send_reset(Reason::CANCEL);
        let again = poll_fn(|task| peer.poll_accept(task));
        assert!(timeout(Duration::from_millis(50), again).await.is_err());
    };
    let call = async {
        assert_eq!(say.hello(word("x")).await.unwrap(), word("second"));
        let error = say.hello(word("x")).await.unwrap_err();
        assert_eq!(
            (error.grpc_code(), error.is_unprocessed()),
            (Some(13), false)
        );
        let error = say.hello(word("x")).await.unwrap_err();
        assert_eq!(
            (error.grpc_code(), error.is_unprocessed()),
            (Some(1), false)
        );
    };
    tokio::join!(call, serve);
}

#[tokio::test]
async fn after_a_goaway_the_next_call_has_another_connection() {
    let (listener, address) = listen().await;
    let say = connect(&address).await;
    let serve = async {
        let mut first = accept(&listener).await;
        let (_, mut answer) = next(&mut first).await;
        first.graceful_shutdown();
        good(&mut answer, "1");
        poll_fn(|task| first.poll_closed(task)).await.unwrap();
        let mut second = accept(&listener).await;
        let (_, mut answer) = next(&mut second).await;
        good(&mut answer, "2");
        poll_fn(|task| second.poll_closed(task)).await.unwrap();
    };
    let call = async {
        assert_eq!(say.hello(word("x")).await.unwrap(), word("1"));
        assert_eq!(say.hello(word("x")).await.unwrap(), word("2"));
        drop(say);
    };
    tokio::join!(call, serve);
}

#[tokio::test]
async fn a_call_given_up_resets_its_stream_and_no_other() {
    let (listener, address) = listen().await;
    let say = connect(&address).await;
    let serve = async {
        let mut peer = accept(&listener).await;
        let (_, mut given_up) = next(&mut peer).await;
        let reason = moving(&mut peer, poll_fn(|task| given_up.poll_reset(task))).await;
        assert_eq!(reason.unwrap(), Reason::CANCEL);
        let (_, mut answer) = next(&mut peer).await;
        good(&mut answer, "same connection");
        poll_fn(|task| peer.poll_closed(task)).await.unwrap();
    };
    let call = async {
        let short = say.hello(word("x")).timeout(Duration::from_millis(100));
        assert!(short.await.unwrap_err().is_timeout());
        let reply = say.hello(word("x")).await.unwrap();
        assert_eq!(reply, word("same connection"));
        drop(say);
    };
    // What looks whether the node is there dials too, and says nothing.
    tokio::join!(call, serve);
}

#[tokio::test]
async fn an_answer_of_a_head_alone_is_read() {
    let (listener, address) = listen().await;
    let mut web = GrpcWeb::new();
    web.http = HttpVersion::Http2;
    let say = client(web, &address).await;
    let head = || Response::builder().header("content-type", "application/grpc-web");
    let serve = async {
        let mut peer = accept(&listener).await;
        let (_, mut answer) = next(&mut peer).await;
        let told = head()
            .header("grpc-status", "9")
            .header("grpc-message", "no");
        answer.send_response(told.body(()).unwrap(), true).unwrap();
        let (_, mut answer) = next(&mut peer).await;
        let told = head().header("grpc-status", "0").header("took", "long");
        answer.send_response(told.body(()).unwrap(), true).unwrap();
        let (_, mut answer) = next(&mut peer).await;
        let mut out = answer
            .send_response(head().body(()).unwrap(), false)
            .unwrap();
        let mut body = framed(0, word("1").encode_to_vec());
        body.extend(framed(0x80, "grpc-status: 0\r\n"));
        out.send_data(body.into(), true).unwrap();
        poll_fn(|task| peer.poll_closed(task)).await.unwrap();
    };
    let call = async {
        let error = say.hello(word("x")).await.unwrap_err();
        assert_eq!((error.grpc_code(), error.detail()), (Some(9), "no"));
        let mut empty = say.count(word("x")).await.unwrap();
        assert_eq!(empty.message().await.unwrap(), None);
        assert_eq!(empty.trailers().get("took"), Some("long"));
        assert_eq!(say.hello(word("x")).await.unwrap(), word("1"));
        drop((say, empty));
    };
    tokio::join!(call, serve);
}
