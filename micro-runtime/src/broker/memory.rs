//! A broker within one process.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use tokio::sync::{Notify, Semaphore};

use super::{Broker, Closing, Delivery, Message, SubscribeOptions, Subscription};
use crate::error::Result;
use crate::metadata::Text;

/// Carries messages within this process: for tests, and for services that stand in one program.
///
/// A clone is another handle to the same broker; what was subscribed through one handle ends when
/// that one disconnects. Queues are bounded and nothing is lost: where a subscriber is full, the
/// publisher waits. A handler that publishes to its own topic can so wait for itself.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_runtime::Result<()> {
/// use micro_runtime::broker::{Broker, Memory, Message, SubscribeOptions, Subscription};
///
/// let broker = Memory::new();
/// let mut greeted = broker.subscribe("greeted", SubscribeOptions::default()).await?;
/// broker.publish("greeted", Message::new("John").with("Content-Type", "text/plain")).await?;
/// let delivery = greeted.next().await.expect("it was published");
/// assert_eq!(&*delivery.message.body, b"John");
/// delivery.ack();
/// # Ok(())
/// # }
/// ```
pub struct Memory {
    shared: Arc<Shared>,
    /// Tells the subscriptions of this handle from those of its clones.
    handle: u64,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    handles: AtomicU64,
}

#[derive(Default)]
struct State {
    topics: BTreeMap<Text, Vec<Arc<Inbox>>>,
    /// Numbers inboxes, so that all publishers take room in one order and none waits in a circle.
    inboxes: u64,
}

/// What waits for one subscription, or for all that share a queue.
struct Inbox {
    number: u64,
    queue: Option<String>,
    /// How many more messages may come; closed once nobody takes them.
    room: Semaphore,
    waiting: Mutex<Waiting>,
    /// How many messages wait. Members that wait for one get theirs in turn.
    there: Semaphore,
}

#[derive(Default)]
struct Waiting {
    messages: VecDeque<Message>,
    members: Vec<Arc<Member>>,
}

/// One subscription.
struct Member {
    handle: u64,
    open: AtomicBool,
    ended: Notify,
}

impl Memory {
    /// A broker of its own.
    pub fn new() -> Self {
        Self {
            shared: Arc::default(),
            handle: 0,
        }
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

impl Clone for Memory {
    fn clone(&self) -> Self {
        Self {
            handle: self.shared.handles.fetch_add(1, Ordering::Relaxed) + 1,
            shared: self.shared.clone(),
        }
    }
}

impl fmt::Debug for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let topics: Vec<_> = self.shared.state().topics.keys().cloned().collect();
        f.debug_struct("Memory")
            .field("topics", &topics)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Broker for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    /// Waits until every subscriber has room, then gives the message to all of them at once. Cancel
    /// safe: dropped before, nobody has got it.
    async fn publish(&self, topic: &str, mut message: Message) -> Result<()> {
        message.header.set("Micro-Topic", topic.to_owned());
        // A publisher that never waits would leave subscribers on its thread no turn.
        tokio::task::yield_now().await;
        let inboxes = self.shared.inboxes(topic);
        let mut taken = Vec::with_capacity(inboxes.len());
        for inbox in &inboxes {
            // Closed: who subscribed has gone in the meantime.
            if let Ok(room) = inbox.room.acquire().await {
                taken.push((inbox, room));
            }
        }
        for (inbox, room) in taken {
            inbox.waiting().messages.push_back(message.clone());
            room.forget();
            inbox.there.add_permits(1);
        }
        Ok(())
    }

    async fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        let topic = Text::from(topic.to_owned());
        let member = Arc::new(Member {
            handle: self.handle,
            open: AtomicBool::new(true),
            ended: Notify::new(),
        });
        let inbox = self.shared.join(&topic, options, member.clone());
        Ok(Box::new(Subscribed {
            shared: self.shared.clone(),
            topic,
            inbox,
            member,
        }))
    }

