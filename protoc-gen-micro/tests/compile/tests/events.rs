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
