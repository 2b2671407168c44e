//! What our client makes of answers that no server of ours gives.

use std::sync::Arc;

use http::{HeaderMap, Response};
use micro_runtime::Result;
use micro_runtime::call::Frame;
use micro_runtime::client::Target;
use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::method::{Kind, Method};
use micro_runtime::protocol::Grpc;
use micro_runtime::tasks::Tasks;

use crate::net::channel;
use crate::pipes::{Direct, Pipes};
use crate::raw::framed;
use crate::say::word;

/// An answer to be played: pairs in the head, a body, and pairs in the trailers.
#[derive(Clone, Default)]
struct Script {
    head: &'static [(&'static str, &'static str)],
    body: Bytes,
    /// `None` for none.
    trailers: Option<&'static [(&'static str, &'static str)]>,
    /// The head waits for the end of the request.
    holds_back: bool,
}

/// A client of a server that answers every call so.
fn client(script: Script, tasks: &Tasks) -> Target {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    tasks.spawn(async move {
        while let Some(io) = dialled.recv().await {
            play(io, script.clone()).await;
        }
    });
    let channel = channel(&Grpc::new(), pipes, tasks, "server");
    Target::new("say", Arc::new(Direct(channel)))
}

async fn play(io: impl micro_runtime::transport::Io, script: Script) {
    let mut connection = h2::server::handshake(io).await.unwrap();
    while let Some(Ok((request, mut answer))) = connection.accept().await {
        let script = script.clone();
        tokio::spawn(async move {
            let mut input = request.into_body();
            while script.holds_back && input.data().await.is_some() {}
            let mut head = Response::builder().header("content-type", "application/grpc");
            for (name, value) in script.head {
                head = head.header(*name, *value);
            }
            let mut out = answer.send_response(head.body(()).unwrap(), false).unwrap();
            out.send_data(script.body, script.trailers.is_none())
                .unwrap();
            if let Some(pairs) = script.trailers {
                let mut trailers = HeaderMap::new();
                for (name, value) in pairs {
                    trailers.insert(*name, value.parse().unwrap());
                }
                out.send_trailers(trailers).unwrap();
            }
        });
    }
}

async fn ask(script: Script) -> Result<Frame> {
    let tasks = Tasks::new();
    let method = Method::dynamic("Say.Hello", Kind::Unary);
    client(script, &tasks)
        .unary::<Frame, Frame>(method, Frame::default())
        .await
}

#[tokio::test]
async fn an_error_brings_the_metadata_of_the_head_too() {
    let error = ask(Script {
        head: &[("early", "one")],
        trailers: Some(&[("grpc-status", "5"), ("late", "two")]),
        ..Script::default()
    })
    .await
    .unwrap_err();
    assert_eq!(error.grpc_code(), Some(5));
    let metadata = error.metadata();
    assert_eq!(
        (metadata.get("early"), metadata.get("late")),
        (Some("one"), Some("two"))
    );
}

#[tokio::test]
async fn a_status_in_the_head_counts_only_where_nothing_follows() {
    let said = async |script| ask(script).await.unwrap_err().grpc_code();
    let head = &[("grpc-status", "9")];
    // As behind a proxy that ends the stream apart from the head.
    let alone = Script {
        head,
        ..Script::default()
    };
    assert_eq!(said(alone.clone()).await, Some(9));
    let before_trailers = Script {
        trailers: Some(&[("grpc-status", "5")]),
        ..alone.clone()
    };
    assert_eq!(said(before_trailers).await, Some(5));
    let before_a_message = Script {
        body: framed(&word("x")),
        ..alone
    };
    assert_eq!(said(before_a_message).await, Some(13));
}

#[tokio::test]
async fn a_stream_tells_its_metadata_when_it_has_come() -> Result<()> {
    let tasks = Tasks::new();
    let target = client(
        Script {
            head: &[("early", "one")],
            body: framed(&word("x")),
            trailers: Some(&[("grpc-status", "0"), ("late", "two")]),
            holds_back: true,
        },
        &tasks,
    );
    let collect = Method::dynamic("Say.Collect", Kind::ClientStream);
    let opened = target.client_stream::<Frame, Frame>(collect).full().await?;
    assert!(opened.metadata.is_empty(), "the server holds it back");
    let reply = opened.message.finish_full().await?;
    assert_eq!(reply.metadata.get("early"), Some("one"));
    assert_eq!(reply.trailers.get("late"), Some("two"));

    let sum = Method::dynamic("Say.Sum", Kind::Bidi);
    let (send, mut receive) = target.bidi::<Frame, Frame>(sum).await?;
    assert!(receive.metadata().is_empty());
    send.finish().await?;
    while receive.message().await?.is_some() {}
    assert_eq!(receive.metadata().get("early"), Some("one"));
    Ok(())
}

#[tokio::test]
async fn a_client_stream_has_exactly_one_reply() -> Result<()> {
    let two = [framed(&word("x")), framed(&word("y"))].concat();
    for body in [Bytes::new(), Bytes::from(two)] {
        let tasks = Tasks::new();
        let target = client(
            Script {
                body,
                trailers: Some(&[("grpc-status", "0")]),
                ..Script::default()
            },
            &tasks,
        );
        let collect = Method::dynamic("Say.Collect", Kind::ClientStream);
        let upload = target.client_stream::<Frame, Frame>(collect).await?;
        let error = upload.finish().await.unwrap_err();
        assert_eq!((error.code(), error.grpc_code()), (500, Some(12)));
    }
    Ok(())
}
