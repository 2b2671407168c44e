//! Services that call services, each of which tries again: their tries must not multiply.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::service::Running;
use micro_runtime::tasks::Tasks;
use micro_runtime::{Client, Error, Result};
use tokio::time::{Instant, sleep_until};

use crate::support::{Say, World, frame};

/// How the service at the bottom fails half of its calls.
#[derive(Clone, Copy, Debug)]
enum Fails {
    /// It does not answer in the time of a try.
    Silent,
    /// Its node is full.
    Full,
}

/// How often each layer was called.
type Counts = [Arc<AtomicUsize>; 3];

/// Calls `name`; any of its calls may be made twice.
async fn ask(client: &Client, name: &str, patience: Duration) -> Result<Frame> {
    let call = client.request(name.to_owned(), "Say.Hello", frame("x"));
    call.idempotent().attempt_timeout(patience).await
}

/// A service that passes its calls on to `next`.
async fn middle(
    world: &World,
    protocol: &str,
    (name, next): (&str, &'static str),
    patience: Duration,
    count: &Arc<AtomicUsize>,
) -> Running {
    let service = world.service(name, protocol);
    let (client, count) = (service.client().clone(), count.clone());
    let say = Say::hello(move |_, _| {
        count.fetch_add(1, Ordering::SeqCst);
        let client = client.clone();
        async move { ask(&client, next, patience).await }
    });
    service.handle(say).start().await.unwrap()
}

async fn bottom(world: &World, protocol: &str, fails: Fails, count: &Arc<AtomicUsize>) -> Running {
    let count = count.clone();
    let service = world.service("bottom", protocol);
    let full = move |request, next: micro_runtime::wrapper::Next| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move {
            match (number % 2, fails) {
                (0, Fails::Full) => Err(Error::unavailable("bottom", "full").unprocessed()),
                (0, Fails::Silent) => std::future::pending().await,
                _ => next.run(request).await,
            }
        }
    };
    let say = Say::hello(|_, frame| async move { Ok(frame) });
    let service = service.wrap_handler(micro_runtime::wrapper::from_fn(full));
    service.handle(say).start().await.unwrap()
}

/// How many calls were made at the top, and then at each layer.
async fn run(protocol: &'static str, fails: Fails) -> [usize; 4] {
    let (world, counts) = (World::default(), Counts::default());
    let millis = Duration::from_millis;
    let bottom = bottom(&world, protocol, fails, &counts[2]).await;
    let second = middle(
        &world,
        protocol,
        ("second", "bottom"),
        millis(50),
        &counts[1],
    )
    .await;
    let first = middle(
        &world,
        protocol,
        ("first", "second"),
        millis(1000),
        &counts[0],
    )
    .await;
    let (calls, began) = (400, Instant::now());
    let (client, tasks) = (bottom.client().clone(), Tasks::new());
    for number in 0..calls {
        sleep_until(began + millis(20) * number).await;
        let client = client.clone();
        tasks.spawn(async move {
            let _ = ask(&client, "first", millis(20_000)).await;
        });
    }
    tasks.idle().await;
    for service in [first, second, bottom] {
        service.stop().await.unwrap();
    }
    let [first, second, bottom] = counts.map(|count| count.load(Ordering::SeqCst));
    [calls as usize, first, second, bottom]
}

#[tokio::test(start_paused = true)]
async fn tries_of_three_layers_do_not_multiply() {
    for protocol in ["mucp", "braid", "grpc"] {
        for fails in [Fails::Full, Fails::Silent] {
            let [calls, first, second, bottom] = run(protocol, fails).await;
            let told = format!("{protocol}, {fails:?}: {calls}, {first}, {second}, {bottom}");
            // Only who has met the failure tries again, and within its budget.
            assert_eq!((first, second), (calls, calls), "{told}");
            assert!(bottom <= calls + calls / 5 + 10, "{told}");
            assert!(bottom >= calls + calls / 10, "{told}");
        }
    }
}
