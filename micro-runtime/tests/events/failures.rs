//! What becomes of an event whose handler fails.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::broker::{
    Broker, Closing, Delivery, Message, Settled, SubscribeOptions, Subscription,
};
use micro_runtime::call::{Backoff, Frame};
use micro_runtime::event::Subscriber;
use micro_runtime::{Context, Error, Result, Service};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::time::{Instant, sleep};

use crate::bench::{Bench, next, soon};
use crate::support::{frame, words};

/// A broker of one subscription that tells how deliveries were settled.
#[derive(Debug)]
struct Telling {
    messages: std::sync::Mutex<Option<UnboundedReceiver<Message>>>,
    settled: UnboundedSender<Settled>,
}

#[async_trait]
impl Broker for Telling {
    fn name(&self) -> &str {
        "telling"
    }
    async fn publish(&self, _topic: &str, _message: Message) -> Result<()> {
        Err(Error::unavailable("test", "it only delivers"))
    }
    async fn subscribe(&self, _: &str, _: SubscribeOptions) -> Result<Box<dyn Subscription>> {
        let messages = self.messages.lock().unwrap().take();
        Ok(Box::new(One {
            messages: messages.unwrap(),
            settled: self.settled.clone(),
        }))
    }
    async fn disconnect(&self) -> Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
struct One {
    messages: UnboundedReceiver<Message>,
    settled: UnboundedSender<Settled>,
}

#[async_trait]
impl Subscription for One {
    async fn next(&mut self) -> Option<Delivery> {
        let message = self.messages.recv().await?;
        let settled = self.settled.clone();
        let receipt = move |how| settled.send(how).unwrap();
        Some(Delivery::new("t", message, receipt))
    }
    fn close(&mut self) -> Closing {
        self.messages.close();
        Box::pin(std::future::ready(Ok(())))
    }
}

fn telling() -> (
    Service,
    UnboundedSender<Message>,
    UnboundedReceiver<Settled>,
) {
    let (put, messages) = unbounded_channel();
    let (settled, told) = unbounded_channel();
    let broker = Telling {
        messages: std::sync::Mutex::new(Some(messages)),
        settled,
    };
    (Bench::new().service("s").broker(broker), put, told)
}

#[tokio::test(start_paused = true)]
async fn an_event_is_acked_when_handled_and_nacked_when_not() {
    let (service, put, mut settled) = telling();
    let handler = |_cx: Context, event: Frame| async move {
        sleep(Duration::from_secs(1)).await;
        match &*words(&event) {
            "good" => Ok(()),
            "panic" => panic!("on purpose"),
            _ => Err(Error::plain("bad")),
        }
    };
    let subscriber = Subscriber::new("t").concurrency(1);
    let service = service
        .subscribe_with(subscriber, handler)
        .start()
        .await
        .unwrap();
    for body in ["good", "bad", "panic", "good"] {
        put.send(Message::new(body)).unwrap();
    }
    let before = Instant::now();
    let mut how = Vec::new();
    for _ in 0..4 {
        how.push(soon(settled.recv()).await.unwrap());
    }
    use Settled::{Acked, Nacked};
    assert_eq!(how, [Acked, Nacked, Nacked, Acked]);
    // Each was settled after its handler and not before.
    assert_eq!(before.elapsed(), Duration::from_secs(4));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_published_leaves_the_event_nacked() {
    let (service, put, mut settled) = telling();
    let handler = |_cx: Context, _event: Frame| async { Err(Error::plain("bad")) };
    let subscriber = Subscriber::new("t").dead_letter("dead");
    let service = service
        .subscribe_with(subscriber, handler)
        .start()
        .await
        .unwrap();
    put.send(Message::new("x")).unwrap();
    assert_eq!(soon(settled.recv()).await, Some(Settled::Nacked));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_fails_is_not_run_again_unless_asked() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let service = bench
        .service("s")
        .subscribe("t", "", move |_cx, event: Frame| {
            told.send(words(&event)).unwrap();
            async { Err(Error::plain("bad")) }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    publisher.publish(frame("1")).await.unwrap();
    publisher.publish(frame("2")).await.unwrap();
    assert_eq!(bench.heard(2).await, ["1", "2"]);
    sleep(Duration::from_secs(60)).await;
    service.stop().await.unwrap();
    assert!(bench.rest().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_handler_is_run_again_after_each_pause_until_it_succeeds() {
    let mut bench = Bench::new();
    let (told, runs) = (bench.told.clone(), Arc::new(AtomicUsize::new(0)));
    let before = Instant::now();
    let subscriber = Subscriber::new("t")
        .retries(5)
        .dead_letter("dead")
        .backoff(Backoff::Custom(Arc::new(|number| {
            Duration::from_secs(10 * u64::from(number))
        })));
    let mut dead = bench.listen("dead").await;
    let service = bench
        .service("s")
        .subscribe_with(subscriber, move |_cx, event: Frame| {
            let run = runs.fetch_add(1, Ordering::SeqCst);
            let passed = before.elapsed().as_secs();
            told.send(format!("{} at {passed}", words(&event))).unwrap();
            async move {
                match run {
                    0 => Err(Error::plain("bad")),
                    1 => panic!("on purpose"),
                    _ => Ok(()),
                }
            }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    publisher.publish(frame("x")).await.unwrap();
    assert_eq!(bench.heard(3).await, ["x at 0", "x at 10", "x at 30"]);
    service.stop().await.unwrap();
    assert!(bench.rest().is_empty());
    let none = tokio::time::timeout(Duration::from_secs(1), dead.next()).await;
    assert!(none.is_err());
}

#[tokio::test(start_paused = true)]
async fn what_fails_for_good_becomes_a_dead_letter_that_tells_why() {
    let bench = Bench::new();
    let subscriber = Subscriber::new("t").retries(2).dead_letter("dead");
    let mut dead = bench.listen("dead").await;
    let service = bench
        .service("s")
        .subscribe_with(subscriber, |_cx, _event: Frame| async {
            Err(Error::conflict("billing", "paid already"))
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    let event = publisher.publish(frame("the body"));
    event.metadata("tenant", "blue").await.unwrap();
    let letter = next(&mut dead).await;
    assert_eq!(&*letter.body, b"the body");
    let header = |key| letter.header.get(key);
    assert_eq!(header("Micro-Dead-Topic"), Some("t"));
    assert_eq!(
        header("Micro-Dead-Error"),
        Some("billing: paid already (409 Conflict)")
    );
    assert_eq!(header("Micro-Dead-Attempts"), Some("3"));
    assert_eq!(header("Micro-Topic"), Some("dead"));
    assert_eq!(header("Tenant"), Some("blue"));
    assert_eq!(header("Content-Type"), Some("application/protobuf"));
    assert_eq!(header("Micro-ID").map(str::len), Some(36));
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_does_not_tell_which_nodes_its_handler_called() {
    let bench = Bench::new();
    let subscriber = Subscriber::new("t").dead_letter("dead");
    let mut dead = bench.listen("dead").await;
    let service = bench.service("s");
    let client = service.client().clone();
    let service = service
        .subscribe_with(subscriber, move |_cx, _event: Frame| {
            let call = client.request("other", "Say.Hello", frame("x"));
            async move {
                let error = call.address("nobody-is-here").retries(0).await.unwrap_err();
                assert!(error.detail().contains("nobody-is-here"), "{error:?}");
                assert!(error.why().is_some());
                Err(error)
            }
        })
        .start()
        .await
        .unwrap();
    let publisher = service.client().publisher("t");
    publisher.publish(frame("x")).await.unwrap();
    let letter = next(&mut dead).await;
    let told = format!("{letter:?}");
    assert!(told.contains("nobody listens on [node]"), "{told}");
    assert!(!told.contains("nobody-is-here"), "{told}");
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_takes_too_long_is_dropped_and_has_failed() {
    let bench = Bench::new();
    let subscriber = Subscriber::new("t")
        .timeout(Duration::from_secs(5))
        .retries(1)
        .dead_letter("dead");
    let mut dead = bench.listen("dead").await;
    let service = bench
        .service("s")
        .subscribe_with(subscriber, |cx: Context, _event: Frame| async move {
            assert_eq!(cx.remaining(), Some(Duration::from_secs(5)));
            std::future::pending().await
        })
        .start()
        .await
        .unwrap();
    let before = Instant::now();
    let publisher = service.client().publisher("t");
    publisher.publish(frame("x")).await.unwrap();
    let letter = next(&mut dead).await;
    assert_eq!(before.elapsed(), Duration::from_secs(10));
    assert_eq!(letter.header.get("Micro-Dead-Attempts"), Some("2"));
    service.stop().await.unwrap();
}

#[cfg(feature = "json")]
#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_is_tried_once() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let subscriber = Subscriber::new("t").retries(9).dead_letter("dead");
    let mut dead = bench.listen("dead").await;
    let service = bench
        .service("s")
        .subscribe_with(subscriber, move |_cx, event: String| {
            told.send(event).unwrap();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    let put = |kind: &'static str, body: &'static str| {
        let mut message = Message::new(body);
        if kind != "missing" {
            message = message.with("Content-Type", kind);
        }
        bench.put("t", message)
    };
    let errors = [
        ("application/json", "{]", "the event cannot be read"),
        ("text/xml", "<a/>", "unsupported Content-Type: text/xml"),
        (
            "application/json; charset=utf-8",
            "\"a\"",
            "unsupported Content-Type",
        ),
        ("missing", "\"a\"", "the event cannot be read"),
    ];
    for (kind, body, words) in errors {
        put(kind, body).await;
        let letter = next(&mut dead).await;
        let error = letter.header.get("Micro-Dead-Error").unwrap();
        assert!(error.contains(words), "{error}");
        assert_eq!(letter.header.get("Micro-Dead-Attempts"), Some("1"));
        assert_eq!(
            letter.header.get("Content-Type"),
            Some(kind).filter(|kind| *kind != "missing")
        );
    }
    // A missing and an empty content type are protobuf's, and what came before does no harm.
    put("missing", "\n\x04John").await;
    put("", "\n\x04Jane").await;
    put("application/json", "\"Jim\"\n").await;
    assert_eq!(bench.heard(3).await, ["John", "Jane", "Jim"]);
    service.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_header_may_name_another_topic() {
    let mut bench = Bench::new();
    let told = bench.told.clone();
    let (service, put, mut settled) = telling();
    let service = service
        .subscribe("t", "", move |_cx, event: Frame| {
            told.send(words(&event)).unwrap();
            async { Ok(()) }
        })
        .start()
        .await
        .unwrap();
    put.send(Message::new("x").with("Micro-Topic", "an.exchange"))
        .unwrap();
    put.send(Message::new("y")).unwrap();
    assert_eq!(bench.heard(2).await, ["x", "y"]);
    for _ in 0..2 {
        assert_eq!(soon(settled.recv()).await, Some(Settled::Acked));
    }
    service.stop().await.unwrap();
}
