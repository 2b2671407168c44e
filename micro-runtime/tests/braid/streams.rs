//! The three kinds of streams: messages, ends, errors, credit, and giving them up.

use std::time::Duration;

use micro_runtime::Result;
use micro_runtime::router::Limits;

use crate::net::Net;
use crate::say::{Word, count, sized, word};

fn number(number: u64) -> Word {
    Word {
        number,
        ..Word::default()
    }
}

fn window(messages: usize) -> Net {
    let mut limits = Limits::default();
    limits.stream_window = messages;
    Net::with(64 * 4096, limits)
}

#[tokio::test]
async fn replies_stream_with_metadata_at_the_opening_and_trailers_at_the_end() -> Result<()> {
    let net = Net::new();
    let reply = net.say.count(number(1000)).full().await?;
    assert_eq!(reply.metadata.get("opening"), Some("here"));
    let mut replies = reply.message;
    assert!(replies.trailers().is_empty());
    for i in 0..1000 {
        assert_eq!(replies.message().await?.unwrap().number, i);
    }
    assert!(replies.message().await?.is_none());
    assert!(replies.message().await?.is_none(), "it stays so");
    assert_eq!(replies.trailers().get("sum"), Some("1000"));
    Ok(())
}

#[tokio::test]
async fn a_stream_without_messages_is_opened_and_ended() -> Result<()> {
    let net = Net::new();
    let reply = net.say.count(number(0)).full().await?;
    assert_eq!(reply.metadata.get("opening"), Some("here"));
    let mut replies = reply.message;
    assert!(replies.message().await?.is_none());
    assert_eq!(replies.trailers().get("sum"), Some("0"));
    Ok(())
}

#[tokio::test]
async fn reply_metadata_that_is_set_after_the_opening_comes_with_the_trailers() -> Result<()> {
    let net = Net::new();
    let reply = net.say.count(word("late")).full().await?;
    assert_eq!(reply.metadata.get("opening"), Some("here"));
    let mut replies = reply.message;
    assert!(replies.message().await?.is_none());
    assert_eq!(replies.trailers().get("late"), Some("yes"));
    assert_eq!(replies.trailers().get("sum"), Some("0"));
    Ok(())
}

#[tokio::test]
async fn an_error_comes_after_the_messages_before_it() -> Result<()> {
    let net = Net::new();
    let mut replies = net
        .say
        .count(Word {
            text: "fail".into(),
            number: 3,
            ..Word::default()
        })
        .await?;
    for i in 0..3 {
        assert_eq!(replies.message().await?.unwrap().number, i);
    }
    let error = replies.message().await.unwrap_err();
    assert_eq!((error.id(), error.code()), ("say.count", 409));
    Ok(())
}

#[tokio::test]
async fn requests_stream_and_one_reply_comes() -> Result<()> {
    let net = Net::new();
    let mut upload = net.say.collect().await?;
    for i in 0..1000 {
        upload.send(number(i)).await?;
    }
    let reply = upload.finish_full().await?;
    assert_eq!(reply.message.number, 499_500);
    assert_eq!(reply.trailers.get("done"), Some("yes"));
    Ok(())
}

#[tokio::test]
async fn a_handler_may_answer_before_the_input_ends() -> Result<()> {
    let net = Net::new();
    let mut upload = net.say.collect().await?;
    upload.send(word("enough")).await?;
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    // What is still sent reaches nobody, and does not harm.
    while upload.send(word("more")).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(upload.finish().await?.text, "enough");
    assert_eq!(net.say.hello(word("x")).await?.text, "x");
    Ok(())
}

#[tokio::test]
async fn both_sides_stream_in_turns() -> Result<()> {
    let net = window(2);
    let (mut out, mut input) = net.say.sum().await?;
    let mut sum = 0;
    for i in 0..500 {
        out.send(number(i)).await?;
        sum += i;
        assert_eq!(input.message().await?.unwrap().number, sum);
    }
    out.finish().await?;
    assert!(input.message().await?.is_none());
    assert!(input.trailers().is_empty());
    Ok(())
}

#[tokio::test]
async fn the_peers_error_ends_both_directions() -> Result<()> {
    let net = Net::new();
    let (mut out, mut input) = net.say.sum().await?;
    out.send(word("stop")).await?;
    let error = input.message().await.unwrap_err();
    assert_eq!((error.id(), error.code()), ("say.sum", 403));
    let error = out.send(word("more")).await.unwrap_err();
    assert_eq!((error.id(), error.code()), ("say.sum", 403));
    Ok(())
}

#[tokio::test]
async fn a_sender_waits_for_a_slow_receiver() -> Result<()> {
    let net = window(4);
    // The handler sends; the client's own window of 4,096 holds it.
    let mut replies = net.say.count(number(9000)).await?;
    net.probe.until(|probe| count(&probe.sent) >= 4096).await;
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    assert_eq!(count(&net.probe.sent), 4096);
    while replies.message().await?.is_some() {}
    assert_eq!(count(&net.probe.sent), 9000);

    // The client sends; the server's window of 4 holds it.
    let mut upload = net.say.collect().await?;
    upload.send(word("hold")).await?;
    net.probe.until(|probe| count(&probe.received) == 1).await;
    let mut sent = 0;
    let waits = async {
        loop {
            upload.send(number(1)).await?;
            sent += 1;
        }
        #[allow(unreachable_code)]
        Ok::<(), micro_runtime::Error>(())
    };
    let settled = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        result = waits => result?,
        () = settled => {}
    }
    assert!((3..=4).contains(&sent), "{sent} went ahead of the handler");
    net.probe.go.notify_waiters();
    let reply = upload.finish().await?;
    assert_eq!(reply.number, sent);
    Ok(())
}

