//! Many publishers at once, over sockets and threads, while subscribers come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::broker::{Broker, Http, HttpOptions, Message, Subscription};
use micro_runtime::registry::Memory;
use micro_runtime::tasks::Tasks;
use tokio::time::timeout;

use crate::world::open;

const PUBLISHERS: usize = 4;

fn broker(registry: &Memory) -> Http {
    let mut options = HttpOptions::default();
    options.linger = Duration::from_secs(1);
    Http::with(Arc::new(registry.clone()), &Tasks::new(), options).unwrap()
}

/// The words of the next message, which is then dealt with.
async fn next(subscription: &mut dyn Subscription) -> Option<String> {
    let delivery = subscription.next().await?;
    let words = String::from_utf8(delivery.message.body.to_vec()).unwrap();
    delivery.ack();
    Some(words)
}

/// Publishes from several tasks, each message after the one before, until it is enough of them.
async fn publish_until(
    registry: &Memory,
    enough: impl Fn(usize) -> bool + Clone + Send + Sync + 'static,
) -> Vec<String> {
    let publisher = broker(registry);
    let mut running = Vec::new();
    for number in 0..PUBLISHERS {
        let (publisher, enough) = (publisher.clone(), enough.clone());
        running.push(tokio::spawn(async move {
            let mut sent = Vec::new();
            while !enough(sent.len()) {
                let words = format!("{number}-{}", sent.len());
                let message = Message::new(words.clone());
                publisher.publish("t", message).await.unwrap();
                sent.push(words);
            }
            sent
        }));
    }
    let mut sent = Vec::new();
    for one in running {
        sent.extend(one.await.unwrap());
    }
    sent
}

fn once_each(heard: &[String], sent: &[String]) {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for one in heard {
        *counted.entry(one).or_default() += 1;
    }
    let wrong: Vec<_> = sent
        .iter()
        .map(|one| (one, counted.get(&**one)))
        .filter(|(_, count)| *count != Some(&1))
        .collect();
    assert!(wrong.is_empty(), "lost, or heard twice: {wrong:?}");
    assert_eq!(counted.len(), sent.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nothing_is_lost_or_heard_twice_and_each_publisher_is_heard_in_order() {
    let registry = Memory::new();
    let listening = broker(&registry);
    let mut readers = Vec::new();
    for queue in ["", "", "q", "q"] {
        let mut subscription = open(&listening, "t", queue).await;
        readers.push(tokio::spawn(async move {
            let mut heard = Vec::new();
            while let Some(words) = next(&mut *subscription).await {
                heard.push(words);
            }
            heard
        }));
    }
    let sent = publish_until(&registry, |sent| sent >= 150).await;
    listening.disconnect().await.unwrap();
    let mut heard = Vec::new();
    for reader in readers {
        heard.push(reader.await.unwrap());
    }
    let in_queue = [heard[2].clone(), heard[3].clone()].concat();
    for all in [&heard[0], &heard[1], &in_queue] {
        once_each(all, &sent);
    }
    for one in &heard {
        let mut last = [None; PUBLISHERS];
        for words in one {
            let (publisher, number) = words.split_once('-').unwrap();
            let publisher: usize = publisher.parse().unwrap();
            let number: Option<usize> = number.parse().ok();
            assert!(number > last[publisher], "{words} came late");
            last[publisher] = number;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn members_of_a_queue_that_come_and_go_in_order_lose_nothing() {
    let registry = Memory::new();
    let rounds = Arc::new([const { AtomicUsize::new(0) }; 2]);
    let stays = broker(&registry);
    let mut subscription = open(&stays, "t", "q").await;
    let staying = tokio::spawn(async move {
        let mut heard = Vec::new();
        while let Some(words) = next(&mut *subscription).await {
            heard.push(words);
        }
        heard
    });
    let mut going = Vec::new();
    for member in 0..2 {
        let (registry, rounds) = (registry.clone(), rounds.clone());
        going.push(tokio::spawn(async move {
            let broker = broker(&registry);
            let mut heard = Vec::new();
            while rounds[member].fetch_add(1, Ordering::SeqCst) < 3 {
                let mut subscription = open(&broker, "t", "q").await;
                for _ in 0..20 {
                    let soon = timeout(Duration::from_millis(20), next(&mut *subscription));
                    heard.extend(soon.await.ok().flatten());
                }
                // One closes what it has subscribed to, the other all that it has.
                match member {
                    0 => subscription.close().await.unwrap(),
                    _ => broker.disconnect().await.unwrap(),
                }
                while let Some(words) = next(&mut *subscription).await {
                    heard.push(words);
                }
            }
            broker.disconnect().await.unwrap();
            heard
        }));
    }
    let sent = publish_until(&registry, move |_| {
        rounds
            .iter()
            .all(|rounds| rounds.load(Ordering::SeqCst) > 3)
    })
    .await;
    let mut heard = Vec::new();
    for one in going {
        let words = one.await.unwrap();
        assert!(!words.is_empty(), "it was there and heard nothing");
        heard.extend(words);
    }
    stays.disconnect().await.unwrap();
    heard.extend(staying.await.unwrap());
    once_each(&heard, &sent);
}
