//! Takes the events of one subscription, as many as handlers may run, until it is closed.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::sleep;
use tracing::warn;

use super::consumer::{Consumer, within};
use crate::broker::{Delivery, Subscription};

/// Reads for a consumer.
pub(super) struct Reader {
    consumer: Arc<Consumer>,
    closing: watch::Receiver<bool>,
    open: Arc<watch::Sender<usize>>,
    /// Whether it is counted as open.
    counted: bool,
}

/// Why reading a subscription has ended.
enum Ended {
    /// It was closed, and all that had come is taken.
    Closed,
    /// The broker gives no more.
    Lost,
}

impl Reader {
    pub(super) fn new(
        consumer: Arc<Consumer>,
        closing: &watch::Sender<bool>,
        open: Arc<watch::Sender<usize>>,
    ) -> Self {
        open.send_modify(|open| *open += 1);
        Self {
            consumer,
            closing: closing.subscribe(),
            open,
            counted: true,
        }
    }

    /// Reads until the subscriptions are closed; subscribes anew where the broker ends one.
    pub(super) async fn run(mut self, mut subscription: Option<Box<dyn Subscription>>) {
        let mut pause = FIRST_PAUSE;
        loop {
            if let Some(subscription) = subscription.take() {
                pause = FIRST_PAUSE;
                match self.read(subscription).await {
                    Ended::Closed => return,
                    Ended::Lost => {
                        let topic = self.consumer.topic();
                        warn!(
                            topic,
                            "the broker has ended a subscription, subscribing again"
                        );
                    }
                }
            }
            let consumer = self.consumer.clone();
            let again = async {
                sleep(pause).await;
                consumer.subscribe().await
            };
            match self.unless_closing(again).await {
                None => return,
                Some(Ok(new)) => subscription = Some(new),
                Some(Err(error)) => {
                    self.consumer.tell_failed(&error);
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    async fn read(&mut self, mut subscription: Box<dyn Subscription>) -> Ended {
        // A slot first and then an event: one that nobody here has time for is left to others of
        // the queue.
        loop {
            let slots = self.consumer.slots.clone();
            let next = next(slots, &mut *subscription);
            match self.unless_closing(next).await {
                Some(Some((delivery, slot))) => self.handle(delivery, slot),
                Some(None) => return Ended::Lost,
                None => break,
            }
        }
        // While the broker is told, which may take its time, others still send: that is handled too.
        let mut close = pin!(within("ending a subscription", subscription.close()));
        let closed = loop {
            let slots = self.consumer.slots.clone();
            tokio::select! {
                biased;
                closed = &mut close => break closed,
                Some((delivery, slot)) = next(slots, &mut *subscription) => {
                    self.handle(delivery, slot);
                }
            }
        };
        if let Err(error) = closed {
            let topic = self.consumer.topic();
            warn!(%error, topic, "a subscription could not be ended in order");
        }
        self.closed();
        while let Some((delivery, slot)) =
            next(self.consumer.slots.clone(), &mut *subscription).await
        {
            self.handle(delivery, slot);
        }
        Ended::Closed
    }

    fn handle(&self, delivery: Delivery, slot: OwnedSemaphorePermit) {
        let consumer = self.consumer.clone();
        self.consumer.shared().tasks.spawn(async move {
            consumer.settle(delivery).await;
            drop(slot);
        });
    }

    /// What `work` gives, or `None` once all subscriptions are to be closed.
    async fn unless_closing<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            // An error means that nobody is left who could close, or wait.
            _ = self.closing.wait_for(|closing| *closing) => None,
            done = work => Some(done),
        }
    }

    /// Nothing new comes from here.
    fn closed(&mut self) {
        if std::mem::take(&mut self.counted) {
            self.open.send_modify(|open| *open -= 1);
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.closed();
    }
}

/// A slot and then the next event; `None` when no more come. Cancel safe.
async fn next(
    slots: Arc<Semaphore>,
    subscription: &mut dyn Subscription,
) -> Option<(Delivery, OwnedSemaphorePermit)> {
    let slot = slots.acquire_owned().await.ok()?;
    Some((subscription.next().await?, slot))
}

/// How long to wait before subscribing again, at first and at most.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
