//! Unary calls between client and server: replies, errors, metadata, deadlines, cancellation.

use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use micro_runtime::{Error, Metadata, Result};

use crate::net::Net;
use crate::say::{Word, count, full_error, sized, word};

#[tokio::test]
async fn a_call_is_answered_with_metadata_both_ways() -> Result<()> {
    let net = Net::new();
    let mut binary = Metadata::new();
    binary.set_binary("Trace-Bin", [0, 255, 7]);
    let reply = net
        .say
        .hello(word("metadata"))
        .metadata("Tenant", "blue")
        .metadata("k", "")
        .metadata("trace-bin", binary.get_text("trace-bin").unwrap().clone())
        .full()
        .await?;
    for pair in [
        "tenant=blue;",
        "k=;",
        "trace-bin=AP8H;",
        "user-agent=micro-rust/",
    ] {
        assert!(reply.message.text.contains(pair), "{}", reply.message.text);
    }
    assert!(
        !reply.message.text.contains("grpc-"),
        "{}",
        reply.message.text
    );
    assert_eq!(
        reply.metadata.iter().collect::<Vec<_>>(),
        [("seen", "yes"), ("also", "this")]
    );
    assert_eq!(reply.trailers.get("took"), Some("long"));
    let peer = reply.peer.unwrap();
    assert_eq!(
        (&*peer.address, &*peer.node, peer.protocol),
        ("server", "node-1", "grpc")
    );
    assert_eq!(net.say.hello(word("peer")).await?.text, "grpc");
    Ok(())
}

#[tokio::test]
async fn an_error_arrives_with_all_its_fields() {
    let net = Net::new();
    for _ in 0..2 {
        let error = net.say.hello(word("error")).await.unwrap_err();
        let sent = full_error();
        assert_eq!(error, sent);
        assert_eq!(error.status(), "Gone fishing");
        assert_eq!(error.grpc_code(), Some(5));
        assert_eq!(error.details(), sent.details());
        assert_eq!(error.metadata().get("retry-after"), Some("3"));
        assert!(!error.is_unprocessed());
    }
    let error = net.say.hello(word("plain")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_wire()),
        (0, "only words".to_owned())
    );
    let error = net.say.hello(word("panic")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (500, "panic recovered: on purpose")
    );
}

#[tokio::test]
async fn what_a_handlers_own_call_did_not_reach_was_itself_processed() {
    let net = Net::new();
    let error = net.say.hello(word("borrowed")).await.unwrap_err();
    assert_eq!((error.code(), error.grpc_code()), (503, Some(14)));
    assert!(
        !error.is_unprocessed(),
        "sending it again would run the handler twice"
    );
}

#[tokio::test]
async fn names_that_nobody_serves_are_told_apart() {
    use micro_runtime::method::{Kind, Method};
    let net = Net::new();
    let call = |endpoint: &str| {
        net.say
            .0
            .unary::<_, Word>(Method::dynamic(endpoint, Kind::Unary), word("x"))
    };
    assert_eq!(call("Say.Hello").await.unwrap().text, "x");
    assert_eq!(call("/any.package.Say/Hello").await.unwrap().text, "x");
    for (endpoint, words) in [
        ("Other.Hello", "unknown service Other"),
        ("test.Say.Bye", "unknown service Say.Bye"),
    ] {
        let error = call(endpoint).await.unwrap_err();
        assert_eq!((error.detail(), error.code()), (words, 501));
        assert_eq!(error.grpc_code(), Some(12));
        assert!(!error.is_unprocessed());
    }
    let error = call("/a/b/c").await.unwrap_err();
    assert_eq!(error.code(), 400);
}

#[tokio::test]
async fn large_messages_pass_both_ways_and_too_large_ones_are_refused() -> Result<()> {
    let net = Net::new();
    for size in [0, 4 << 10, 100 << 10, 3 << 20] {
        let echo = net.say.hello(sized("echo", size)).await?;
        assert_eq!(echo.data.len(), size);
    }
    let mut settings = Grpc::new();
    settings.max_message = 1000;
    let net = Net::with(settings, Limits::default());
    let error = net.say.hello(sized("echo", 2000)).await.unwrap_err();
    assert_eq!((error.code(), error.grpc_code()), (413, Some(8)));
    let reply = Word {
        number: 2000,
        ..word("reply x")
    };
    let error = net.say.hello(reply).await.unwrap_err();
    assert_eq!((error.code(), error.grpc_code()), (413, Some(8)));
    Ok(())
}

