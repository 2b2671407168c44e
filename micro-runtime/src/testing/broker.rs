//! What every broker must do.
//!
//! Brokers may take a moment until a subscription is known to publishers, and may drop what nobody
//! is there for: the suite first publishes probes until everyone has heard one.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout};

use crate::broker::{Broker, Message, SubscribeOptions, Subscription};
use crate::tasks::Tasks;

/// How long a message may take, or a subscription to be known.
const SOON: Duration = Duration::from_secs(15);
/// What a reader may hear in one test.
const MANY: usize = 4096;
/// The header of messages that only find out who listens.
const PROBE: &str = "Contract-Probe";

/// Runs the contract of [`Broker`] on brokers that `make` gives. Topics begin with `contract.`, and
/// nobody else may use them.
///
/// # Panics
/// Where the contract is broken, with a sentence that says how.
pub async fn broker_contract<F, B>(make: F)
where
    F: Fn() -> B,
    B: Future<Output = Arc<dyn Broker>>,
{
    publishing_to_nobody_is_no_error(&*make().await).await;
    what_is_published_arrives_whole(&*make().await).await;
    each_subscription_without_a_queue_gets_each_message(&*make().await).await;
    one_of_each_queue_gets_each_message(&*make().await).await;
    topics_are_apart(&*make().await).await;
    one_publisher_is_heard_in_order(&*make().await).await;
    what_is_not_dealt_with_holds_up_nobody(&*make().await).await;
    a_closed_subscription_ends_and_others_go_on(&*make().await).await;
    a_dropped_subscription_ends_and_others_go_on(&*make().await).await;
    a_disconnected_broker_opens_again(&*make().await).await;
}

async fn publishing_to_nobody_is_no_error(broker: &dyn Broker) {
    publish(broker, "contract.nobody", words("lost")).await;
    // Also where somebody listens to something else.
    let other = Reader::subscribe(broker, "contract.other", SubscribeOptions::default()).await;
    publish(broker, "contract.nobody", words("lost")).await;
    disconnect(broker).await;
    let heard = other.rest().await;
    assert_eq!(heard, [""; 0], "a topic of its own was heard");
}

async fn what_is_published_arrives_whole(broker: &dyn Broker) {
    let topic = "contract.whole";
    let subscribed = broker
        .subscribe(topic, SubscribeOptions::default())
        .await
        .map(|subscription| Reader::start(topic, subscription));
    let Ok(mut reader) = subscribed else {
        panic!("{topic} cannot be subscribed to: {subscribed:?}");
    };
    settle(broker, topic, [&mut reader]).await;
    let every_byte: Vec<u8> = (0..=255).collect();
    let bodies = [
        Bytes::new(),
        Bytes::from(every_byte),
        Bytes::from("<é>&\u{2028}\u{1f600}"),
        Bytes::from(vec![b'x'; 1 << 20]),
    ];
    for body in bodies {
        let sent = Message::new(body)
            .with("Content-Type", "application/octet-stream")
            .with("Micro-ID", "38c27f4b-020e-4ac7-b0d9-9f33f582d625")
            .with("X-User", "bob <b@example.org> & \"é\"")
            .with("X-Empty", "");
        publish(broker, topic, sent.clone()).await;
        let heard = reader.next().await;
        assert_eq!(
            heard.body.len(),
            sent.body.len(),
            "a body came with another length"
        );
        assert!(heard.body == sent.body, "a body came with other bytes");
        for (key, value) in sent.header.iter() {
            assert_eq!(heard.header.get(key), Some(value), "the header {key}");
        }
    }
    disconnect(broker).await;
}

async fn each_subscription_without_a_queue_gets_each_message(broker: &dyn Broker) {
    let topic = "contract.broadcast";
    let mut one = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
    // An empty name is no queue.
    let mut two = Reader::subscribe(broker, topic, SubscribeOptions::queue("")).await;
    let mut three = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
    settle(broker, topic, [&mut one, &mut two, &mut three]).await;
    let sent = numbered(20);
    for one in &sent {
        publish(broker, topic, words(one)).await;
    }
    disconnect(broker).await;
    for reader in [one, two, three] {
        let heard = reader.rest().await;
        assert_eq!(heard, sent, "each message once, in order");
    }
}

