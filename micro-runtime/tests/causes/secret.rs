//! Why a call went where it went is of the process that made it: no protocol sends it.

use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::call::{Frame, Reply};
use micro_runtime::client::Client;
use micro_runtime::error::why::{Cause, Step};
use micro_runtime::wrapper::{Next, from_fn};

use crate::bytes::holds;
use crate::net::{LONG, Node1, PROTOCOLS, call, client};
use crate::support::Say;

/// What a caller must not learn: the words of the log, and which node the handler's own call was for.
fn secrets(further: &str) -> Vec<&str> {
    vec![
        further,
        "say-1",
        "could not be reached",
        "unreachable",
        "tried",
        "chose",
        "roundrobin",
        "secret-words",
        "secret-breaker",
    ]
}

/// A call of the handler's that fails by a node that is not there; its error has all that an error
/// can have.
async fn fails(client: Client) -> Error {
    let refuse =
        |request: micro_runtime::Request, next: Next| async move {
            let failed: Result<Reply, Error> = next.run(request).await;
            Err(failed.unwrap_err().with_step(Step::Refused(
                micro_runtime::error::why::Refusal::new("secret-breaker", "secret-words"),
            )))
        };
    let error = call(&client).wrap(from_fn(refuse)).await.unwrap_err();
    let why = error.why().unwrap();
    assert_eq!(why.cause(), Some(Cause::Unreachable));
    assert!(format!("{error:?}").contains("secret-words"));
    error
}

/// A node whose handlers fail with the error of a call of theirs, and the address that it was for.
async fn passes_on() -> (Node1, String) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let further = client("mucp", &nobody).await;
    let (second, third) = (further.clone(), further.clone());
    let say = Say::hello(move |_, _| {
        let further = further.clone();
        async move { Err(fails(further).await) }
    })
    .count(move |_, _, mut out| {
        let further = second.clone();
        async move {
            out.send(Frame("first".into())).await?;
            Err(fails(further).await)
        }
    })
    .collect(move |_, _| {
        let further = third.clone();
        async move { Err(fails(further).await) }
    });
    (Node1::new(say).await, nobody)
}

fn check(name: &str, node: &Node1, nobody: &str, error: &Error) {
    assert_eq!(error.id(), "go.micro.client", "{name}: {error:?}");
    assert!(
        error.detail().contains("connection error: dial tcp [node]"),
        "{name}: {error:?}"
    );
    let sent = node.sent.lock().unwrap();
    assert!(
        holds(&sent, "connection error"),
        "{name}: what is sent is found"
    );
    for secret in secrets(nobody) {
        assert!(!holds(&sent, secret), "{name}: {secret:?} was sent");
    }
}

#[tokio::test]
async fn a_handlers_error_tells_nobody_why_its_own_call_failed() {
    for name in PROTOCOLS {
        let (node, nobody) = passes_on().await;
        let client = client(name, &node.address).await;
        let error = call(&client).timeout(LONG).await.unwrap_err();
        check(name, &node, &nobody, &error);
        // The caller's own is of its own call.
        assert_eq!(error.why().unwrap().cause(), Some(Cause::Answered));
        assert_eq!(error.attempts().next().unwrap().address, node.address);
    }
}

#[tokio::test]
async fn nor_does_the_end_of_a_stream() {
    for name in PROTOCOLS {
        let (node, nobody) = passes_on().await;
        let client = client(name, &node.address).await;
        let say = client.target("say");
        let methods = &crate::support::METHODS;
        let count = say.server_stream::<_, Frame>(&methods[1], Frame("hi".into()));
        let mut replies = count.timeout(LONG).await.unwrap();
        let error = loop {
            if let Err(error) = replies.next().await.unwrap() {
                break error;
            }
        };
        check(name, &node, &nobody, &error);
        let why = error.why().unwrap();
        assert_eq!((&*why.service, &*why.endpoint), ("say", "Say.Count"));
        assert_eq!(why.cause(), Some(Cause::Answered), "{name}: {error:?}");
        assert_eq!(why.attempts().next().unwrap().node, "say-1", "{name}");

        let upload = say.client_stream::<Frame, Frame>(&methods[2]);
        let failed = async {
            let upload = upload.timeout(LONG).await?;
            upload.finish().await
        };
        let error = tokio::time::timeout(LONG, failed).await.unwrap();
        check(name, &node, &nobody, &error.unwrap_err());
    }
}

#[tokio::test]
async fn a_log_that_is_asked_for_is_not_asked_of_the_server() {
    for name in PROTOCOLS {
        let node = Node1::new(Say::hello(|_, frame| async { Ok(frame) })).await;
        let client = client(name, &node.address).await;
        let explained = call(&client)
            .timeout(Duration::from_secs(9))
            .explain()
            .await;
        explained.result.unwrap();
        let heard = node.heard.lock().unwrap();
        assert!(holds(&heard, "Hello"), "{name}: what is sent is found");
        for secret in ["say-1", "random", "explain", "why"] {
            assert!(!holds(&heard, secret), "{name}: {secret:?} was sent");
        }
    }
}
