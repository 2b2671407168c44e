//! One subscription: a node of its own in the registry, and a queue in this process.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::super::{Closing, Delivery, Subscription};
use super::listening::Place;
use super::registration::Registration;

#[derive(Debug)]
pub(super) struct HttpSubscription {
    pub(super) id: String,
    pub(super) inbox: mpsc::Receiver<Delivery>,
    /// Shared with the broker, which takes it back when it disconnects.
    pub(super) registration: Arc<Registration>,
    pub(super) place: Arc<Place>,
}

#[async_trait]
impl Subscription for HttpSubscription {
    async fn next(&mut self) -> Option<Delivery> {
        self.inbox.recv().await
    }

    fn close(&mut self) -> Closing {
        self.registration.leave();
        let registration = self.registration.clone();
        // It ends however long that takes, also where somebody has no more time to wait for it.
        let closes = Closes {
            place: self.place.clone(),
            id: self.id.clone(),
        };
        Box::pin(async move {
            let left = registration.left().await;
            closes.linger().await;
            left
        })
    }
}

/// Closes a subscription when it is dropped.
struct Closes {
    place: Arc<Place>,
    id: String,
}

impl Closes {
    /// Publishers hear a moment later that it was deregistered, and those of Go Micro's do not see
    /// that they are refused: what they send until then is taken.
    async fn linger(&self) {
        let place = &self.place;
        if place.desk.left(&self.id) {
            let mut closing = place.closing.subscribe();
            let _ = timeout(place.options.linger, closing.wait_for(|closing| *closing)).await;
        }
    }
}

impl Drop for Closes {
    fn drop(&mut self) {
        self.place.desk.close(&self.id);
    }
}

impl Drop for HttpSubscription {
    fn drop(&mut self) {
        // The registration is taken back when nobody holds it any more.
        self.place.desk.close(&self.id);
    }
}