async fn one_of_each_queue_gets_each_message(broker: &dyn Broker) {
    let topic = "contract.queue";
    let mut blue = Vec::new();
    let mut green = Vec::new();
    for _ in 0..2 {
        blue.push(Reader::subscribe(broker, topic, SubscribeOptions::queue("blue")).await);
        green.push(Reader::subscribe(broker, topic, SubscribeOptions::queue("green")).await);
    }
    let mut all = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
    let readers = blue.iter_mut().chain(&mut green).chain([&mut all]);
    settle(broker, topic, readers).await;
    let sent = numbered(40);
    for one in &sent {
        publish(broker, topic, words(one)).await;
    }
    disconnect(broker).await;
    assert_eq!(
        all.rest().await,
        sent,
        "who has no queue gets all beside queues"
    );
    for (queue, members) in [("blue", blue), ("green", green)] {
        let mut counted: BTreeMap<String, usize> = BTreeMap::new();
        let mut shares = Vec::new();
        for member in members {
            let heard = member.rest().await;
            shares.push(heard.len());
            for one in heard {
                *counted.entry(one).or_default() += 1;
            }
        }
        let once = sent.iter().all(|one| counted.get(one) == Some(&1));
        assert!(
            once && counted.len() == sent.len(),
            "one of the queue {queue} gets each message, once: {counted:?}"
        );
        assert!(
            shares.iter().all(|share| *share > 0),
            "the queue {queue} shares its messages: {shares:?}"
        );
    }
}

async fn topics_are_apart(broker: &dyn Broker) {
    let topics = ["contract.a", "contract.b", "contract.A", "contract.a/ b?&é"];
    let mut readers = Vec::new();
    for topic in topics {
        let mut reader = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
        settle(broker, topic, [&mut reader]).await;
        readers.push(reader);
    }
    for topic in topics {
        publish(broker, topic, words(topic)).await;
    }
    disconnect(broker).await;
    for (topic, reader) in topics.iter().zip(readers) {
        let heard = reader.rest().await;
        assert_eq!(heard, [*topic], "one topic's messages, and no other's");
    }
}

async fn one_publisher_is_heard_in_order(broker: &dyn Broker) {
    let topic = "contract.order";
    let options = SubscribeOptions {
        capacity: 1,
        ..SubscribeOptions::default()
    };
    let mut reader = Reader::subscribe(broker, topic, options).await;
    settle(broker, topic, [&mut reader]).await;
    let sent = numbered(300);
    for one in &sent {
        publish(broker, topic, words(one)).await;
    }
    disconnect(broker).await;
    let heard = reader.rest().await;
    assert_eq!(heard, sent, "each message once, in order");
}

async fn what_is_not_dealt_with_holds_up_nobody(broker: &dyn Broker) {
    let topic = "contract.refused";
    let mut subscription = subscribe(broker, topic, SubscribeOptions::default()).await;
    let tell = async |word: &'static str| loop {
        publish(broker, topic, words(word)).await;
        sleep(Duration::from_millis(20)).await;
    };
    // Published again and again, since the first may come before the subscription is known.
    tokio::select! {
        biased;
        refused = take(&mut *subscription) => refused.nack(),
        () = tell("refused") => {}
    }
    tokio::select! {
        biased;
        dropped = take(&mut *subscription) => drop(dropped),
        () = tell("dropped") => {}
    }
    let deadline = Instant::now() + SOON;
    let last = async {
        loop {
            let delivery = take(&mut *subscription).await;
            let found = delivery.message.body == "last";
            delivery.ack();
            if found || Instant::now() > deadline {
                return found;
            }
        }
    };
    tokio::select! {
        biased;
        found = last => assert!(found, "what comes after a refused message is heard"),
        () = tell("last") => {}
    }
    disconnect(broker).await;
}

async fn a_closed_subscription_ends_and_others_go_on(broker: &dyn Broker) {
    let topic = "contract.closed";
    let mut stays = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
    let mut goes = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
    settle(broker, topic, [&mut stays, &mut goes]).await;
    publish(broker, topic, words("both")).await;
    let heard = goes.close().await;
    assert_eq!(heard, ["both"], "what was taken before is still given");
    publish(broker, topic, words("one")).await;
    disconnect(broker).await;
    assert_eq!(stays.rest().await, ["both", "one"]);
}

