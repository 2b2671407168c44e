//! Who gets an event, how many at once, in which order.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::broker::Message;
use micro_runtime::call::Frame;
use micro_runtime::event::Subscriber;
use micro_runtime::{Context, Service, wrapper};
use tokio::time::sleep;

use crate::bench::Bench;
use crate::support::{frame, words};

/// Tells `name` and the event.
fn telling(bench: &Bench, service: Service, subscriber: Subscriber, name: &'static str) -> Service {
    let told = bench.told.clone();
    service.subscribe_with(subscriber, move |_cx, event: Frame| {
        let told = told.clone();
        async move {
            told.send(format!("{name} {}", words(&event))).unwrap();
            Ok(())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn two_subscribers_of_one_topic_each_get_each_event_once() {
    let mut bench = Bench::new();
    let service = telling(&bench, bench.service("s"), Subscriber::new("t"), "a");
    let service = telling(&bench, service, Subscriber::new("t"), "b");
    let service = telling(&bench, service, Subscriber::new("other"), "c");
    let service = service.start().await.unwrap();
    let publisher = service.client().publisher("t");
    for event in ["1", "2"] {
        publisher.publish(frame(event)).await.unwrap();
    }
    let mut heard = bench.heard(4).await;
    heard.sort();
    assert_eq!(heard, ["a 1", "a 2", "b 1", "b 2"]);
    service.stop().await.unwrap();
    assert!(bench.rest().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_a_queue_one_gets_an_event_and_of_others_all() {
    let mut bench = Bench::new();
    let worker = || Subscriber::new("t").queue("workers");
    let one = telling(&bench, bench.service("s"), worker(), "worker");
    let one = telling(&bench, one, Subscriber::new("t"), "all");
    let two = telling(&bench, bench.service("s"), worker(), "worker");
    let two = telling(&bench, two, Subscriber::new("t").queue("audit"), "audit");
    let (one, two) = (one.start().await.unwrap(), two.start().await.unwrap());
    let publisher = one.client().publisher("t");
    for number in 0..20 {
        publisher.publish(frame(number.to_string())).await.unwrap();
    }
    let heard = bench.heard(60).await;
    for name in ["worker", "all", "audit"] {
        let mut numbers: Vec<u32> = heard
            .iter()
            .filter_map(|said| said.strip_prefix(name)?.trim().parse().ok())
            .collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "{name}");
    }
    one.stop().await.unwrap();
    two.stop().await.unwrap();
    assert!(bench.rest().is_empty());
}

#[tokio::test(start_paused = true)]
async fn no_more_handlers_run_than_may_and_none_waits_without_need() {
    let bench = Bench::new();
    let (running, most, handled) =
        <(Arc<AtomicUsize>, Arc<AtomicUsize>, Arc<AtomicUsize>)>::default();
    let counts = (running.clone(), most.clone(), handled.clone());
    let subscriber = Subscriber::new("t").concurrency(3);
    let service = bench
        .service("s")
        .subscribe_with(subscriber, move |_cx, _event: Frame| {
            let (running, most, handled) = counts.clone();
            async move {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                most.fetch_max(now, Ordering::SeqCst);
                sleep(Duration::from_secs(1)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                handled.fetch_add(1, Ordering::SeqCst);
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    for _ in 0..9 {
        publisher.publish(frame("x")).await.unwrap();
    }
    // Nine of a second each, three at once.
    sleep(Duration::from_millis(3100)).await;
    assert_eq!(handled.load(Ordering::SeqCst), 9);
    assert_eq!(most.load(Ordering::SeqCst), 3);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn one_at_a_time_keeps_the_order_also_where_a_handler_is_run_again() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let failed = Arc::new(AtomicUsize::new(0));
    let subscriber = Subscriber::new("t").concurrency(1).retries(1);
    let service = bench
        .service("s")
        .subscribe_with(subscriber, move |_cx, event: Frame| {
            let (told, failed) = (told.clone(), failed.clone());
            async move {
                // The earlier, the slower.
                let event = words(&event);
                sleep(Duration::from_secs(9 - event.parse::<u64>().unwrap())).await;
                if event == "2" && failed.fetch_add(1, Ordering::SeqCst) == 0 {
                    return Err(micro_runtime::Error::plain("once"));
                }
                told.send(event).unwrap();
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    for number in 1..6 {
        publisher.publish(frame(number.to_string())).await.unwrap();
    }
    assert_eq!(bench.heard(5).await, ["1", "2", "3", "4", "5"]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_publisher_waits_for_handlers_that_have_no_time() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let service = bench
        .service("s")
        .subscribe_with(
            Subscriber::new("t").concurrency(1),
            move |_cx, event: Frame| {
                let told = told.clone();
                async move {
                    sleep(Duration::from_secs(1)).await;
                    told.send(words(&event)).unwrap();
                    Ok(())
                }
            },
        )
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    let before = tokio::time::Instant::now();
    for number in 0..75 {
        publisher.publish(frame(number.to_string())).await.unwrap();
    }
    // One is handled and 64 wait: the other ten had to wait for room.
    assert!(
        before.elapsed() >= Duration::from_secs(9),
        "{:?}",
        before.elapsed()
    );
    let wanted: Vec<_> = (0..75).map(|number| number.to_string()).collect();
    assert_eq!(bench.heard(75).await, wanted);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_raw_subscriber_sees_header_and_body_of_any_content_type() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let service = bench
        .service("s")
        .subscribe("t", "", move |cx: Context, message: Message| {
            let told = told.clone();
            async move {
                assert_eq!(cx.metadata(), &message.header);
                let kind = message.header.get("content-type").unwrap_or("none");
                let body = String::from_utf8_lossy(&message.body);
                told.send(format!("{kind} {body}")).unwrap();
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let broker = service.client().broker().unwrap().clone();
    let message = Message::new("<a/>").with("Content-Type", "text/xml");
    broker.publish("t", message).await.unwrap();
    broker.publish("t", Message::new("bare")).await.unwrap();
    assert_eq!(bench.heard(2).await, ["text/xml <a/>", "none bare"]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn wrappers_see_the_topic_and_run_in_their_order() {
    let mut bench = Bench::new();
    let wrapper = |name: &'static str| {
        let told = bench.told.clone();
        wrapper::from_fn(move |mut request: micro_runtime::Request, next| {
            let told = told.clone();
            told.send(format!(
                "{name} {} {} {}",
                request.service,
                request.method.endpoint,
                request.codec.content_type()
            ))
            .unwrap();
            request.cx = request.cx.with_pair(name, "seen");
            async move {
                let reply = next.run(request).await;
                told.send(format!("{name} ends")).unwrap();
                reply
            }
        })
    };
    let service = bench
        .service("s")
        .wrap_subscriber(wrapper("outer"))
        .wrap_subscriber(wrapper("inner"));
    let told = bench.told.clone();
    let service = service
        .subscribe("a.b", "", move |cx: Context, _event: Frame| {
            let keys = ["outer", "inner"].map(|key| cx.metadata().contains(key));
            told.send(format!("handler {keys:?}")).unwrap();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("a.b");
    publisher.publish(frame("x")).await.unwrap();
    assert_eq!(
        bench.heard(5).await,
        [
            "outer s a.b application/protobuf",
            "inner s a.b application/protobuf",
            "handler [true, true]",
            "inner ends",
            "outer ends"
        ]
    );
    service.stop().await.unwrap();
}
