//! A service's broker and subscribers.

use std::sync::Arc;

use super::Service;
use super::options::Options;
use crate::broker::Broker;
use crate::codec::Codecs;
use crate::error::Result;
use crate::event::{Shared, Subscribers};
use crate::router::CallCounters;

impl Service {
    /// The one broker of the service's client and subscribers.
    pub(super) fn broker_of(&self, options: &Options) -> Result<Arc<dyn Broker>> {
        if let Some(broker) = self.broker.get() {
            return Ok(broker.clone());
        }
        let broker = match (&options.broker_choice, &options.broker) {
            (None, Some(broker)) => broker.clone(),
            (choice, _) => {
                let default = (options.default_broker().to_owned(), Vec::new());
                let (name, addresses) = choice.as_ref().unwrap_or(&default);
                let mut setup = options.setup(addresses);
                setup.registry = Some(self.registry_of(options)?);
                options.brokers.make(name, &setup)?
            }
        };
        Ok(self.broker.get_or_init(|| broker).clone())
    }

    /// The subscribers, with the handlers that were given.
    pub(super) fn subscribers(&self, options: &Options, broker: Arc<dyn Broker>) -> Subscribers {
        let shared = Shared {
            service: options.name.clone().into(),
            broker,
            codecs: options.codecs(Codecs::server()),
            wrappers: options.subscriber_wrappers.clone().into(),
            tasks: options.tasks.group(),
            counters: Arc::<CallCounters>::default(),
        };
        Subscribers::new(shared, &self.subscribers)
    }
}

impl Options {
    /// The name of the broker of a service that names none.
    pub(super) fn default_broker(&self) -> &'static str {
        if self.brokers.knows("http") {
            "http"
        } else {
            "memory"
        }
    }
}
