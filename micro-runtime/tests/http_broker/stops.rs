//! What is under way when something closes.

use std::time::Duration;

use micro_runtime::broker::{Broker, Message, SubscribeOptions};
use micro_runtime::transport::Transport;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::world::{World, answer, hi, open, post, status, subscribe};

#[tokio::test(start_paused = true)]
async fn a_disconnect_answers_what_is_under_way_and_takes_nothing_new() {
    let world = World::default();
    let broker = world.broker();
    let mut options = SubscribeOptions::default();
    options.capacity = 1;
    let mut subscription = broker.subscribe("t", options).await.unwrap();
    let node = world.node().await;
    let request = post(&node.id, &hi("t"));
    // One connection rests, one has half a request, one a message that a handler deals with, one a
    // message in the queue, one a message without a place there.
    let mut resting = world.dial(&node.address).await;
    let mut half = world.dial(&node.address).await;
    let (first, second) = request.split_at(40);
    half.write_all(first.as_bytes()).await.unwrap();
    let mut lines = Vec::new();
    for _ in 0..3 {
        let mut line = world.dial(&node.address).await;
        line.write_all(request.as_bytes()).await.unwrap();
        lines.push(line);
        if lines.len() == 1 {
            continue;
        }
        sleep(Duration::from_millis(1)).await;
    }
    let delivery = subscription.next().await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let mut last = world.dial(&node.address).await;
    last.write_all(request.as_bytes()).await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    let (closed, said) = tokio::join!(broker.disconnect(), async {
        assert_eq!(
            resting.read(&mut [0; 8]).await.unwrap(),
            0,
            "it is closed at once"
        );
        assert!(
            world.nodes().await.is_empty(),
            "nobody is told of it any more"
        );
        half.write_all(second.as_bytes()).await.unwrap();
        let mut said = vec![answer(&mut half).await, answer(&mut last).await];
        for line in &mut lines {
            said.push(answer(line).await);
        }
        drop((half, last, lines));
        said
    });
    closed.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(500));
    let codes: Vec<_> = said.iter().map(|said| status(said)).collect();
    assert_eq!(codes, ["503", "503", "200", "200", "503"]);
    for said in said {
        assert!(said.contains("\r\nConnection: close\r\n"), "{said}");
    }
    delivery.ack();
    // What has its place in the queue is still given.
    subscription.next().await.unwrap().ack();
    assert!(subscription.next().await.is_none());
    assert_eq!(broker.address(), None);
    assert!(world.network.dial(&node.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_sends_half_a_request_holds_up_a_disconnect_for_five_seconds() {
    let world = World::default();
    let broker = world.broker();
    let mut subscription = open(&broker, "t", "").await;
    let mut line = world.dial(&world.node().await.address).await;
    line.write_all(b"POST / HT").await.unwrap();
    sleep(Duration::from_millis(1)).await;
    let began = Instant::now();
    broker.disconnect().await.unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(5500));
    assert_eq!(line.read(&mut [0; 8]).await.unwrap_or(0), 0);
    assert!(subscription.next().await.is_none());
}

#[tokio::test(start_paused = true)]
async fn who_has_not_heard_yet_that_a_broker_disconnects_is_still_served() {
    let world = World::default();
    let broker = world.broker();
    let mut heard = subscribe(&broker, "t", "").await;
    let node = world.node().await;
    let request = post(&node.id, &hi("t"));
    let mut kept = world.dial(&node.address).await;
    kept.write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut kept).await), "200");
    let (closed, ()) = tokio::join!(broker.disconnect(), async {
        sleep(Duration::from_millis(400)).await;
        assert!(world.nodes().await.is_empty());
        kept.write_all(request.as_bytes()).await.unwrap();
        assert_eq!(status(&answer(&mut kept).await), "200");
        let said = world.say(&node.address, request.as_bytes()).await;
        assert_eq!(status(&said), "200");
    });
    closed.unwrap();
    assert_eq!(heard.words().await, ["hi"; 3]);
    // The moment counts from when the last subscription was deregistered; a close has waited for it.
    for (closes, pause, waits) in [(false, 200, 300), (false, 600, 0), (true, 0, 0)] {
        let mut subscription = open(&broker, "t", "").await;
        if closes {
            subscription.close().await.unwrap();
        }
        drop(subscription);
        sleep(Duration::from_millis(pause)).await;
        let began = Instant::now();
        broker.disconnect().await.unwrap();
        assert_eq!(began.elapsed(), Duration::from_millis(waits));
    }
}