#[tokio::test]
async fn compressed_messages_are_smaller_and_the_same() -> Result<()> {
    let mut settings = Grpc::new();
    settings.compress = true;
    let net = Net::with(settings, Limits::default());
    let echo = net.say.hello(sized("echo", 100_000)).await?;
    assert_eq!(echo, sized("echo", 100_000));
    let (out, input) = net.pipes.tap.bytes();
    assert!(
        out.len() < 5_000 && input.len() < 5_000,
        "{} {}",
        out.len(),
        input.len()
    );
    let mut replies = net
        .say
        .count(Word {
            number: 3,
            ..word("")
        })
        .await?;
    while replies.message().await?.is_some() {}
    let (mut send, mut receive) = net.say.sum().await?;
    send.send(sized("", 50_000)).await?;
    assert_eq!(receive.message().await?.unwrap().data.len(), 50_000);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_deadline_reaches_the_handler_and_ends_it() -> Result<()> {
    let net = Net::new();
    let left = net
        .say
        .hello(word("remaining"))
        .timeout(Duration::from_millis(1500))
        .await?;
    assert!(
        (1_400_000..=1_500_000).contains(&left.number),
        "{}",
        left.number
    );
    let none = net.say.hello(word("remaining")).await?;
    assert_eq!(none.number, u64::MAX);
    let error = net
        .say
        .hello(word("wait"))
        .timeout(Duration::from_millis(200))
        .await
        .unwrap_err();
    assert_eq!(error.code(), 408);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    Ok(())
}

#[tokio::test]
async fn a_call_that_is_given_up_drops_its_handler() {
    let net = Net::new();
    let call = net.say.hello(word("wait"));
    let started = net.probe.until(|probe| count(&probe.started) == 1);
    tokio::select! {
        biased;
        _ = async { call.await } => unreachable!("nobody lets it go on"),
        () = started => {}
    }
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    assert_eq!(count(&net.probe.cancelled), 1);
    assert_eq!(net.say.hello(word("x")).await.unwrap().text, "x");
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn many_calls_share_one_connection() -> Result<()> {
    let net = Net::new();
    let calls: Vec<_> = (0..200)
        .map(|i| {
            let say = net.say.clone();
            let word = Word {
                number: i,
                ..word(["sleep 1", "yield", "mutex", ""][i as usize % 4])
            };
            tokio::spawn(async move { say.hello(word).await })
        })
        .collect();
    for (i, call) in calls.into_iter().enumerate() {
        assert_eq!(call.await.unwrap()?.number, i as u64);
    }
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
    assert_eq!(net.server.core().running(), 0);
    Ok(())
}

#[tokio::test]
async fn more_calls_than_a_connection_takes_wait_their_turn() -> Result<()> {
    let mut limits = Limits::default();
    limits.calls_per_connection = 3;
    let net = Net::with(Grpc::new(), limits);
    net.say.hello(word("first")).await?;
    let calls: Vec<_> = (0..20)
        .map(|_| {
            let say = net.say.clone();
            tokio::spawn(async move { say.hello(word("sleep 2")).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap()?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_that_is_full_says_that_another_may_be_asked() {
    let mut limits = Limits::default();
    limits.calls = 1;
    let net = Net::with(Grpc::new(), limits);
    let say = net.say.clone();
    let waiting = tokio::spawn(async move { say.hello(word("wait")).await });
    net.probe.until(|probe| count(&probe.started) == 1).await;
    let error = net.say.hello(word("x")).await.unwrap_err();
    assert_eq!((error.code(), error.is_unprocessed()), (503, true));
    let error = net.say.count(word("x")).await.unwrap_err();
    assert_eq!((error.code(), error.is_unprocessed()), (503, true));
    net.probe.go.notify_one();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn metadata_that_no_header_carries_is_refused_before_the_call() {
    let net = Net::new();
    for (key, value) in [("a key", "v"), ("k", "two\nlines")] {
        let error = net
            .say
            .hello(word("x"))
            .metadata(key, value)
            .await
            .unwrap_err();
        assert_eq!(error.code(), 400, "{error}");
    }
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn a_content_type_that_grpc_has_no_name_for_is_refused() {
    let net = Net::new();
    let error = net
        .say
        .hello(word("x"))
        .content_type("text/html")
        .await
        .unwrap_err();
    assert_eq!(
        error,
        Error::internal("go.micro.client", "unsupported Content-Type: text/html")
    );
}
