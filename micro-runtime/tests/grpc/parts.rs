//! What goes back beside messages: metadata in the head, trailers at the end, both beside errors too.

use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use micro_runtime::{Context, Error, Result};

use crate::net;
use crate::raw::{Answer, Raw, framed, post, read};
use crate::say::word;
use crate::support::Say;

/// A client of a server that serves `say`, which is kept.
async fn serve(say: Say) -> (Raw, Server) {
    let server = net::server(&Grpc::new(), say, Limits::default(), &Tasks::new());
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    server.attach(Connection::new(Box::new(theirs), "caller", "server"));
    let connection = Connection::new(Box::new(ours), "server", "caller");
    (Raw::new(connection).await, server)
}

fn set(cx: &Context) {
    cx.reply_metadata().set("early", "one");
    cx.reply_trailers().set("late", "two");
}

fn refuse<T>() -> Result<T> {
    Err(Error::conflict("test", "not now"))
}

fn assert_refused(answer: &Answer) {
    assert_eq!(answer.head["early"], "one", "{answer:?}");
    assert_eq!(answer.text("late"), "two");
    assert_eq!(answer.text("grpc-status"), "6");
    assert_eq!(answer.text("grpc-message"), "not now");
}

#[tokio::test]
async fn metadata_and_trailers_go_back_with_an_error() {
    let say = Say::hello(|cx, _| async move {
        set(&cx);
        refuse()
    })
    .count(|cx, _, _| async move {
        set(&cx);
        refuse()
    })
    .collect(|cx, mut input| async move {
        while input.message().await?.is_some() {}
        set(&cx);
        refuse()
    });
    let (mut raw, _server) = serve(say).await;
    for path in ["/test.Say/Hello", "/test.Say/Count", "/test.Say/Collect"] {
        let answer = raw.ask(post(path, &[]), framed(&word("x"))).await;
        assert_refused(&answer);
    }
}

#[tokio::test]
async fn trailers_alone_make_an_error_no_longer() {
    let say = Say::hello(|cx, _| async move {
        cx.reply_trailers().set("late", "two");
        refuse()
    });
    let (mut raw, _server) = serve(say).await;
    let answer = raw
        .ask(post("/test.Say/Hello", &[]), framed(&word("x")))
        .await;
    assert!(answer.trailers.is_none(), "one head is all: {answer:?}");
    assert_eq!(
        (answer.text("late"), answer.text("grpc-status")),
        ("two", "6")
    );
}

#[tokio::test]
async fn what_a_handler_sets_after_its_input_still_goes_ahead() {
    let say = Say::default().collect(|cx, mut input| async move {
        let mut last = None;
        while let Some(message) = input.message().await? {
            last = Some(message);
        }
        set(&cx);
        last.ok_or_else(|| Error::conflict("test", "nothing came"))
    });
    let (mut raw, _server) = serve(say).await;
    let (response, mut out) = raw.open(post("/test.Say/Collect", &[]));
    out.send_data(framed(&word("x")), false).unwrap();
    // The handler has the first message, and waits for another.
    tokio::task::yield_now().await;
    out.send_data(Bytes::new(), true).unwrap();
    let answer = read(response.await.unwrap()).await;
    assert_eq!(answer.head["early"], "one", "{answer:?}");
    assert_eq!(answer.text("late"), "two");
    assert_eq!(answer.messages, [word("x")]);
}

#[tokio::test]
async fn metadata_that_is_set_does_not_wait_for_input() {
    let say = Say::default().sum(|cx, mut input, _out| async move {
        set(&cx);
        while input.message().await?.is_some() {}
        Ok(())
    });
    let (mut raw, _server) = serve(say).await;
    let (response, mut out) = raw.open(post("/test.Say/Sum", &[]));
    let response = response.await.unwrap();
    assert_eq!(response.headers()["early"], "one");
    out.send_data(Bytes::new(), true).unwrap();
    assert_eq!(read(response).await.text("late"), "two");
}

#[tokio::test]
async fn a_server_stream_takes_exactly_one_message() {
    let say = Say::default().count(|_, _, _| async { Ok(()) });
    let (mut raw, _server) = serve(say).await;
    let none = raw.ask(post("/test.Say/Count", &[]), Bytes::new()).await;
    assert_eq!(none.text("grpc-status"), "12");
    let mut two = framed(&word("x")).to_vec();
    two.extend_from_slice(&framed(&word("y")));
    let two = raw.ask(post("/test.Say/Count", &[]), two).await;
    assert_eq!(two.text("grpc-status"), "12");
    let one = raw
        .ask(post("/test.Say/Count", &[]), framed(&word("x")))
        .await;
    assert_eq!(one.text("grpc-status"), "0");
}