#[tokio::test(start_paused = true)]
async fn who_has_not_heard_yet_that_a_subscription_closes_is_still_served() {
    let world = World::default();
    let broker = world.broker();
    let mut one = open(&broker, "t", "q").await;
    let node = world.node().await;
    let mut two = open(&broker, "u", "q").await;
    let request = post(&node.id, &hi("t"));
    let began = Instant::now();
    let (first, second, ()) = tokio::join!(one.close(), two.close(), async {
        sleep(Duration::from_millis(400)).await;
        assert!(world.nodes().await.is_empty());
        let (said, ()) = tokio::join!(world.say(&node.address, request.as_bytes()), async {
            one.next().await.unwrap().ack()
        });
        assert_eq!(status(&said), "200");
    });
    first.and(second).unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(500), "both at once");
    assert!(one.next().await.is_none());
    let said = world.say(&node.address, request.as_bytes()).await;
    assert_eq!(status(&said), "404");
    // A second close and a broker that disconnects wait for nothing more.
    one.close().await.unwrap();
    let mut three = open(&broker, "t", "q").await;
    drop(two);
    let (closed, disconnected) = tokio::join!(three.close(), broker.disconnect());
    closed.and(disconnected).unwrap();
    assert_eq!(began.elapsed(), Duration::from_millis(1000));
}

#[tokio::test]
async fn a_closed_subscription_gives_what_was_taken_and_then_ends() {
    let world = World::default();
    let broker = world.broker();
    let mut other = subscribe(&broker, "u", "").await;
    let mut subscription = open(&broker, "t", "").await;
    let nodes = world.nodes().await;
    let (_, node) = nodes
        .iter()
        .find(|(_, node)| node.metadata["topic"] == "t")
        .unwrap();
    let request = post(&node.id, &hi("t"));
    let mut lines = Vec::new();
    for _ in 0..3 {
        let mut line = world.dial(&node.address).await;
        line.write_all(request.as_bytes()).await.unwrap();
        lines.push(line);
    }
    let first = subscription.next().await.unwrap();
    // All three are in the queue once the pipes have been read.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    subscription.close().await.unwrap();
    first.ack();
    let (said, ()) = tokio::join!(
        async {
            let mut said = Vec::new();
            for line in &mut lines {
                said.push(answer(line).await);
            }
            said
        },
        async {
            subscription.next().await.unwrap().ack();
            subscription.next().await.unwrap().nack();
            assert!(subscription.next().await.is_none());
        }
    );
    for said in said {
        assert_eq!(status(&said), "200");
    }
    // Who comes later is told, on a connection that was kept.
    lines[0].write_all(request.as_bytes()).await.unwrap();
    assert_eq!(status(&answer(&mut lines[0]).await), "404");
    world
        .broker()
        .publish("u", Message::new("m"))
        .await
        .unwrap();
    assert_eq!(other.words().await, ["m"]);
}

#[tokio::test]
async fn a_dropped_subscription_refuses_what_it_has_not_dealt_with() {
    let world = World::default();
    let broker = world.broker();
    let subscription = open(&broker, "t", "").await;
    let node = world.node().await;
    let mut line = world.dial(&node.address).await;
    line.write_all(post(&node.id, &hi("t")).as_bytes())
        .await
        .unwrap();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    drop(subscription);
    // As Go: what a handler makes of it is not the publisher's business.
    assert_eq!(status(&answer(&mut line).await), "200");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_goes_takes_nothing_back() {
    let world = World::default();
    let broker = world.broker();
    let mut subscription = open(&broker, "t", "").await;
    let node = world.node().await;
    let mut line = world.dial(&node.address).await;
    line.write_all(post(&node.id, &hi("t")).as_bytes())
        .await
        .unwrap();
    sleep(Duration::from_millis(1)).await;
    drop(line);
    sleep(Duration::from_millis(1)).await;
    let delivery = subscription.next().await.unwrap();
    assert_eq!(delivery.message.body, "hi");
    delivery.ack();
}

#[tokio::test]
async fn a_broker_opens_again_on_the_address_that_it_is_given() {
    let world = World::default();
    let mut options = world.options();
    options.address = Some("here:7000-7001".to_owned());
    let broker = world.broker_with(options.clone());
    for _ in 0..3 {
        let _subscription = open(&broker, "t", "").await;
        assert_eq!(broker.address().as_deref(), Some("here:7000"));
        broker.disconnect().await.unwrap();
    }
    let first = open(&broker, "t", "").await;
    options.advertise = Some("there:80".to_owned());
    let beside = world.broker_with(options.clone());
    let second = open(&beside, "t", "").await;
    assert_eq!(beside.address().as_deref(), Some("there:80"));
    let third = world.broker_with(options);
    let error = third.subscribe("t", Default::default()).await.unwrap_err();
    assert!(error.detail().contains("here:7001"), "{error}");
    drop((first, second));
}
