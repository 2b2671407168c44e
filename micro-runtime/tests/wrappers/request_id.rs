use std::time::SystemTime;

use micro_runtime::tasks::Tasks;
use micro_runtime::wrapper::RequestId;
use micro_runtime::{Context, Result};

use crate::events::Log;
use crate::support::{Say, World, frame, words};

const KEY: &str = "X-Request-Id";

/// Answers with the id that the handler sees.
fn tells() -> Say {
    Say::hello(|cx: Context, _| async move { Ok(frame(cx.metadata().get(KEY).unwrap_or("none"))) })
}

#[tokio::test]
async fn the_callers_id_reaches_the_handler_and_comes_back() -> Result<()> {
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(RequestId::new())
        .handle(tells())
        .start()
        .await?;
    let call = || service.client().request("s", "Say.Hello", frame("x"));
    let reply = call().metadata(KEY, "one-of-mine").full().await?;
    assert_eq!(words(&reply.message), "one-of-mine");
    assert_eq!(reply.metadata.get(KEY), Some("one-of-mine"));
    service.stop().await
}

#[tokio::test]
async fn who_brings_none_or_an_unfit_one_is_given_one() -> Result<()> {
    let world = World::default();
    let tasks = || Tasks::seeded(7, SystemTime::UNIX_EPOCH);
    let service = world
        .service("s", "braid")
        .wrap_handler(RequestId::new().tasks(tasks()))
        .handle(tells())
        .start()
        .await?;
    let expected = tasks();
    let call = || service.client().request("s", "Say.Hello", frame("x"));
    assert_eq!(words(&call().await?), expected.uuid());
    for unfit in ["with a space", &"long".repeat(40)] {
        let reply = call().metadata(KEY, unfit.to_owned()).full().await?;
        let id = expected.uuid();
        assert_eq!(
            (words(&reply.message), reply.metadata.get(KEY)),
            (id.clone(), Some(&*id))
        );
    }
    service.stop().await
}

#[tokio::test]
async fn a_handlers_own_calls_have_its_id_and_a_call_of_nobodys_a_new_one() -> Result<()> {
    let world = World::default();
    let inner = world
        .service("inner", "braid")
        .handle(tells())
        .start()
        .await?;
    let client = inner.client().clone();
    let outer = world
        .service("outer", "braid")
        .wrap_handler(RequestId::new())
        .handle(Say::hello(move |_, message| {
            let client = client.clone();
            async move { client.request("inner", "Say.Hello", message).await }
        }))
        .start()
        .await?;
    let caller = world.service("c", "braid").wrap_call(RequestId::new());
    let reply = caller
        .client()
        .request("outer", "Say.Hello", frame("x"))
        .full()
        .await?;
    let id = words(&reply.message);
    assert_eq!((id.len(), reply.metadata.get(KEY)), (36, Some(&*id)));
    outer.stop().await?;
    inner.stop().await
}

#[tokio::test]
async fn what_the_handler_logs_is_in_a_span_with_the_id() -> Result<()> {
    let (log, _guard) = Log::listen();
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(RequestId::new().key("Trace"))
        .handle(tells())
        .start()
        .await?;
    service
        .client()
        .request("s", "Say.Hello", frame("x"))
        .metadata("Trace", "t-1")
        .await?;
    let told = log.of("micro_runtime::wrapper::request_id");
    assert_eq!(
        told.iter()
            .map(|span| span.field("request_id"))
            .collect::<Vec<_>>(),
        ["t-1"]
    );
    service.stop().await
}
