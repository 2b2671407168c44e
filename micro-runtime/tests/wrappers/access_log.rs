use std::time::Duration;

use micro_runtime::wrapper::{AccessLog, RequestId};
use micro_runtime::{Error, Result};
use tracing::Level;

use crate::events::{Log, Told};
use crate::support::{Say, World, frame, words};

/// Fails with the code that it is sent; sleeps a second for `slow`.
fn say() -> Say {
    let hello = Say::hello(|_, message| async move {
        match words(&message).parse() {
            Ok(code) => Err(Error::new("s.hello", "as asked", code)),
            Err(_) if words(&message) == "slow" => {
                tokio::time::sleep(Duration::from_secs(1)).await;
                Ok(message)
            }
            Err(_) => Ok(frame("twelve bytes")),
        }
    });
    hello.count(|_, message, mut out| async move {
        out.send(message).await?;
        out.send(frame("last")).await
    })
}

/// What a server with `wrapper` tells of calls with these words.
async fn told(wrapper: AccessLog, words: &[&str]) -> Result<Vec<Told>> {
    let (log, _guard) = Log::listen();
    let world = World::default();
    let service = world
        .service("s", "mucp")
        .wrap_handler(wrapper)
        .handle(say())
        .start()
        .await?;
    for word in words {
        // Whether it went well is in the log.
        let _ = service
            .client()
            .request("s", "Say.Hello", frame(*word))
            .metadata("X-Request-Id", "r-1")
            .metadata("Authorization", "Bearer secret")
            .await;
    }
    service.stop().await?;
    Ok(log.of("micro::access"))
}

#[tokio::test(start_paused = true)]
async fn each_call_is_one_event_that_tells_what_came_of_it() -> Result<()> {
    let all = told(AccessLog::new(), &["John", "404", "503"]).await?;
    let codes: Vec<_> = all
        .iter()
        .map(|told| (told.field("code"), told.level))
        .collect();
    assert_eq!(
        codes,
        [
            ("200", Level::INFO),
            ("404", Level::INFO),
            ("503", Level::WARN)
        ]
    );
    let first = &all[0];
    let fields = [
        "service",
        "endpoint",
        "protocol",
        "request_bytes",
        "reply_bytes",
        "request_id",
        "error",
    ];
    assert_eq!(
        fields.map(|name| first.field(name)),
        ["s", "Say.Hello", "mucp", "4", "12", "r-1", "-"]
    );
    assert!(
        first.fields.contains_key("peer") && first.fields.contains_key("took_ms"),
        "{first:?}"
    );
    assert!(all[1].field("error").contains("as asked"), "{:?}", all[1]);
    assert!(!format!("{all:?}").contains("secret"), "{all:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn what_goes_well_is_sampled_and_what_does_not_is_told_always() -> Result<()> {
    let none = AccessLog::new()
        .sample(0.0)
        .slow(Duration::from_millis(999));
    let all = told(none, &["John", "slow", "John", "404"]).await?;
    let seen: Vec<_> = all
        .iter()
        .map(|told| (told.field("code"), told.level))
        .collect();
    assert_eq!(seen, [("200", Level::WARN), ("404", Level::INFO)]);
    assert!(all[0].field("took_ms").starts_with("100"), "{:?}", all[0]);

    let half = AccessLog::new().sample(0.5);
    let seen = told(half, &["John"; 200]).await?.len();
    assert!((60..140).contains(&seen), "{seen} of 200");
    Ok(())
}

#[tokio::test]
async fn of_a_stream_a_server_tells_the_end_and_a_client_the_opening() -> Result<()> {
    let (log, _guard) = Log::listen();
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(AccessLog::new())
        .handle(say())
        .start()
        .await?;
    let caller = world.service("c", "braid").wrap_call(AccessLog::new());
    let target = caller.client().target("s");
    let mut replies = target
        .server_stream::<_, micro_runtime::call::Frame>("Say.Count", frame("first"))
        .await?;
    assert_eq!(
        log.of("micro::access")
            .iter()
            .filter(|told| told.field("protocol") == "-")
            .count(),
        1
    );
    while replies.message().await?.is_some() {}
    service.stop().await?;
    let all = log.of("micro::access");
    assert_eq!(
        all.iter()
            .filter(|told| told.field("protocol") == "braid")
            .count(),
        1,
        "{all:?}"
    );
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_whose_time_is_up_is_told_and_so_is_one_that_is_given_up() -> Result<()> {
    let (log, _guard) = Log::listen();
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(AccessLog::new())
        .handle(Say::hello(|_, _| std::future::pending()))
        .start()
        .await?;
    let call = || service.client().request("s", "Say.Hello", frame("x"));
    let _ = call().timeout(Duration::from_secs(1)).await;
    let given_up = tokio::time::timeout(Duration::from_secs(1), call()).await;
    assert!(given_up.is_err());
    service.stop().await?;
    // The client has also asked the node whether it is well.
    let all = log.of("micro::access");
    let calls = all
        .iter()
        .filter(|told| told.field("endpoint") == "Say.Hello");
    let codes: Vec<_> = calls.map(|told| told.field("code")).collect();
    assert_eq!(codes, ["408", "499"]);
    Ok(())
}

#[tokio::test]
async fn a_call_that_panics_is_told_as_one() -> Result<()> {
    let (log, _guard) = Log::listen();
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(AccessLog::new())
        .handle(Say::hello(|_, _| async { panic!("as asked") }))
        .start()
        .await?;
    let call = service.client().request("s", "Say.Hello", frame("x"));
    assert_eq!(call.await.unwrap_err().code(), 500);
    service.stop().await?;
    let all = log.of("micro::access");
    assert_eq!((all[0].field("code"), all[0].level), ("500", Level::WARN));
    assert!(all[0].field("error").contains("panicked"), "{all:?}");
    Ok(())
}

#[tokio::test]
async fn the_id_that_a_wrapper_before_it_has_made_is_told_under_any_key() -> Result<()> {
    let (log, _guard) = Log::listen();
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(RequestId::new().key("Trace"))
        .wrap_handler(AccessLog::new().request_id_key("Trace"))
        .handle(say())
        .start()
        .await?;
    let call = service.client().request("s", "Say.Hello", frame("John"));
    let id = call.full().await?.metadata.get("Trace").unwrap().to_owned();
    service.stop().await?;
    let all = log.of("micro::access");
    assert_eq!(all[0].field("request_id"), id);
    Ok(())
}
