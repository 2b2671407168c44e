//! One test a cause, over each protocol.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::call::Frame;
use micro_runtime::client::Client;
use micro_runtime::error::Why;
use micro_runtime::error::why::Cause;
use micro_runtime::router::Limits;
use micro_runtime::transport::{Connection, Listener, Tcp, Transport};
use micro_runtime::{Error, Result};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::net::{LONG, Node1, PROTOCOLS, Wire, call, client, client_over, protocol};
use crate::support::Say;

/// The way of a call that fails, whose last try must have failed by `cause`.
async fn fails_by(cause: Cause, name: &str, client: &Client) -> Error {
    let error = timeout(LONG, call(client).attempt_timeout(Duration::from_secs(10)))
        .await
        .unwrap()
        .unwrap_err();
    check(cause, name, &error);
    error
}

fn check(cause: Cause, name: &str, error: &Error) {
    let why: &Why = error.why().unwrap();
    println!("{name}: {error:?}");
    assert_eq!(why.cause(), Some(cause), "{name}: {error:?}");
    let last = why.attempts().last().unwrap();
    assert_eq!(last.node, "say-1", "{name}");
    assert_eq!(Cause::of(error), cause, "{name}: the error itself tells it");
}

/// A node whose handler tells when it was reached and never answers.
async fn silent() -> (Node1, Arc<Notify>) {
    let reached = Arc::new(Notify::new());
    let tell = reached.clone();
    let say = Say::hello(move |_, _| {
        tell.notify_one();
        pending()
    });
    (Node1::new(say).await, reached)
}

