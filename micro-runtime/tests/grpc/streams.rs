//! Streams between client and server: the three kinds, their ends, and who waits for whom.

use std::time::Duration;

use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use micro_runtime::{Error, Result};

use crate::net::Net;
use crate::say::{Word, count, sized, word};

fn number(number: u64) -> Word {
    Word {
        number,
        ..Word::default()
    }
}

#[tokio::test]
async fn a_server_stream_brings_its_messages_and_trailers() -> Result<()> {
    let net = Net::new();
    let reply = net.say.count(number(500)).full().await?;
    assert_eq!(reply.metadata.get("opening"), Some("here"));
    let mut replies = reply.message;
    let mut next = 0;
    while let Some(word) = replies.message().await? {
        assert_eq!(word.number, next);
        next += 1;
    }
    assert_eq!(next, 500);
    assert_eq!(replies.trailers().get("sum"), Some("500"));
    Ok(())
}

#[tokio::test]
async fn a_stream_without_messages_ends_well() -> Result<()> {
    let net = Net::new();
    let mut replies = net.say.count(number(0)).await?;
    assert!(replies.message().await?.is_none());
    assert_eq!(replies.trailers().get("sum"), Some("0"));
    Ok(())
}

#[tokio::test]
async fn an_error_comes_after_the_messages_before_it() -> Result<()> {
    let net = Net::new();
    let mut replies = net
        .say
        .count(Word {
            number: 3,
            ..word("fail")
        })
        .await?;
    for _ in 0..3 {
        assert!(replies.message().await?.is_some());
    }
    let error = replies.message().await.unwrap_err();
    assert_eq!(error, Error::conflict("say.count", "no more"));
    assert!(replies.message().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn metadata_that_comes_late_is_among_the_trailers() -> Result<()> {
    let net = Net::new();
    let mut replies = net
        .say
        .count(Word {
            number: 1,
            ..word("late")
        })
        .await?;
    while replies.message().await?.is_some() {}
    assert_eq!(replies.trailers().get("late"), Some("yes"));
    Ok(())
}

#[tokio::test]
async fn a_client_stream_is_answered_once() -> Result<()> {
    let net = Net::new();
    let mut upload = net.say.collect().await?;
    for i in 0..300 {
        upload.send(number(i)).await?;
    }
    let reply = upload.finish_full().await?;
    assert_eq!(reply.message.number, 300 * 299 / 2);
    assert_eq!(reply.trailers.get("done"), Some("yes"));
    // A handler that has enough answers before the end.
    let mut upload = net.say.collect().await?;
    upload.send(word("enough")).await?;
    assert_eq!(upload.finish().await?.text, "enough");
    Ok(())
}

#[tokio::test]
async fn both_sides_talk_in_turn() -> Result<()> {
    let net = Net::new();
    let (mut send, mut receive) = net.say.sum().await?;
    let mut sum = 0;
    for i in 0..100 {
        send.send(number(i)).await?;
        sum += i;
        assert_eq!(receive.message().await?.unwrap().number, sum);
    }
    send.finish().await?;
    assert!(receive.message().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn a_sender_that_is_dropped_ends_the_input() -> Result<()> {
    let net = Net::new();
    let (mut send, mut receive) = net.say.sum().await?;
    send.send(number(1)).await?;
    drop(send);
    assert_eq!(receive.message().await?.unwrap().number, 1);
    assert!(receive.message().await?.is_none());
    Ok(())
}

#[tokio::test]
async fn an_error_of_the_handler_reaches_sender_and_receiver() -> Result<()> {
    let net = Net::new();
    let (mut send, mut receive) = net.say.sum().await?;
    send.send(word("stop")).await?;
    let error = receive.message().await.unwrap_err();
    assert_eq!(error, Error::forbidden("say.sum", "stopped"));
    let error = loop {
        if let Err(error) = send.send(word("more")).await {
            break error;
        }
        tokio::task::yield_now().await;
    };
    assert_eq!(error, Error::forbidden("say.sum", "stopped"));
    Ok(())
}

#[tokio::test]
async fn a_slow_reader_makes_the_handler_wait() -> Result<()> {
    let mut settings = Grpc::new();
    settings.stream_window = 64 << 10;
    let net = Net::with(settings, Limits::default());
    let mut replies = net.say.count(number(1_000_000)).await?;
    let mut before = usize::MAX;
    // Until it stands still: the windows are full.
    while count(&net.probe.sent) != before {
        before = count(&net.probe.sent);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        before < 100_000,
        "{before} messages were sent and none read"
    );
    for _ in 0..before {
        replies.message().await?.unwrap();
    }
    net.probe.until(|probe| count(&probe.sent) > before).await;
    drop(replies);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    assert_eq!(count(&net.probe.cancelled), 1);
    Ok(())
}

#[tokio::test]
async fn a_handler_that_does_not_read_makes_the_client_wait() -> Result<()> {
    let mut settings = Grpc::new();
    settings.stream_window = 64 << 10;
    let net = Net::with(settings, Limits::default());
    let mut upload = net.say.collect().await?;
    upload.send(word("hold")).await?;
    let mut sent = 0;
    while tokio::time::timeout(Duration::from_millis(100), upload.send(sized("", 10_000)))
        .await
        .is_ok_and(|sent| sent.is_ok())
    {
        sent += 1;
    }
    assert!(sent < 20, "{sent} messages of 10 kB were taken");
    // Others go on meanwhile.
    assert_eq!(net.say.hello(word("x")).await?.text, "x");
    net.probe.go.notify_one();
    assert_eq!(upload.finish().await?.number, sent * 10_000);
    Ok(())
}

#[tokio::test]
async fn streams_that_nobody_reads_hold_up_no_other_call() -> Result<()> {
    let mut settings = Grpc::new();
    settings.stream_window = 64 << 10;
    let net = Net::with(settings, Limits::default());
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(net.say.count(number(1_000_000)).await?);
    }
    for _ in 0..20 {
        let call = async { net.say.hello(sized("echo", 30_000)).await };
        let echo = tokio::time::timeout(Duration::from_secs(10), call)
            .await
            .expect("it is answered")?;
        assert_eq!(echo.data.len(), 30_000);
    }
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_is_dropped_does_not_hold_up_the_sender() -> Result<()> {
    let mut settings = Grpc::new();
    settings.stream_window = 64 << 10;
    let net = Net::with(settings, Limits::default());
    let (mut send, receive) = net.say.sum().await?;
    drop(receive);
    for _ in 0..50 {
        send.send(sized("", 10_000)).await?;
    }
    send.finish().await?;
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    Ok(())
}

#[tokio::test]
async fn input_that_a_handler_does_not_want_does_not_hold_up_the_client() -> Result<()> {
    let mut settings = Grpc::new();
    settings.stream_window = 64 << 10;
    let net = Net::with(settings, Limits::default());
    let (mut send, mut receive) = net.say.sum().await?;
    send.send(word("deaf")).await?;
    for _ in 0..50 {
        send.send(sized("", 10_000)).await?;
    }
    net.probe.go.notify_one();
    assert_eq!(receive.message().await?.unwrap().number, 0);
    Ok(())
}

#[tokio::test]
async fn a_stream_given_up_cancels_its_handler() -> Result<()> {
    let net = Net::new();
    let replies = net
        .say
        .count(Word {
            number: 1,
            ..word("wait")
        })
        .await?;
    net.probe.until(|probe| count(&probe.sent) == 1).await;
    drop(replies);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    assert_eq!(count(&net.probe.cancelled), 1);
    let (send, receive) = net.say.sum().await?;
    net.probe.until(|probe| count(&probe.started) == 2).await;
    drop((receive, send));
    net.probe.until(|probe| count(&probe.dropped) == 2).await;
    assert_eq!(count(&net.probe.cancelled), 2);
    Ok(())
}

#[tokio::test]
async fn an_unknown_stream_fails_at_its_opening() {
    use micro_runtime::method::{Kind, Method};
    let net = Net::new();
    let method = Method::dynamic("Say.Nothing", Kind::Bidi);
    let error = net.say.0.bidi::<Word, Word>(method).await.unwrap_err();
    assert_eq!(error.code(), 501);
}