async fn a_dropped_subscription_ends_and_others_go_on(broker: &dyn Broker) {
    let topic = "contract.dropped";
    let mut stays = Reader::subscribe(broker, topic, SubscribeOptions::queue("q")).await;
    let goes = subscribe(broker, topic, SubscribeOptions::queue("q")).await;
    drop(goes);
    settle(broker, topic, [&mut stays]).await;
    // The registry of a broker that has one may name the other for a moment yet.
    let known = async {
        while broker.publish(topic, probe()).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    let known = timeout(SOON, known).await;
    assert!(
        known.is_ok(),
        "messages still go to a subscription that is gone"
    );
    let sent = numbered(20);
    for one in &sent {
        publish(broker, topic, words(one)).await;
    }
    disconnect(broker).await;
    assert_eq!(stays.rest().await, sent, "the queue's other member");
}

async fn a_disconnected_broker_opens_again(broker: &dyn Broker) {
    let topic = "contract.again";
    let before = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
    disconnect(broker).await;
    before.rest().await;
    let mut after = Reader::subscribe(broker, topic, SubscribeOptions::default()).await;
    settle(broker, topic, [&mut after]).await;
    publish(broker, topic, words("again")).await;
    disconnect(broker).await;
    assert_eq!(after.rest().await, ["again"]);
    // Twice is once.
    disconnect(broker).await;
}

/// Reads a subscription in a task of its own: brokers may hold up a publisher until its message is
/// dealt with.
#[derive(Debug)]
struct Reader {
    topic: String,
    heard: mpsc::Receiver<Message>,
    close: oneshot::Sender<()>,
    tasks: Tasks,
}

impl Reader {
    async fn subscribe(broker: &dyn Broker, topic: &str, options: SubscribeOptions) -> Self {
        Self::start(topic, subscribe(broker, topic, options).await)
    }

    fn start(topic: &str, mut subscription: Box<dyn Subscription>) -> Self {
        let (say, heard) = mpsc::channel(MANY);
        let (close, closed) = oneshot::channel::<()>();
        let tasks = Tasks::new();
        let expected = topic.to_owned();
        tasks.spawn(async move {
            let mut closed = Some(closed);
            loop {
                let delivery = tokio::select! {
                    biased;
                    true = told(&mut closed) => {
                        let closed = subscription.close().await;
                        assert!(closed.is_ok(), "a subscription closes: {closed:?}");
                        continue;
                    }
                    delivery = subscription.next() => delivery,
                };
                let Some(delivery) = delivery else {
                    return;
                };
                assert_eq!(delivery.topic, *expected, "the topic of a delivery");
                let _ = say.try_send(delivery.message.clone());
                delivery.ack();
            }
        });
        Self {
            topic: topic.to_owned(),
            heard,
            close,
            tasks,
        }
    }

    /// The next message that is no probe.
    async fn next(&mut self) -> Message {
        loop {
            match timeout(SOON, self.heard.recv()).await {
                Ok(Some(message)) if message.header.contains(PROBE) => {}
                Ok(Some(message)) => return message,
                Ok(None) => panic!("the subscription of {} ended", self.topic),
                Err(_) => panic!("nothing came by {}", self.topic),
            }
        }
    }

    /// Closes, and gives the words of what came until the end.
    async fn close(mut self) -> Vec<String> {
        let (close, _) = oneshot::channel();
        let close = std::mem::replace(&mut self.close, close);
        assert!(close.send(()).is_ok(), "{} ended by itself", self.topic);
        self.rest().await
    }

    /// The words of what comes until the subscription ends, without probes.
    async fn rest(mut self) -> Vec<String> {
        let mut heard = Vec::new();
        loop {
            match timeout(SOON, self.heard.recv()).await {
                Ok(Some(message)) if message.header.contains(PROBE) => {}
                Ok(Some(message)) => {
                    heard.push(String::from_utf8_lossy(&message.body).into_owned());
                }
                Ok(None) => return heard,
                Err(_) => panic!("the subscription of {} does not end", self.topic),
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.tasks.abort_all();
    }
}

/// Whether it was told to close; waits for ever where nobody can tell any more.
async fn told(closed: &mut Option<oneshot::Receiver<()>>) -> bool {
    let Some(receiver) = closed else {
        return std::future::pending().await;
    };
    let told = receiver.await.is_ok();
    *closed = None;
    told
}

/// Publishes probes until each of `readers` has heard one.
async fn settle<'a>(
    broker: &dyn Broker,
    topic: &str,
    readers: impl IntoIterator<Item = &'a mut Reader>,
) {
    let deadline = Instant::now() + SOON;
    for (number, reader) in readers.into_iter().enumerate() {
        while reader.heard.is_empty() {
            assert!(
                Instant::now() < deadline,
                "subscription number {number} of {topic} hears nothing"
            );
            // An error tells of somebody who is gone or not there yet.
            let _ = broker.publish(topic, probe()).await;
            sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn subscribe(
    broker: &dyn Broker,
    topic: &str,
    options: SubscribeOptions,
) -> Box<dyn Subscription> {
    match timeout(SOON, broker.subscribe(topic, options)).await {
        Ok(Ok(subscription)) => subscription,
        Ok(Err(error)) => panic!("{topic} cannot be subscribed to: {error}"),
        Err(_) => panic!("subscribing to {topic} takes for ever"),
    }
}

async fn take(subscription: &mut dyn Subscription) -> crate::broker::Delivery {
    match timeout(SOON, subscription.next()).await {
        Ok(Some(delivery)) => delivery,
        Ok(None) => panic!("a subscription ended by itself"),
        Err(_) => panic!("nothing came"),
    }
}

async fn publish(broker: &dyn Broker, topic: &str, message: Message) {
    match timeout(SOON, broker.publish(topic, message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("publishing to {topic} fails: {error}"),
        Err(_) => panic!("publishing to {topic} takes for ever"),
    }
}

async fn disconnect(broker: &dyn Broker) {
    match timeout(SOON, broker.disconnect()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => panic!("a broker disconnects: {error}"),
        Err(_) => panic!("disconnecting takes for ever"),
    }
}

fn words(text: &str) -> Message {
    Message::new(text.to_owned()).with("Content-Type", "text/plain")
}

fn probe() -> Message {
    Message::new("probe").with(PROBE, "yes")
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}
