//! Messages that go by a topic.
#![allow(missing_docs)]

use micro_compile_tests::events::events::{Greeted, Plain, greeted::Again};
use micro_runtime::event::Event;

fn topic<T: Event>(_: &T) -> &'static str {
    T::TOPIC
}

#[test]
fn an_event_knows_its_topic() {
    assert_eq!(Greeted::TOPIC, "greeter.greeted");
    assert_eq!(Again::TOPIC, "greeter.greeted.again");
    assert_eq!(topic(&Greeted::default()), Greeted::TOPIC);
    let _no_event = Plain::default();
}

#[tokio::test]
async fn it_is_published_and_subscribed_to_without_naming_it() {
    let (told, mut heard) = tokio::sync::mpsc::channel(1);
    let service = micro_runtime::Service::new("listener")
        .registry(micro_runtime::registry::Memory::new())
        .broker(micro_runtime::broker::Memory::new())
        .linger(std::time::Duration::ZERO)
        .on("queue", move |_cx, event: Greeted| {
            let told = told.clone();
            async move {
                told.send(event.name).await.expect("somebody waits");
                Ok(())
            }
        })
        .start()
        .await
        .expect("it starts");
    let entry = service.entry();
    let request = entry.endpoints[0].request.as_ref().expect("a message");
    assert_eq!(
        (&*request.name, &*request.values[0].kind),
        ("Greeted", "string")
    );
    let name = "John".to_owned();
    let event = service.client().publish(Greeted { name });
    event.await.expect("it is published");
    assert_eq!(heard.recv().await.as_deref(), Some("John"));
    service.stop().await.expect("it stops");
}
