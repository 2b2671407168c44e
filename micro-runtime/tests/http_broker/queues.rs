//! Who gets a copy, and what happens to those who are not there.

use std::collections::BTreeMap;
use std::time::Duration;

use micro_runtime::broker::{Broker, Message};
use micro_runtime::registry::{Node, RegisterOptions, Registry, Service};
use micro_runtime::transport::Transport;
use tokio::time::Instant;

use crate::world::{BROADCAST, Fake, OK, SERVICE, World, answer, open, subscribe};

const GONE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const FULL: &str = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 64\r\nConnection: close\r\n\r\n\
                    {\"id\":\"go.micro.broker\",\"code\":503,\"detail\":\"its queue is full   \"}";

const BAD_GATEWAY: &str =
    "HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
const GATEWAY_TIMEOUT: &str =
    "HTTP/1.1 504 Gateway Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

#[tokio::test]
async fn processes_and_queues_get_their_copies() {
    let world = World::default();
    let (one, two) = (world.broker(), world.broker());
    let mut all = vec![
        subscribe(&one, "t", "").await,
        subscribe(&one, "t", "").await,
        subscribe(&two, "t", "").await,
    ];
    // Two of one queue in one process, and one in another; and a queue beside it.
    let mut workers = vec![
        subscribe(&one, "t", "workers").await,
        subscribe(&one, "t", "workers").await,
        subscribe(&two, "t", "workers").await,
    ];
    let mut audit = subscribe(&one, "t", "audit").await;
    let mut other = subscribe(&two, "u", "workers").await;
    let nodes = world.nodes().await;
    let ids: std::collections::BTreeSet<_> = nodes.iter().map(|(_, node)| &node.id).collect();
    assert_eq!(
        ids.len(),
        8,
        "each subscription has an id of its own: {nodes:?}"
    );
    let sent: Vec<_> = (0..60).map(|number| number.to_string()).collect();
    let publisher = world.broker();
    for word in &sent {
        publisher
            .publish("t", Message::new(word.clone()))
            .await
            .unwrap();
    }
    for heard in &mut all {
        assert_eq!(heard.words().await, sent);
    }
    assert_eq!(audit.words().await, sent);
    assert!(other.words().await.is_empty());
    let mut shares = Vec::new();
    for worker in &mut workers {
        shares.push(worker.words().await);
    }
    let mut counted = BTreeMap::new();
    for word in shares.iter().flatten() {
        *counted.entry(word.clone()).or_insert(0) += 1;
    }
    assert!(
        sent.iter().all(|word| counted.get(word) == Some(&1)),
        "{counted:?}"
    );
    assert!(shares.iter().all(|share| share.len() > 5), "{shares:?}");
    assert_eq!(
        publisher.address(),
        None,
        "who only publishes opens nothing"
    );
}

#[tokio::test]
async fn another_member_of_a_queue_takes_what_one_does_not() {
    for says in [None, Some(GONE), Some(FULL)] {
        let world = World::default();
        let broker = world.broker();
        let mut heard = subscribe(&broker, "t", "q").await;
        let fake = Fake::listen(&world, says.unwrap_or_default()).await;
        let address = says.map_or("nowhere", |_| &fake.address);
        world.register("t", "q", "t-0", address).await;
        let publisher = world.broker();
        let sent: Vec<_> = (0..20).map(|number| number.to_string()).collect();
        for word in &sent {
            publisher
                .publish("t", Message::new(word.clone()))
                .await
                .unwrap();
        }
        assert_eq!(heard.words().await, sent);
    }
}

#[tokio::test]
async fn what_may_have_been_dealt_with_is_not_sent_again() {
    // It takes the post and closes without a word, or a proxy has lost the answer.
    for says in ["", BAD_GATEWAY, GATEWAY_TIMEOUT] {
        let world = World::default();
        let mut fakes = Vec::new();
        for number in 0..3 {
            let fake = Fake::listen(&world, says).await;
            world
                .register("t", "q", &format!("t-{number}"), &fake.address)
                .await;
            fakes.push(fake);
        }
        let error = world
            .broker()
            .publish("t", Message::new("m"))
            .await
            .unwrap_err();
        assert_eq!(error.code(), 503);
        assert!(!error.is_unprocessed(), "{error}");
        assert!(error.detail().contains("of the queue q, t-"), "{error}");
        let posts = fakes
            .iter_mut()
            .filter_map(|fake| fake.posts.try_recv().ok());
        assert_eq!(posts.count(), 1, "{says}");
    }
}

#[tokio::test]
async fn a_queue_of_which_nobody_is_reached_is_told_and_others_get_theirs() {
    let world = World::default();
    let broker = world.broker();
    let mut heard = subscribe(&broker, "t", "").await;
    for number in 0..2 {
        world
            .register("t", "q", &format!("t-{number}"), "nowhere")
            .await;
    }
    let publisher = world.broker();
    let error = publisher.publish("t", Message::new("m")).await.unwrap_err();
    assert!(
        error
            .detail()
            .starts_with("publishing t: of the queue q, t-"),
        "{error}"
    );
    assert!(
        error.detail().contains("nobody listens on nowhere"),
        "{error}"
    );
    assert!(!error.is_unprocessed(), "one has it");
    assert_eq!(heard.words().await, ["m"]);
}

#[tokio::test]
async fn without_a_queue_one_that_is_reached_is_enough_and_none_is_an_error() {
    let world = World::default();
    for number in 0..6 {
        world
            .register("t", BROADCAST, &format!("t-{number}"), "nowhere")
            .await;
    }
    let publisher = world.broker();
    let error = publisher.publish("t", Message::new("m")).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert!(
        error.detail().contains("t-0 at nowhere was not reached"),
        "{error}"
    );
    assert!(error.detail().ends_with("; 2 more"), "{error}");
    let broker = world.broker();
    let mut heard = subscribe(&broker, "t", "").await;
    world
        .broker()
        .publish("t", Message::new("n"))
        .await
        .unwrap();
    assert_eq!(heard.words().await, ["n"]);
}

#[tokio::test(start_paused = true)]
async fn who_could_not_be_reached_is_left_alone_for_a_while() {
    let world = World::default();
    let mut fake = Fake::listen(&world, OK).await;
    world.register("t", BROADCAST, "t-1", "later").await;
    let publisher = world.broker();
    publisher.publish("t", Message::new("m")).await.unwrap_err();
    let relay = world.network.listen("later").await.unwrap();
    drop(relay);
    let error = publisher.publish("t", Message::new("m")).await.unwrap_err();
    assert!(error.detail().contains("left alone"), "{error}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.register("t", BROADCAST, "t-1", &fake.address).await;
    world
        .broker()
        .publish("t", Message::new("n"))
        .await
        .unwrap();
    assert!(fake.posts.recv().await.unwrap().contains("POST /?id=t-1 "));
}

#[tokio::test]
async fn where_nobody_is_subscribed_any_more_nothing_is_wrong() {
    let world = World::default();
    let fake = Fake::listen(&world, GONE).await;
    for version in [BROADCAST, "q"] {
        let id = format!("t-{version}");
        world.register("t", version, &id, &fake.address).await;
    }
    world
        .broker()
        .publish("t", Message::new("m"))
        .await
        .unwrap();
    world
        .broker()
        .publish("u", Message::new("m"))
        .await
        .unwrap();
}

#[tokio::test]
async fn nodes_of_other_brokers_and_topics_are_passed_over() {
    let world = World::default();
    let mut fake = Fake::listen(&world, OK).await;
    for (id, broker, topic) in [
        ("a", Some("nats"), Some("t")),
        ("b", None, Some("t")),
        ("c", Some("http"), None),
        ("d", Some("http"), Some("T")),
    ] {
        let mut node = Node::new(id, &*fake.address);
        let pairs = [("broker", broker), ("topic", topic)];
        let pairs = pairs
            .into_iter()
            .filter_map(|(key, value)| Some((key, value?)));
        node.metadata = pairs
            .map(|(key, value)| (key.into(), value.into()))
            .collect();
        let mut service = Service::new(SERVICE, BROADCAST);
        service.nodes = vec![node];
        let options = RegisterOptions::default();
        world.registry.register(&service, options).await.unwrap();
    }
    world
        .broker()
        .publish("t", Message::new("m"))
        .await
        .unwrap();
    assert!(fake.posts.try_recv().is_err());
}

#[tokio::test(start_paused = true)]
async fn a_slow_handler_holds_up_no_publisher_of_ours() {
    let world = World::default();
    let broker = world.broker();
    let mut subscription = open(&broker, "t", "").await;
    let publisher = world.broker();
    let began = Instant::now();
    for _ in 0..64 {
        publisher.publish("t", Message::new("m")).await.unwrap();
    }
    assert_eq!(began.elapsed(), Duration::ZERO);
    // Where there is no room any more, it waits for some.
    let (published, ()) = tokio::join!(publisher.publish("t", Message::new("m")), async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        subscription.next().await.unwrap().ack();
    });
    published.unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(2));
    let error = publisher.publish("t", Message::new("m")).await.unwrap_err();
    assert!(
        error
            .detail()
            .contains("it answered 503: the subscription has no room"),
        "{error}"
    );
    assert!(error.is_unprocessed());
    assert_eq!(began.elapsed(), Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn who_has_taken_a_post_and_does_not_answer_is_busy_and_no_error() {
    let world = World::default();
    // As Go Micro's receivers do while their handler runs.
    let (keep, mut posts) = tokio::sync::mpsc::channel(1);
    let mut listener = world.network.listen("busy").await.unwrap();
    world.tasks.spawn(async move {
        let mut line = listener.accept().await.unwrap().io;
        keep.send(answer(&mut line).await).await.unwrap();
        std::future::pending::<()>().await;
    });
    world.register("t", BROADCAST, "t-1", "busy").await;
    let began = Instant::now();
    world
        .broker()
        .publish("t", Message::new("m"))
        .await
        .unwrap();
    assert_eq!(began.elapsed(), Duration::from_secs(5));
    assert!(posts.recv().await.unwrap().contains("\"Body\":\"bQ==\""));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_swallows_everything_does_not_hold_up_the_others() {
    let world = World::default();
    // Nobody accepts: 128 wait, and the next is not even connected.
    let _deaf = world.network.listen("deaf").await.unwrap();
    for _ in 0..128 {
        drop(world.dial("deaf").await);
    }
    for number in 0..3 {
        world
            .register("t", "q", &format!("t-{number}"), "deaf")
            .await;
    }
    let broker = world.broker();
    let mut heard = subscribe(&broker, "t", "").await;
    let began = Instant::now();
    let error = world
        .broker()
        .publish("t", Message::new("m"))
        .await
        .unwrap_err();
    assert!(error.detail().contains("did not answer in time"), "{error}");
    assert!(
        began.elapsed() <= Duration::from_secs(9),
        "{:?}",
        began.elapsed()
    );
    assert_eq!(heard.words().await, ["m"]);
}
