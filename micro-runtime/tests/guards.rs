//! A server's wrapper that refuses a request: over every protocol it has reached no handler, and
//! another node is asked.
#![cfg(feature = "grpc")]
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_runtime::call::Frame;
use micro_runtime::service::Running;
use micro_runtime::wrapper::{Next, Wrapper, from_fn};
use micro_runtime::{Context, Error, Reply, Request, Result, Sender};
use support::{Say, World, frame, words};

const ALL: [&str; 5] = ["mucp", "braid", "grpc", "connect", "grpc-web"];

fn refused() -> Error {
    Error::too_many_requests("test.guard", "not here").unprocessed()
}

/// Counts the calls that its handlers see.
fn say(seen: &Arc<AtomicUsize>) -> Say {
    let seen = seen.clone();
    let count = move || {
        seen.fetch_add(1, Ordering::SeqCst);
    };
    let hello = count.clone();
    Say::hello(move |_, frame| {
        hello();
        async move { Ok(frame) }
    })
    .count(move |_, frame, mut out: Sender<Frame>| {
        count();
        async move { out.send(frame).await }
    })
}

async fn node(
    world: &World,
    protocol: &str,
    seen: &Arc<AtomicUsize>,
    wrapper: impl Wrapper,
) -> Running {
    let service = world.service("guarded", protocol).wrap_handler(wrapper);
    service.handle(say(seen)).start().await.unwrap()
}

async fn refuse(_request: Request, _next: Next) -> Result<Reply> {
    Err(refused())
}

async fn pass(request: Request, next: Next) -> Result<Reply> {
    next.run(request).await
}

#[tokio::test]
async fn what_a_wrapper_refuses_is_unprocessed_over_every_protocol() {
    for protocol in ALL {
        let (world, seen) = (World::default(), Arc::default());
        let running = node(&world, protocol, &seen, from_fn(refuse)).await;
        let client = running.client();
        let call = client.request("guarded", "Say.Hello", frame("x"));
        let error = call.retries(2).await.unwrap_err();
        assert_eq!(error.code(), 429, "{protocol}: {error:?}");
        assert_eq!(error.detail(), "not here", "{protocol}: {error:?}");
        assert!(error.is_unprocessed(), "{protocol}: {error:?}");
        assert_eq!(error.attempts().count(), 3, "{protocol}: {error:?}");
        assert_eq!(seen.load(Ordering::SeqCst), 0, "{protocol}");
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_one_node_refuses_another_one_answers() {
    for protocol in ALL {
        let (world, seen) = (World::default(), Arc::default());
        let refuses = node(&world, protocol, &seen, from_fn(refuse)).await;
        let answers = node(&world, protocol, &seen, from_fn(pass)).await;
        for number in 0..8 {
            let call = answers.client().request("guarded", "Say.Hello", frame("x"));
            let reply = call.await;
            assert!(
                reply.as_ref().is_ok_and(|reply| words(reply) == "x"),
                "{protocol} {number}: {reply:?}"
            );
        }
        assert_eq!(seen.load(Ordering::SeqCst), 8, "{protocol}");
        refuses.stop().await.unwrap();
        answers.stop().await.unwrap();
    }
}

#[tokio::test]
async fn a_stream_that_one_node_refuses_is_opened_at_another() {
    // On mucp an opening is not answered, and on the web errors of streams come in their last message:
    // too late.
    for protocol in ["braid", "grpc"] {
        let (world, seen) = (World::default(), Arc::default());
        let refuses = node(&world, protocol, &seen, from_fn(refuse)).await;
        let answers = node(&world, protocol, &seen, from_fn(pass)).await;
        for number in 0..8 {
            let target = answers.client().target("guarded");
            let mut replies = target
                .server_stream::<Frame, Frame>("Say.Count", frame("x"))
                .await
                .unwrap();
            let reply = replies.next().await;
            assert!(
                matches!(&reply, Some(Ok(reply)) if words(reply) == "x"),
                "{protocol} {number}: {reply:?}"
            );
        }
        assert_eq!(seen.load(Ordering::SeqCst), 8, "{protocol}");
        refuses.stop().await.unwrap();
        answers.stop().await.unwrap();
    }
}

#[tokio::test]
async fn what_has_come_to_the_handler_is_processed_whatever_is_said_of_it() {
    // After it, in it, and with another context on the way to it.
    async fn after(request: Request, next: Next) -> Result<Reply> {
        next.run(request).await?;
        Err(refused())
    }
    async fn changed(mut request: Request, next: Next) -> Result<Reply> {
        request.cx = Context::default();
        next.run(request).await?;
        Err(refused())
    }
    for protocol in ALL {
        let wrappers: [Arc<dyn Wrapper>; 2] =
            [Arc::new(from_fn(after)), Arc::new(from_fn(changed))];
        for wrapper in wrappers {
            let (world, seen) = (World::default(), Arc::default());
            let through = move |request: Request, next: Next| {
                let wrapper = wrapper.clone();
                async move { wrapper.wrap(request, next).await }
            };
            let running = node(&world, protocol, &seen, from_fn(through)).await;
            let client = running.client();
            let call = client.request("guarded", "Say.Hello", frame("x"));
            let error = call.retries(2).await.unwrap_err();
            assert!(!error.is_unprocessed(), "{protocol}: {error:?}");
            assert_eq!(error.attempts().count(), 1, "{protocol}: {error:?}");
            assert_eq!(seen.load(Ordering::SeqCst), 1, "{protocol}");
            running.stop().await.unwrap();
        }
        let world = World::default();
        let say = Say::hello(|_, _| async { Err(refused()) });
        for wrapped in [false, true] {
            let service = world.service("handled", protocol).handle(say.clone());
            let service = match wrapped {
                true => service.wrap_handler(from_fn(pass)),
                false => service,
            };
            let running = service.start().await.unwrap();
            let client = running.client();
            let call = client.request("handled", "Say.Hello", frame("x"));
            let error = call.retries(2).await.unwrap_err();
            assert!(!error.is_unprocessed(), "{protocol} {wrapped}: {error:?}");
            running.stop().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_call_of_the_wrappers_own_that_fails_says_nothing_of_the_one_served() {
    for protocol in ALL {
        let (world, seen) = (World::default(), Arc::default());
        let asked = Arc::new(AtomicUsize::new(0));
        let client = world.service("wrapper", protocol).client().clone();
        let count = asked.clone();
        let asks = from_fn(move |_: Request, _: Next| {
            count.fetch_add(1, Ordering::SeqCst);
            // Nobody listens there: that call was certainly not processed.
            let call = client.request("auth", "Say.Hello", frame("who?"));
            let call = call.address("nowhere").retries(0);
            async move { call.await.map(|_: Frame| unreachable!()) }
        });
        let running = node(&world, protocol, &seen, asks).await;
        let call = running.client().request("guarded", "Say.Hello", frame("x"));
        let error = call.await.unwrap_err();
        assert!(!error.is_unprocessed(), "{protocol}: {error:?}");
        assert!(!error.detail().contains("nowhere"), "{protocol}: {error:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1, "{protocol}: {error:?}");
        running.stop().await.unwrap();
    }
}