    async fn disconnect(&self) -> Result<()> {
        let inboxes: Vec<_> = {
            let state = self.shared.state();
            let inboxes = state.topics.iter();
            inboxes
                .flat_map(|(topic, inboxes)| {
                    inboxes.iter().map(|inbox| (topic.clone(), inbox.clone()))
                })
                .collect()
        };
        for (topic, inbox) in inboxes {
            let members = inbox.waiting().members.clone();
            for member in members {
                if member.handle == self.handle {
                    self.shared.leave(&topic, &inbox, &member);
                }
            }
        }
        Ok(())
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn inboxes(&self, topic: &str) -> Vec<Arc<Inbox>> {
        let topic = Text::from(topic.to_owned());
        self.state().topics.get(&topic).cloned().unwrap_or_default()
    }

    /// Adds `member` to the inbox of its queue, or to one of its own.
    fn join(&self, topic: &Text, options: SubscribeOptions, member: Arc<Member>) -> Arc<Inbox> {
        let mut state = self.state();
        state.inboxes += 1;
        let number = state.inboxes;
        let inboxes = state.topics.entry(topic.clone()).or_default();
        let shared = inboxes
            .iter()
            .find(|inbox| inbox.queue.is_some() && inbox.queue == options.queue);
        if let Some(inbox) = shared {
            inbox.waiting().members.push(member);
            return inbox.clone();
        }
        let inbox = Arc::new(Inbox {
            number,
            queue: options.queue,
            room: Semaphore::new(options.capacity.max(1)),
            waiting: Mutex::new(Waiting {
                messages: VecDeque::new(),
                members: vec![member],
            }),
            there: Semaphore::new(0),
        });
        inboxes.push(inbox.clone());
        inbox
    }

    /// Takes `member` out. The last one ends its inbox: nothing more comes, and what has come is left
    /// to it.
    fn leave(&self, topic: &Text, inbox: &Arc<Inbox>, member: &Arc<Member>) {
        if !member.open.swap(false, Ordering::AcqRel) {
            return;
        }
        {
            let mut state = self.state();
            let mut waiting = inbox.waiting();
            if let [last] = &*waiting.members
                && Arc::ptr_eq(last, member)
            {
                if let Some(inboxes) = state.topics.get_mut(topic) {
                    inboxes.retain(|known| known.number != inbox.number);
                    if inboxes.is_empty() {
                        state.topics.remove(topic);
                    }
                }
                inbox.room.close();
            } else {
                waiting.members.retain(|known| !Arc::ptr_eq(known, member));
            }
        }
        member.ended.notify_one();
    }
}

impl Inbox {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a message that is known to be there.
    fn take(&self) -> Option<Message> {
        let message = self.waiting().messages.pop_front();
        self.room.add_permits(1);
        message
    }

    /// Takes a message for `member`, which has left. Who has left a queue that others share leaves
    /// them what waits in it; for the last one nobody counts any more what is there.
    fn take_left(&self, member: &Arc<Member>) -> Option<Message> {
        let mut waiting = self.waiting();
        let is_last = waiting
            .members
            .iter()
            .any(|known| Arc::ptr_eq(known, member));
        if is_last {
            waiting.messages.pop_front()
        } else {
            None
        }
    }
}

/// A subscription of [`Memory`].
struct Subscribed {
    shared: Arc<Shared>,
    topic: Text,
    inbox: Arc<Inbox>,
    member: Arc<Member>,
}

#[async_trait]
impl Subscription for Subscribed {
    async fn next(&mut self) -> Option<Delivery> {
        let inbox = &*self.inbox;
        let ended = async {
            if self.member.open.load(Ordering::Acquire) {
                self.member.ended.notified().await;
            }
        };
        let message = tokio::select! {
            biased;
            () = ended => inbox.take_left(&self.member),
            // It is never closed.
            there = inbox.there.acquire() => {
                there.ok()?.forget();
                inbox.take()
            }
        };
        // Nobody else can deliver what this one refuses: the receipt has nobody to tell.
        message.map(|message| Delivery::new(self.topic.clone(), message, |_| {}))
    }

