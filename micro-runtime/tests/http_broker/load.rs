//! Many publishers at once, over sockets and threads, while subscribers come and go.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use micro_runtime::broker::{Broker, Http, HttpOptions, Message, Subscription};
use micro_runtime::registry::Memory;
use micro_runtime::tasks::Tasks;
use tokio::time::timeout;

use crate::world::open;

const PUBLISHERS: usize = 6;
const EACH: usize = 150;

fn broker(registry: &Memory) -> Http {
    let mut options = HttpOptions::default();
    options.linger = Duration::from_millis(50);
    Http::with(Arc::new(registry.clone()), &Tasks::new(), options).unwrap()
}

/// The words of the next message, which is then dealt with.
async fn next(subscription: &mut dyn Subscription) -> Option<String> {
    let delivery = subscription.next().await?;
    let words = String::from_utf8(delivery.message.body.to_vec()).unwrap();
    delivery.ack();
    Some(words)
}

async fn publish_all(registry: &Memory) {
    let publisher = broker(registry);
    let mut running = Vec::new();
    for number in 0..PUBLISHERS {
        let publisher = publisher.clone();
        running.push(tokio::spawn(async move {
            for one in 0..EACH {
                let message = Message::new(format!("{number}-{one}"));
                publisher.publish("t", message).await.unwrap();
            }
        }));
    }
    for one in running {
        one.await.unwrap();
    }
}

fn once_each(heard: &[String]) {
    let mut counted: BTreeMap<&str, usize> = BTreeMap::new();
    for one in heard {
        *counted.entry(one).or_default() += 1;
    }
    let twice: Vec<_> = counted.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "heard twice: {twice:?}");
    assert_eq!(counted.len(), PUBLISHERS * EACH, "lost");
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
    publish_all(&registry).await;
    listening.disconnect().await.unwrap();
    let mut heard = Vec::new();
    for reader in readers {
        heard.push(reader.await.unwrap());
    }
    let in_queue = [heard[2].clone(), heard[3].clone()].concat();
    for all in [&heard[0], &heard[1], &in_queue] {
        once_each(all);
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
    let done = Arc::new(AtomicBool::new(false));
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
        let (registry, done) = (registry.clone(), done.clone());
        going.push(tokio::spawn(async move {
            let broker = broker(&registry);
            let mut heard = Vec::new();
            let mut rounds = 0;
            while !done.load(Ordering::SeqCst) {
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
                rounds += 1;
            }
            (heard, rounds)
        }));
    }
    publish_all(&registry).await;
    done.store(true, Ordering::SeqCst);
    let mut heard = Vec::new();
    for one in going {
        let (words, rounds) = one.await.unwrap();
        assert!(rounds > 1, "it went {rounds} times");
        heard.extend(words);
    }
    stays.disconnect().await.unwrap();
    heard.extend(staying.await.unwrap());
    once_each(&heard);
}
