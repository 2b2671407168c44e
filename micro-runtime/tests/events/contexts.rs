//! What travels with an event: headers, metadata, trace, deadline.

use std::future::IntoFuture;
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::event::DEADLINE;
use micro_runtime::{Context, Metadata, Result, Service};
use tokio::time::Instant;

use crate::bench::{Bench, next};
use crate::support::{Say, frame, words};

fn pairs(header: &Metadata) -> Vec<(&str, &str)> {
    let mut pairs: Vec<_> = header
        .iter()
        .filter(|(key, _)| *key != "Micro-ID")
        .collect();
    pairs.sort_unstable();
    pairs
}

#[tokio::test(start_paused = true)]
async fn an_event_has_the_headers_of_go_micro() {
    let bench = Bench::new();
    let mut topic = bench.listen("go.micro.topic.events").await;
    let service = bench.service("s");
    let publisher = service.client().publisher("go.micro.topic.events");
    publisher
        .publish(frame("x"))
        .metadata("x-user", "bob")
        .await
        .unwrap();
    let first = next(&mut topic).await;
    assert_eq!(
        pairs(&first.header),
        [
            ("Content-Type", "application/protobuf"),
            ("Micro-Topic", "go.micro.topic.events"),
            ("X-User", "bob")
        ]
    );
    publisher
        .publish(frame("x"))
        .content_type("application/octet-stream")
        .await
        .unwrap();
    let second = next(&mut topic).await;
    assert_eq!(
        pairs(&second.header),
        [
            ("Content-Type", "application/octet-stream"),
            ("Micro-Topic", "go.micro.topic.events"),
        ]
    );
    let id = |message: &micro_runtime::broker::Message| {
        message.header.get("Micro-ID").unwrap().to_owned()
    };
    assert_eq!(id(&first).len(), 36);
    assert_ne!(id(&first), id(&second));
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn the_json_of_an_event_ends_with_a_line_feed() {
    let bench = Bench::new();
    let mut topic = bench.listen("t").await;
    let service = bench.service("s").content_type("application/json");
    let publisher = service.client().publisher("t");
    publisher.publish("John".to_owned()).await.unwrap();
    let message = next(&mut topic).await;
    assert_eq!(&*message.body, b"\"John\"\n");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_content_type_is_the_publishers_error() {
    let bench = Bench::new();
    let service = bench.service("s");
    let publisher = service.client().publisher("t");
    let event = publisher.publish(frame("x")).content_type("text/none");
    let error = event.await.unwrap_err();
    assert_eq!(error.detail(), "unsupported Content-Type: text/none");
}

/// A service that publishes to `t` from its handler of calls, as `how` says.
async fn publishing_handler(
    bench: &Bench,
    how: fn(&Context, micro_runtime::event::Publish<Frame>) -> micro_runtime::event::Publish<Frame>,
    forward: Option<&str>,
) -> micro_runtime::service::Running {
    let mut service = bench.service("s");
    if let Some(key) = forward {
        service = service.forward(key);
    }
    let publisher = service.client().publisher("t");
    let say = Say::hello(move |cx, name| {
        let publisher = publisher.clone();
        async move {
            how(&cx, publisher.publish(name.clone())).await?;
            Ok(name)
        }
    });
    service.handle(say).start().await.unwrap()
}

/// Calls it with metadata of every kind.
async fn call(running: &micro_runtime::service::Running) {
    let call = running
        .client()
        .request("s", "Say.Hello", frame("x"))
        .metadata("tenant", "blue")
        .metadata("Micro-Trace-Id", "trace")
        .metadata("micro-span-id", "span")
        .metadata("Micro-Secret", "hop")
        .metadata("Content-Language", "hop")
        .token("secret")
        .timeout(Duration::from_secs(20));
    call.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_of_a_handler_has_the_call_as_its_parent() {
    let bench = Bench::new();
    let mut topic = bench.listen("t").await;
    let running = publishing_handler(&bench, |_, event| event, None).await;
    call(&running).await;
    let message = next(&mut topic).await;
    assert_eq!(
        pairs(&message.header),
        [
            ("Content-Type", "application/protobuf"),
            ("Micro-Span-Id", "span"),
            ("Micro-Topic", "t"),
            ("Micro-Trace-Id", "trace"),
            ("Tenant", "blue"),
        ]
    );
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_the_service_forwards_goes_along_and_own_metadata_wins() {
    let bench = Bench::new();
    let mut topic = bench.listen("t").await;
    let own = |_: &Context, event: micro_runtime::event::Publish<Frame>| {
        event.metadata("TENANT", "green")
    };
    let running = publishing_handler(&bench, own, Some("authorization")).await;
    call(&running).await;
    let message = next(&mut topic).await;
    assert_eq!(message.header.get("tenant"), Some("green"));
    assert_eq!(message.header.get("Authorization"), Some("Bearer secret"));
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_detached_event_has_no_parent() {
    let bench = Bench::new();
    let mut topic = bench.listen("t").await;
    let running =
        publishing_handler(&bench, |_, event| event.detached().carry_deadline(), None).await;
    call(&running).await;
    let message = next(&mut topic).await;
    assert_eq!(message.header.get("tenant"), None);
    assert_eq!(message.header.get(DEADLINE), None);
    running.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_deadline_travels_where_it_is_asked_for() {
    let bench = Bench::new();
    let mut topic = bench.listen("t").await;
    let running =
        publishing_handler(&bench, |cx, event| event.within(cx).carry_deadline(), None).await;
    call(&running).await;
    let message = next(&mut topic).await;
    assert!(message.header.contains(DEADLINE), "{message:?}");
    running.stop().await.unwrap();
}

/// Tells what a call has brought along.
fn say(bench: &Bench, service: Service) -> Service {
    let told = bench.told.clone();
    service.handle(Say::hello(move |cx, name| {
        let metadata = cx.metadata();
        let said = ["Tenant", "Micro-Trace-Id", "Micro-Topic", DEADLINE]
            .map(|key| metadata.get(key).unwrap_or("-"));
        let left = cx.remaining().unwrap_or_default().as_secs();
        told.send(format!("{} {left}", said.join(" "))).unwrap();
        async move { Ok(name) }
    }))
}

#[tokio::test(start_paused = true)]
async fn calls_and_events_of_an_events_handler_have_it_as_their_parent() {
    let mut bench = Bench::new();
    let network = micro_runtime::transport::Memory::new();
    let say = say(&bench, bench.service("say")).transport(network.clone());
    let say = say.start().await.unwrap();
    let mut relayed = bench.listen("next").await;
    let service = bench.service("relay").transport(network);
    let (client, publisher) = (service.client().clone(), service.client().publisher("next"));
    let relay = service
        .subscribe("t", "", move |_cx: Context, event: Frame| {
            let call = client.request("say", "Say.Hello", event.clone());
            let event = publisher.publish(event).carry_deadline();
            async move {
                call.await?;
                event.await
            }
        })
        .start()
        .await
        .unwrap();

    // Whoever publishes waits 4 seconds and says so.
    let cx = Context::new(
        [("tenant", "blue"), ("Micro-Trace-Id", "trace")]
            .into_iter()
            .collect(),
    )
    .with_deadline(Instant::now() + Duration::from_millis(4500));
    let event = relay.client().publisher("t").publish(frame("x"));
    event.within(&cx).carry_deadline().await.unwrap();

    assert_eq!(bench.heard(1).await, ["blue trace - - 4"]);
    let message = next(&mut relayed).await;
    assert_eq!(message.header.get("Tenant"), Some("blue"));
    assert_eq!(message.header.get("Micro-Trace-Id"), Some("trace"));
    assert!(message.header.contains(DEADLINE));
    relay.stop().await.unwrap();
    say.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn publishing_ends_with_its_parent_and_within_its_limit() {
    let bench = Bench::new();
    // Nobody takes what fills it.
    let _full = bench.listen("t").await;
    let service = bench.service("s").request_timeout(Duration::from_secs(7));
    let publisher = service.client().publisher("t");
    for _ in 0..64 {
        publisher.publish(frame("x")).await.unwrap();
    }
    let ends_after = |seconds: u64, event: micro_runtime::event::Publish<Frame>| async move {
        let before = Instant::now();
        let error = event.await.unwrap_err();
        assert_eq!(error.code(), 408, "{error}");
        assert_eq!(before.elapsed().as_secs(), seconds);
    };
    ends_after(7, publisher.publish(frame("x"))).await;
    ends_after(
        3,
        publisher
            .publish(frame("x"))
            .timeout(Duration::from_secs(3)),
    )
    .await;
    let cx = Context::default().with_deadline(Instant::now() + Duration::from_secs(2));
    ends_after(2, publisher.publish(frame("x")).within(&cx)).await;
}

#[tokio::test(start_paused = true)]
async fn an_event_whose_deadline_has_passed_is_not_handled() -> Result<()> {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let subscriber = micro_runtime::event::Subscriber::new("t")
        .retries(5)
        .dead_letter("dead");
    let mut dead = bench.listen("dead").await;
    let service = bench
        .service("s")
        .subscribe_with(subscriber, move |_cx: Context, event: Frame| {
            told.send(words(&event)).unwrap();
            async { std::future::pending().await }
        })
        .start()
        .await?;
    let publisher = service.client().publisher("t");
    let until =
        |seconds| Context::default().with_deadline(Instant::now() + Duration::from_secs(seconds));
    let cx = until(3);
    publisher
        .publish(frame("slow"))
        .within(&cx)
        .carry_deadline()
        .await?;
    // Its handler ends at the deadline, and is not run again.
    let letter = next(&mut dead).await;
    assert_eq!(letter.header.get("Micro-Dead-Attempts"), Some("1"));
    assert!(!letter.header.contains(DEADLINE));

    let mut late = letter;
    late.header.set(DEADLINE, "1000");
    bench.put("t", late).await;
    let letter = next(&mut dead).await;
    assert_eq!(letter.header.get("Micro-Dead-Attempts"), Some("0"));
    assert_eq!(bench.heard(1).await, ["slow"]);
    assert!(bench.rest().is_empty());
    service.stop().await
}

#[tokio::test(start_paused = true)]
async fn publishing_in_a_spawned_task_ends_when_its_parent_is_given_up() {
    let mut bench = Bench::new();
    let _full = bench.listen("t").await;
    let service = bench.service("s");
    let publisher = service.client().publisher("t");
    for _ in 0..64 {
        publisher.publish(frame("x")).await.unwrap();
    }
    let told = bench.told.clone();
    let say = Say::hello(move |cx, name| {
        let (told, event) = (told.clone(), publisher.publish(name).within(&cx));
        tokio::spawn(async move {
            told.send("waits".to_owned()).unwrap();
            told.send(event.await.unwrap_err().to_string()).unwrap();
        });
        std::future::pending()
    });
    let running = service.handle(say).start().await.unwrap();
    let call = running.client().request("s", "Say.Hello", frame("y"));
    let before = Instant::now();
    let heard = tokio::select! {
        biased;
        _ = call.into_future() => panic!("it is not answered"),
        heard = bench.heard(1) => heard,
    };
    assert_eq!(heard, ["waits"]);
    let heard = bench.heard(1).await;
    assert!(heard[0].contains("was given up"), "{heard:?}");
    assert_eq!(before.elapsed(), Duration::ZERO);
    running.stop().await.unwrap();
}