    fn close(&mut self) -> Closing {
        self.shared.leave(&self.topic, &self.inbox, &self.member);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for Subscribed {
    fn drop(&mut self) {
        self.shared.leave(&self.topic, &self.inbox, &self.member);
    }
}

impl fmt::Debug for Subscribed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribed")
            .field("topic", &self.topic)
            .field("queue", &self.inbox.queue)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    fn capacity(capacity: usize) -> SubscribeOptions {
        SubscribeOptions {
            capacity,
            ..SubscribeOptions::default()
        }
    }

    async fn body(subscription: &mut Box<dyn Subscription>) -> Option<String> {
        let delivery = timeout(Duration::from_secs(1), subscription.next())
            .await
            .expect("something comes")?;
        let body = String::from_utf8_lossy(&delivery.message.body).into_owned();
        delivery.ack();
        Some(body)
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_waits_for_a_full_subscriber_and_loses_nothing() {
        let broker = Memory::new();
        let mut slow = broker.subscribe("t", capacity(2)).await.expect("it does");
        let mut fast = broker.subscribe("t", capacity(9)).await.expect("it does");
        for body in ["1", "2"] {
            let sent = broker.publish("t", Message::new(body)).await;
            sent.expect("there is room");
        }
        let third = broker.publish("t", Message::new("3"));
        let early = timeout(Duration::from_secs(9), third).await;
        early.expect_err("the slow one is full");

        let publisher = broker.clone();
        let (sent, first) =
            tokio::join!(publisher.publish("t", Message::new("4")), body(&mut slow));
        sent.expect("there is room again");
        assert_eq!(first.as_deref(), Some("1"));
        assert_eq!(body(&mut slow).await.as_deref(), Some("2"));
        assert_eq!(body(&mut slow).await.as_deref(), Some("4"));
        // What was given up reached nobody.
        for expected in ["1", "2", "4"] {
            assert_eq!(body(&mut fast).await.as_deref(), Some(expected));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_a_member_of_a_queue_leaves_the_others_get() {
        let broker = Memory::new();
        let queue = || SubscribeOptions::queue("workers");
        let mut first = broker.subscribe("t", queue()).await.expect("it does");
        let mut second = broker.subscribe("t", queue()).await.expect("it does");
        for body in ["1", "2", "3"] {
            let sent = broker.publish("t", Message::new(body)).await;
            sent.expect("there is room");
        }
        assert_eq!(body(&mut first).await.as_deref(), Some("1"));
        first.close().await.expect("it does");
        assert_eq!(body(&mut first).await, None);
        assert_eq!(body(&mut second).await.as_deref(), Some("2"));
        // The last one keeps what has come.
        second.close().await.expect("it does");
        assert_eq!(body(&mut second).await.as_deref(), Some("3"));
        assert_eq!(body(&mut second).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_publisher_that_waits_goes_on_when_the_subscriber_goes() {
        let broker = Memory::new();
        let full = broker.subscribe("t", capacity(1)).await.expect("it does");
        let sent = broker.publish("t", Message::new("1")).await;
        sent.expect("there is room");
        let (sent, ()) = tokio::join!(broker.publish("t", Message::new("2")), async {
            tokio::task::yield_now().await;
            drop(full);
        });
        sent.expect("nobody is left to wait for");
    }

    #[tokio::test(start_paused = true)]
    async fn a_handle_disconnects_its_own_subscriptions_alone() {
        let (broker, other) = {
            let broker = Memory::new();
            (broker.clone(), broker.clone())
        };
        let options = SubscribeOptions::default;
        let mut own = broker.subscribe("t", options()).await.expect("it does");
        let mut others = other.subscribe("t", options()).await.expect("it does");
        broker.disconnect().await.expect("it does");
        broker
            .publish("t", Message::new("1"))
            .await
            .expect("it is used again");
        assert_eq!(body(&mut own).await, None);
        assert_eq!(body(&mut others).await.as_deref(), Some("1"));
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_waits_for_a_message_sees_the_end() {
        let broker = Memory::new();
        let options = SubscribeOptions::queue("q");
        let mut one = broker.subscribe("t", options).await.expect("it does");
        let (next, ()) = tokio::join!(body(&mut one), async {
            tokio::task::yield_now().await;
            broker.disconnect().await.expect("it does");
        });
        assert_eq!(next, None);
    }
}