#[tokio::test]
async fn a_sender_waits_when_its_bytes_fill_the_window_and_not_only_its_messages() -> Result<()> {
    let mut limits = Limits::default();
    limits.stream_bytes = 10_000;
    let net = Net::with(64 * 4096, limits);
    let mut upload = net.say.collect().await?;
    upload.send(word("hold")).await?;
    net.probe.until(|probe| count(&probe.received) == 1).await;
    for _ in 0..3 {
        // The third goes beyond the window, which one message may.
        upload.send(sized("", 4000)).await?;
    }
    let waits = upload.send(sized("", 1));
    let settled = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        _ = waits => panic!("12,000 bytes are more than 10,000"),
        () = settled => {}
    }
    assert_eq!(count(&net.probe.received), 1);
    net.probe.go.notify_waiters();
    for _ in 0..20 {
        upload.send(sized("", 25_000)).await?;
    }
    upload.finish().await?;
    assert_eq!(count(&net.probe.received), 24);
    Ok(())
}

#[tokio::test]
async fn dropping_both_halves_drops_the_handler_and_not_the_connection() -> Result<()> {
    let net = Net::new();
    let (out, input) = net.say.sum().await?;
    drop((out, input));
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    assert_eq!(
        count(&net.probe.cancelled),
        1,
        "given up, and not ended well"
    );
    let replies = net
        .say
        .count(Word {
            text: "wait".into(),
            number: 10,
            ..Word::default()
        })
        .await?;
    drop(replies);
    net.probe.until(|probe| count(&probe.dropped) == 2).await;
    assert_eq!(count(&net.probe.cancelled), 2);
    let upload = net.say.collect().await?;
    drop(upload);
    net.probe.until(|probe| count(&probe.dropped) == 3).await;
    assert_eq!(
        count(&net.probe.cancelled),
        3,
        "an upload that was not finished is no upload"
    );
    assert_eq!(net.say.hello(word("x")).await?.text, "x");
    assert_eq!(net.pipes.dials.load(std::sync::atomic::Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn dropping_the_sender_alone_ends_the_input_well() -> Result<()> {
    let net = Net::new();
    let (mut out, mut input) = net.say.sum().await?;
    out.send(number(5)).await?;
    drop(out);
    assert_eq!(input.message().await?.unwrap().number, 5);
    assert!(input.message().await?.is_none());
    assert_eq!(count(&net.probe.cancelled), 0);
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_is_dropped_does_not_hold_the_sender_up() -> Result<()> {
    let net = window(4);
    // On the server.
    let (mut out, mut input) = net.say.sum().await?;
    out.send(word("deaf")).await?;
    for _ in 0..100 {
        out.send(number(1)).await?;
    }
    net.probe.go.notify_waiters();
    assert!(input.message().await?.is_some());
    assert!(input.message().await?.is_none());
    // On the client.
    let (mut out, input) = net.say.sum().await?;
    drop(input);
    for i in 0..500 {
        out.send(number(i)).await?;
    }
    let before = count(&net.probe.received);
    assert!(before > 300, "{before}");
    Ok(())
}

#[tokio::test]
async fn large_messages_stream() -> Result<()> {
    let net = Net::with(4 * 4096, Limits::default());
    let (mut out, mut input) = net.say.sum().await?;
    for size in [0, 5000, 100_000, 1 << 20] {
        out.send(sized("big", size)).await?;
        assert_eq!(input.message().await?.unwrap().data.len(), size);
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_streams_deadline_is_told_to_the_server_and_its_opening_has_none() -> Result<()> {
    let net = Net::new();
    // The call's timeout bounds the opening alone.
    let mut replies = net
        .say
        .count(word("wait"))
        .timeout(Duration::from_secs(1))
        .await?;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(count(&net.probe.dropped), 0);
    tokio::select! {
        biased;
        _ = replies.message() => panic!("it waits"),
        () = tokio::time::sleep(Duration::from_secs(1)) => {}
    }
    let parent = micro_runtime::Context::default()
        .with_deadline(tokio::time::Instant::now() + Duration::from_secs(2));
    let mut replies = net.say.count(word("wait")).within(&parent).await?;
    let error = replies.message().await.unwrap_err();
    // Both ends keep to it; either may be the first to say so.
    assert_eq!(error.code(), 408);
    Ok(())
}

#[tokio::test]
async fn a_stream_that_is_not_one_is_refused_before_it_opens() {
    use micro_runtime::method::{Kind, Method};
    let net = Net::new();
    let error = net
        .say
        .0
        .bidi::<Word, Word>(Method::dynamic("Say.Hello", Kind::Bidi))
        .await
        .unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (400, "Say.Hello does not stream, and the call streams")
    );
    let error = net
        .say
        .0
        .bidi::<Word, Word>(Method::dynamic("Say.No", Kind::Bidi))
        .await
        .unwrap_err();
    assert_eq!(error.detail(), "rpc: can't find method No");
}
