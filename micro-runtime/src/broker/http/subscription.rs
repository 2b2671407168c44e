//! One subscription: a node of its own in the registry, and a queue in this process.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::super::{Delivery, Subscription};
use super::listening::Place;
use super::registration::Registration;
use crate::error::Result;

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

    async fn close(&mut self) -> Result<()> {
        // Publishers know of it until they have heard otherwise; what they send is still taken. It
        // ends however long that takes, also where somebody has no more time to wait for it.
        let _closes = Closes(&self.place, &self.id);
        self.registration.left().await
    }
}

/// Closes a subscription when it is dropped.
struct Closes<'a>(&'a Place, &'a str);

impl Drop for Closes<'_> {
    fn drop(&mut self) {
        let Self(place, id) = self;
        place.desk.close(id);
    }
}

impl Drop for HttpSubscription {
    fn drop(&mut self) {
        // The registration is taken back when nobody holds it any more.
        self.place.desk.close(&self.id);
    }
}
