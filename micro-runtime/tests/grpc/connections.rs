//! How long connections are used, and how often a node that cannot be reached is dialled.

use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_runtime::Result;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;
use tokio::io::AsyncReadExt;
use tokio::time::{Instant, advance, sleep};

use crate::net::{Net, channel};
use crate::pipes::{Pipes, client};
use crate::say::{count, word};

fn dials(pipes: &Pipes) -> usize {
    pipes.dials.load(Ordering::SeqCst)
}

fn aged(age: u64, grace: Option<u64>) -> Net {
    let mut settings = Grpc::new();
    settings.max_age = Some(Duration::from_secs(age));
    settings.max_age_grace = grace.map(Duration::from_secs);
    Net::with(settings, Limits::default())
}

#[tokio::test(start_paused = true)]
async fn a_server_has_old_connections_made_anew_and_lets_their_calls_go_on() -> Result<()> {
    let net = aged(20, None);
    let (mut send, mut receive) = net.say.sum().await?;
    assert_eq!(dials(&net.pipes), 1);
    sleep(Duration::from_secs(17)).await;
    net.say.hello(word("x")).await?;
    assert_eq!(dials(&net.pipes), 1);
    // A tenth more at most.
    sleep(Duration::from_secs(6)).await;
    net.say.hello(word("x")).await?;
    assert_eq!(dials(&net.pipes), 2);
    sleep(Duration::from_secs(600)).await;
    send.send(word("y")).await?;
    assert_eq!(receive.message().await?.unwrap().text, "y");
    send.finish().await?;
    assert!(receive.message().await?.is_none());
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn calls_on_an_old_connection_end_with_the_grace() -> Result<()> {
    let net = aged(20, Some(5));
    let start = Instant::now();
    let (send, mut receive) = net.say.sum().await?;
    let error = receive.message().await.unwrap_err();
    let lived = start.elapsed();
    assert!(!error.is_unprocessed(), "{error}");
    let (least, most) = (Duration::from_secs(23), Duration::from_millis(27_100));
    assert!((least..most).contains(&lived), "{lived:?}");
    drop(send);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_of_a_client_is_replaced_while_calls_go_on_by_it() -> Result<()> {
    let net = Net::new();
    let (mut send, mut receive) = net.say.sum().await?;
    sleep(Duration::from_secs(50)).await;
    net.say.hello(word("x")).await?;
    assert_eq!(dials(&net.pipes), 1);
    sleep(Duration::from_secs(20)).await;
    // The call that finds it old goes by it still, and does not wait for the new one.
    net.say.hello(word("x")).await?;
    while dials(&net.pipes) == 1 {
        tokio::task::yield_now().await;
    }
    for _ in 0..10 {
        net.say.hello(word("x")).await?;
    }
    assert_eq!(dials(&net.pipes), 2);
    send.send(word("y")).await?;
    assert_eq!(receive.message().await?.unwrap().text, "y");

    // Where no new one can be had, the old one serves on, and it is tried again now and then.
    net.pipes.down.store(true, Ordering::SeqCst);
    sleep(Duration::from_secs(70)).await;
    let before = dials(&net.pipes);
    for _ in 0..200 {
        net.say.hello(word("x")).await?;
        advance(Duration::from_millis(10)).await;
    }
    let tried = dials(&net.pipes) - before;
    assert!((3..15).contains(&tried), "{tried}");
    Ok(())
}

#[tokio::test]
async fn a_call_may_ask_that_its_connection_is_left_with_it() -> Result<()> {
    let net = Net::new();
    net.say.hello(word("x")).close_connection().await?;
    net.say.hello(word("x")).close_connection().await?;
    assert_eq!(dials(&net.pipes), 2);
    let (mut send, mut receive) = net.say.sum().close_connection().await?;
    net.say.hello(word("x")).await?;
    net.say.hello(word("x")).await?;
    assert_eq!(dials(&net.pipes), 4);
    // The stream has its connection until it ends.
    send.send(word("y")).await?;
    assert_eq!(receive.message().await?.unwrap().text, "y");
    send.finish().await?;
    assert!(receive.message().await?.is_none());
    drop(receive);
    net.channel.close();
    net.server.core().tasks().idle().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_cannot_be_reached_is_not_dialled_by_every_call() -> Result<()> {
    let net = Net::new();
    net.pipes.down.store(true, Ordering::SeqCst);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(10) {
        let error = net.say.hello(word("x")).await.unwrap_err();
        assert!(error.is_unprocessed(), "{error}");
        assert!(error.detail().contains("nobody is there"), "{error}");
        sleep(Duration::from_millis(1)).await;
    }
    let tried = dials(&net.pipes);
    assert!((10..30).contains(&tried), "{tried}");
    // Back, it is found within a second.
    net.pipes.down.store(false, Ordering::SeqCst);
    sleep(Duration::from_secs(1)).await;
    assert_eq!(net.say.hello(word("x")).await?.text, "x");

    // And what was is forgotten: one failure keeps nobody from trying.
    net.say.hello(word("x")).close_connection().await?;
    net.pipes.down.store(true, Ordering::SeqCst);
    let before = dials(&net.pipes);
    let error = net.say.hello(word("x")).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert_eq!(dials(&net.pipes), before + 1);
    net.pipes.down.store(false, Ordering::SeqCst);
    assert_eq!(net.say.hello(word("x")).await?.text, "x");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_node_that_ends_its_connections_without_a_word_is_left_alone_too() {
    let tasks = Tasks::new();
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let channel = channel(&Grpc::new(), pipes.clone(), &tasks, "server");
    let say = client(&channel);
    tasks.spawn(async move {
        while let Some(mut io) = dialled.recv().await {
            let mut opening = [0; 24];
            let _ = io.read_exact(&mut opening).await;
        }
    });
    let start = Instant::now();
    let mut failed = 0;
    while start.elapsed() < Duration::from_secs(10) {
        assert!(say.hello(word("x")).await.is_err());
        failed += 1;
        sleep(Duration::from_millis(1)).await;
    }
    assert!(failed > 1000, "{failed}");
    let tried = dials(&pipes);
    assert!((10..40).contains(&tried), "{tried}");
}