/// What becomes of a call whose wire becomes `wire` once its handler runs.
async fn spoiled(wire: Wire, cause: Cause) {
    for name in PROTOCOLS {
        let (node, reached) = silent().await;
        let client = client(name, &node.address).await;
        let spoil = async {
            reached.notified().await;
            node.wire.send_replace(wire);
            pending::<()>().await;
        };
        let error = tokio::select! {
            biased;
            () = spoil => unreachable!(),
            error = fails_by(cause, name, &client) => error,
        };
        assert!(!error.is_unprocessed(), "{name}: its handler runs");
    }
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_unreachable() {
    for name in PROTOCOLS {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(listener);
        let client = client(name, &address).await;
        let error = fails_by(Cause::Unreachable, name, &client).await;
        assert!(error.is_unprocessed());
    }
}

/// A network that swallows what is sent to it.
#[derive(Debug)]
struct Swallows;

#[async_trait]
impl Transport for Swallows {
    fn name(&self) -> &str {
        "swallows"
    }
    async fn dial(&self, _address: &str) -> Result<Connection> {
        pending().await
    }
    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        Tcp.listen(address).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_connected_to_in_time_is_unreachable() {
    for name in PROTOCOLS {
        let client = client_over(Swallows, protocol(name), name, "10.0.0.1:1").await;
        // Whatever ends first: connecting, the try, or the call.
        for (dial, attempt, whole) in [(1, 5, 9), (5, 1, 9), (5, 5, 9), (5, 5, 1)] {
            let error = call(&client)
                .dial_timeout(Duration::from_secs(dial))
                .attempt_timeout(Duration::from_secs(attempt))
                .timeout(Duration::from_secs(whole))
                .await
                .unwrap_err();
            check(Cause::Unreachable, name, &error);
            assert!(
                error.is_unprocessed(),
                "{name}: nothing was sent: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_connection_that_ends_before_the_answer_is_lost() {
    spoiled(Wire::Cut, Cause::Lost).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_lost_after_its_opening_too() {
    for name in PROTOCOLS {
        let say = Say::default().count(|_, _, mut out| async move {
            out.send(Frame("first".into())).await?;
            pending().await
        });
        let node = Node1::new(say).await;
        let client = client(name, &node.address).await;
        let count = client
            .target("say")
            .server_stream::<_, Frame>(&crate::support::METHODS[1], Frame("hi".into()));
        let mut replies = timeout(LONG, count).await.unwrap().unwrap();
        assert_eq!(
            replies.next().await.unwrap().unwrap(),
            Frame("first".into())
        );
        node.wire.send_replace(Wire::Cut);
        let error = timeout(LONG, replies.next()).await.unwrap().unwrap();
        check(Cause::Lost, name, &error.unwrap_err());
    }
}

#[tokio::test]
async fn noise_in_place_of_an_answer_is_garbled() {
    spoiled(Wire::Noise, Cause::Garbled).await;
}

#[tokio::test]
async fn noise_in_place_of_a_greeting_is_garbled() {
    for name in PROTOCOLS {
        let (node, _reached) = silent().await;
        node.wire.send_replace(Wire::Noise);
        let client = client(name, &node.address).await;
        fails_by(Cause::Garbled, name, &client).await;
    }
}

#[tokio::test]
async fn no_answer_in_the_time_of_the_try_or_of_the_call_is_silence() {
    for name in PROTOCOLS {
        for whole in [false, true] {
            let (node, reached) = silent().await;
            let client = client(name, &node.address).await;
            let short = Duration::from_millis(300);
            let call = match whole {
                true => call(&client).timeout(short),
                false => call(&client).attempt_timeout(short),
            };
            let still = async {
                // The server gives a call up, too, whose time is over; nothing of that comes.
                reached.notified().await;
                node.wire.send_replace(Wire::Still);
                pending::<()>().await;
            };
            let error = tokio::select! {
                biased;
                () = still => unreachable!(),
                answer = call => answer.unwrap_err(),
            };
            check(Cause::Silent, name, &error);
        }
    }
}

#[tokio::test]
async fn a_node_at_its_limit_has_refused() {
    for name in PROTOCOLS {
        let mut limits = Limits::default();
        limits.calls = 0;
        let node = Node1::with(Say::default(), limits).await;
        let client = client(name, &node.address).await;
        let error = fails_by(Cause::Refused, name, &client).await;
        assert!(error.is_unprocessed(), "{name}: {error:?}");
    }
}

#[tokio::test]
async fn whatever_error_a_handler_returns_the_node_has_answered() {
    type Make = fn() -> Error;
    let errors: [Make; 6] = [
        || Error::not_found("greeter", "no such thing"),
        || Error::plain("words alone"),
        // Those of a call of its own.
        || Error::timeout("go.micro.client", "call timeout: context deadline exceeded"),
        || Error::internal("go.micro.client.transport", "unexpected EOF"),
        || Error::internal("go.micro.client.codec", "no message"),
        || {
            Error::internal("go.micro.client", "connection error: refused")
                .unprocessed()
                .caused_by(Cause::Unreachable)
        },
    ];
    for name in PROTOCOLS {
        for make in errors {
            let node = Node1::new(Say::hello(move |_, _| async move { Err(make()) })).await;
            let client = client(name, &node.address).await;
            let error = fails_by(Cause::Answered, name, &client).await;
            assert!(!error.is_unprocessed(), "{name}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_node_that_speaks_nothing_of_the_clients_is_the_clients_affair() {
    for (name, other) in [("mucp", "grpc"), ("grpc", "braid"), ("braid", "mucp")] {
        let client = client_over(Tcp, protocol(name), other, "127.0.0.1:1").await;
        fails_by(Cause::Own, name, &client).await;
    }
}

#[tokio::test]
async fn metadata_that_cannot_be_sent_is_the_clients_affair() {
    // mucp and braid carry any text.
    for name in ["grpc", "connect", "grpc-web"] {
        let (node, _reached) = silent().await;
        let client = client(name, &node.address).await;
        let error = call(&client)
            .metadata("not a name of a header", "x")
            .await
            .unwrap_err();
        check(Cause::Own, name, &error);
    }
}
