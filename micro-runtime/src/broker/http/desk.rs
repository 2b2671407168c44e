//! Who is subscribed in this process, and how a message gets to it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};

use super::super::{Delivery, Message};
use super::listening::Held;
use super::registration::Registration;
use crate::metadata::Text;

/// The subscriptions that are open, by node id.
#[derive(Debug, Default)]
pub(super) struct Desk(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    inboxes: BTreeMap<String, Inbox>,
    /// When the last one was deregistered, of those that are closed.
    last_closed: Option<Instant>,
}

#[derive(Debug)]
struct Inbox {
    topic: String,
    queue: mpsc::Sender<Delivery>,
    registration: Arc<Registration>,
    /// When it was deregistered, where it is open for those who have not heard of that yet.
    left: Option<Instant>,
}

/// How long a message is waited for.
#[derive(Debug)]
pub(super) struct Patience<'a> {
    /// Until there is room for it.
    pub(super) room: Duration,
    /// Until it is settled.
    pub(super) settle: Duration,
    /// Ends both.
    pub(super) closing: &'a mut watch::Receiver<bool>,
}

/// How handing a message over ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Handed {
    /// It was settled, or is still being dealt with when nobody wants to wait any longer.
    Over,
    /// Nobody has subscribed by this id and topic, or not any more.
    Nobody,
    /// There is no room for it.
    Full,
}

impl Desk {
    /// Opens a subscription of `topic` by `id`.
    pub(super) fn open(
        &self,
        id: &str,
        topic: &str,
        queue: mpsc::Sender<Delivery>,
        registration: Arc<Registration>,
    ) {
        let inbox = Inbox {
            topic: topic.to_owned(),
            queue,
            registration,
            left: None,
        };
        self.lock().inboxes.insert(id.to_owned(), inbox);
    }

    /// What is registered for those who are subscribed.
    pub(super) fn registrations(&self) -> Vec<Arc<Registration>> {
        let state = self.lock();
        let all = state
            .inboxes
            .values()
            .map(|inbox| inbox.registration.clone());
        all.collect()
    }

    /// Notes that the subscription by `id` was deregistered just now; whether it is open and that is
    /// new.
    pub(super) fn left(&self, id: &str) -> bool {
        match self.lock().inboxes.get_mut(id) {
            Some(inbox) if inbox.left.is_none() => {
                inbox.left = Some(Instant::now());
                true
            }
            _ => false,
        }
    }

    /// Lets no more in by `id`; what is on its way still gets in.
    pub(super) fn close(&self, id: &str) {
        let mut state = self.lock();
        let inbox = state.inboxes.remove(id);
        if let Some(inbox) = &inbox {
            let left = inbox.left.unwrap_or_else(Instant::now);
            state.last_closed = state.last_closed.max(Some(left));
        }
        // What it wakes is woken without the lock.
        drop(state);
        drop(inbox);
    }

    /// As [`close`](Self::close), of all.
    pub(super) fn close_all(&self) {
        let inboxes = std::mem::take(&mut self.lock().inboxes);
        drop(inboxes);
    }

    /// When the last of the subscriptions that are closed was deregistered.
    pub(super) fn last_closed(&self) -> Option<Instant> {
        self.lock().last_closed
    }

    /// Hands a message over, and waits until it is settled, as long as there is patience. What has
    /// its place in the queue stays there. `held` is given back when it is settled.
    pub(super) async fn hand(
        &self,
        id: &str,
        topic: Text,
        message: Message,
        held: Held,
        patience: &mut Patience<'_>,
    ) -> Handed {
        let queue = match self.lock().inboxes.get(id) {
            Some(inbox) if *inbox.topic == *topic => inbox.queue.clone(),
            _ => return Handed::Nobody,
        };
        let place = tokio::select! {
            biased;
            place = timeout(patience.room, queue.reserve_owned()) => match place {
                Ok(Ok(place)) => place,
                Ok(Err(_)) => return Handed::Nobody,
                Err(_) => return Handed::Full,
            },
            // Somebody else may have room.
            _ = patience.closing.wait_for(|closing| *closing) => return Handed::Full,
        };
        let (settled, wait) = oneshot::channel();
        place.send(Delivery::new(topic, message, move |_| {
            drop(held);
            // Nobody waits any longer: that changes nothing for the handler.
            let _ = settled.send(());
        }));
        tokio::select! {
            biased;
            _ = timeout(patience.settle, wait) => {}
            _ = patience.closing.wait_for(|closing| *closing) => {}
        }
        Handed::Over
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::http::registration::Entry;
    use crate::registry::{Memory, Service};
    use crate::tasks::Tasks;

    fn registration() -> Arc<Registration> {
        let entry = Entry {
            registry: Arc::new(Memory::new()),
            service: Service::default(),
            ttl: Duration::ZERO,
            interval: Duration::ZERO,
        };
        Arc::new(Registration::keep(entry, &Tasks::new()))
    }

    async fn hand(
        desk: &Desk,
        id: &str,
        topic: &'static str,
        closing: &watch::Sender<bool>,
    ) -> Handed {
        let mut patience = Patience {
            room: Duration::from_secs(3),
            settle: Duration::from_secs(30),
            closing: &mut closing.subscribe(),
        };
        desk.hand(id, topic.into(), Message::new("m"), None, &mut patience)
            .await
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_waited_for_and_a_slow_handler_too() {
        let desk = Desk::default();
        let closing = watch::Sender::new(false);
        let (queue, mut inbox) = mpsc::channel(1);
        desk.open("t-1", "t", queue, registration());
        // Nobody takes the first: it is answered when nobody wants to wait any longer.
        let began = Instant::now();
        assert_eq!(hand(&desk, "t-1", "t", &closing).await, Handed::Over);
        assert_eq!(began.elapsed(), Duration::from_secs(30));
        assert_eq!(hand(&desk, "t-1", "t", &closing).await, Handed::Full);
        assert_eq!(began.elapsed(), Duration::from_secs(33));
        let took = inbox.recv().await.expect("the first");
        let (handed, ()) = tokio::join!(hand(&desk, "t-1", "t", &closing), async {
            let next = inbox.recv().await.expect("the next");
            next.nack();
        });
        assert_eq!(handed, Handed::Over);
        took.ack();
    }

    #[tokio::test(start_paused = true)]
    async fn a_close_waits_for_neither() {
        let desk = Desk::default();
        let closing = watch::Sender::new(false);
        let (queue, _inbox) = mpsc::channel(1);
        desk.open("t-1", "t", queue, registration());
        let began = Instant::now();
        let (one, two, ()) = tokio::join!(
            hand(&desk, "t-1", "t", &closing),
            hand(&desk, "t-1", "t", &closing),
            async {
                tokio::time::sleep(Duration::from_secs(1)).await;
                closing.send_replace(true);
            }
        );
        assert_eq!((one, two), (Handed::Over, Handed::Full));
        assert_eq!(began.elapsed(), Duration::from_secs(1));
    }

    #[tokio::test]
    async fn ids_and_topics_belong_together() {
        let desk = Desk::default();
        let closing = watch::Sender::new(false);
        let (queue, inbox) = mpsc::channel(1);
        desk.open("t-1", "t", queue, registration());
        assert_eq!(hand(&desk, "t-2", "t", &closing).await, Handed::Nobody);
        assert_eq!(hand(&desk, "t-1", "u", &closing).await, Handed::Nobody);
        drop(inbox);
        assert_eq!(hand(&desk, "t-1", "t", &closing).await, Handed::Nobody);
        desk.close("t-1");
        assert_eq!(hand(&desk, "t-1", "t", &closing).await, Handed::Nobody);
    }
}
