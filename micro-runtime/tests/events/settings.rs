//! The broker by name: from code, flags and environment.

use std::sync::{Arc, Mutex};

use micro_runtime::broker::{Broker, Memory, Message, SubscribeOptions, Subscription};
use micro_runtime::{Result, Service, registry};

#[cfg(feature = "cli")]
const NO_ENV: [(&str, &str); 0] = [];

/// A broker in memory under another name.
#[derive(Debug)]
struct Named(&'static str, Memory);

#[async_trait::async_trait]
impl Broker for Named {
    fn name(&self) -> &str {
        self.0
    }
    async fn publish(&self, topic: &str, message: Message) -> Result<()> {
        self.1.publish(topic, message).await
    }
    async fn subscribe(
        &self,
        topic: &str,
        options: SubscribeOptions,
    ) -> Result<Box<dyn Subscription>> {
        self.1.subscribe(topic, options).await
    }
    async fn disconnect(&self) -> Result<()> {
        self.1.disconnect().await
    }
}

type Made = Arc<Mutex<Vec<Vec<String>>>>;

/// A service that can have a broker `own`; tells with which addresses it was made.
fn service() -> (Service, Made) {
    let made = Made::default();
    let tell = made.clone();
    let service = Service::new("s")
        .registry(registry::Memory::new())
        .plug_broker("own", move |setup| {
            assert!(setup.registry.is_some());
            tell.lock().unwrap().push(setup.addresses.clone());
            Ok(Arc::new(Named("own", Memory::new())))
        });
    (service, made)
}

fn name(service: &Service) -> String {
    service.client().broker().unwrap().name().to_owned()
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn a_flag_chooses_the_broker_over_code_and_says_where_it_is() {
    let (service, made) = service();
    let args = ["s", "--broker", "own", "--broker_address", "a:1,b:2"];
    let service = service
        .init_from(args, NO_ENV)
        .unwrap()
        .broker(Memory::new());
    assert_eq!(name(&service), "own");
    assert_eq!(*made.lock().unwrap(), [["a:1", "b:2"]]);
}

#[tokio::test]
async fn the_environment_chooses_it_too() {
    let (service, _) = service();
    let service = service.init_from(["s"], [("MICRO_BROKER", "own")]).unwrap();
    assert_eq!(name(&service), "own");
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn naming_the_one_that_code_has_given_changes_nothing() {
    let (service, made) = service();
    let given: Arc<dyn Broker> = Arc::new(Named("own", Memory::new()));
    let service = service
        .shared_broker(given.clone())
        .init_from(["s", "--broker=own"], NO_ENV)
        .unwrap();
    assert!(Arc::ptr_eq(service.client().broker().unwrap(), &given));
    assert!(made.lock().unwrap().is_empty());
}

#[cfg(feature = "cli")]
#[tokio::test]
async fn an_unknown_broker_is_told_at_once_with_the_known_ones() {
    let (service, _) = service();
    let error = service
        .init_from(["s", "--broker=nats"], NO_ENV)
        .unwrap_err();
    let words = error.detail();
    assert!(
        words.starts_with("there is no broker nats: known are "),
        "{words}"
    );
    assert!(words.contains("memory") && words.contains("own"), "{words}");
}
