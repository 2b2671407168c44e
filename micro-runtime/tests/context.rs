//! What passes from a served call to the calls that its handler makes, over both protocols.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "handlers spawn as users' handlers do"
)]

mod support;

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::client::Target;
use micro_runtime::error::why::Cause;
use micro_runtime::service::Running;
use micro_runtime::{Context, Error};
use support::{PROTOCOLS, Say, World, frame, words};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

/// A service `back` that says what it sees, as `key=value` lines, and the milliseconds left.
async fn back(world: &World, protocol: &str) -> Running {
    let say = Say::hello(|cx, _| async move {
        let mut seen: Vec<_> = cx
            .metadata()
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        seen.push(match cx.remaining() {
            Some(left) => format!("left={}", left.as_millis()),
            None => "left=ever".to_owned(),
        });
        Ok(frame(seen.join("\n")))
    });
    world
        .service("back", protocol)
        .handle(say)
        .start()
        .await
        .unwrap()
}

/// How a handler calls `back`.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Inside,
    Spawned,
    SpawnedWithin,
    Detached,
    MadeHereAwaitedElsewhere,
}

/// What `back` sees of a call to `front` with this metadata, whose handler takes a second first.
async fn seen(how: How, protocol: &str, forward: Option<&str>) -> String {
    let world = World::default();
    let back = back(&world, protocol).await;
    let mut front = world.service("front", protocol);
    if let Some(key) = forward {
        front = front.forward(key);
    }
    let target = front.client().target("back");
    let say = Say::hello(move |cx, message| {
        let target = target.clone();
        async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let call = |target: &Target| target.unary::<_, Frame>("Say.Hello", message);
            match how {
                How::Inside => call(&target).metadata("Own", "1").await,
                How::Detached => call(&target).detached().await,
                How::Spawned => tokio::spawn(async move { call(&target).await })
                    .await
                    .unwrap(),
                How::SpawnedWithin => tokio::spawn(async move { call(&target).within(&cx).await })
                    .await
                    .unwrap(),
                How::MadeHereAwaitedElsewhere => {
                    tokio::spawn(call(&target).into_future()).await.unwrap()
                }
            }
        }
    });
    let front = front.handle(say).start().await.unwrap();
    let reply = front
        .client()
        .request("front", "Say.Hello", frame("x"))
        .timeout(Duration::from_secs(3))
        .metadata("Tenant", "blue")
        .metadata("own", "0")
        .metadata("Micro-Trace-Id", "7")
        .metadata("X-Micro-Mine", "hop")
        .metadata("Grpc-Thing", "hop")
        .metadata("Authorization", "Bearer s3cret")
        .metadata("Cookie", "c")
        .await
        .unwrap();
    front.stop().await.unwrap();
    back.stop().await.unwrap();
    words(&reply)
}

fn has(seen: &str, line: &str) -> bool {
    seen.lines().any(|known| known.eq_ignore_ascii_case(line))
}

#[tokio::test(start_paused = true)]
async fn a_handlers_call_takes_over_deadline_and_user_metadata_and_no_hop_headers() {
    for protocol in PROTOCOLS {
        for how in [
            How::Inside,
            How::SpawnedWithin,
            How::MadeHereAwaitedElsewhere,
        ] {
            let seen = seen(how, protocol, None).await;
            let about = format!("{protocol} {how:?}:\n{seen}");
            assert!(has(&seen, "Tenant=blue"), "{about}");
            assert!(has(&seen, "Micro-Trace-Id=7"), "{about}");
            let own = if how == How::Inside { "own=1" } else { "own=0" };
            assert!(has(&seen, own), "the call's own wins: {about}");
            assert!(!seen.contains("hop"), "{about}");
            assert!(
                !seen.contains("s3cret") && !has(&seen, "Cookie=c"),
                "{about}"
            );
            assert!(has(&seen, "left=2000"), "a second was spent: {about}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_detached_call_and_one_of_a_spawned_task_have_no_parent() {
    for protocol in PROTOCOLS {
        for how in [How::Detached, How::Spawned] {
            let seen = seen(how, protocol, None).await;
            let about = format!("{protocol} {how:?}:\n{seen}");
            assert!(!seen.contains("blue") && !seen.contains('7'), "{about}");
            // The client's own limit of one try.
            assert!(has(&seen, "left=5000"), "{about}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_pass_on_only_where_the_service_names_them() {
    for protocol in PROTOCOLS {
        let seen = seen(How::Inside, protocol, Some("authorization")).await;
        assert!(
            has(&seen, "Authorization=Bearer s3cret"),
            "{protocol}:\n{seen}"
        );
        assert!(!has(&seen, "Cookie=c"), "{protocol}:\n{seen}");
    }
}

/// Tells when it is dropped.
struct Gone(Option<oneshot::Sender<()>>);

impl Drop for Gone {
    fn drop(&mut self) {
        if let Some(tell) = self.0.take() {
            let _ = tell.send(());
        }
    }
}

/// A service whose handlers, unary and bidi, never end, and tell when they are dropped.
fn endless(entered: Arc<Notify>) -> (Say, oneshot::Receiver<()>) {
    let (tell, told) = oneshot::channel();
    let tell = Arc::new(Mutex::new(Some(tell)));
    let never = move || {
        let gone = Gone(tell.lock().unwrap().take());
        let entered = entered.clone();
        async move {
            let _gone = gone;
            entered.notify_one();
            std::future::pending::<()>().await;
        }
    };
    let for_streams = never.clone();
    let say = Say::hello(move |_, frame| {
        let never = never();
        async move {
            never.await;
            Ok(frame)
        }
    });
    let say = say.sum(move |_, input, out| {
        let never = for_streams();
        async move {
            let _held = (input, out);
            never.await;
            Ok(())
        }
    });
    (say, told)
}

/// The handler of `back` is dropped when the caller of `front` goes, whose handler calls it so.
async fn falls<F, H>(protocol: &str, handler: F)
where
    F: Fn(Context, Target) -> H + Send + Sync + 'static,
    H: Future<Output = Result<(), Error>> + Send + 'static,
{
    let world = World::default();
    let entered = Arc::new(Notify::new());
    let (say, dropped) = endless(entered.clone());
    let back = world
        .service("back", protocol)
        .handle(say)
        .start()
        .await
        .unwrap();
    let front = world.service("front", protocol);
    let target = front.client().target("back");
    let say = Say::hello(move |cx, frame| {
        let served = handler(cx, target.clone());
        async move {
            served.await?;
            Ok(frame)
        }
    });
    let front = front.handle(say).start().await.unwrap();
    let client = front.client().clone();
    let call = tokio::spawn(
        client
            .request("front", "Say.Hello", frame("x"))
            .into_future(),
    );
    entered.notified().await;
    let since = Instant::now();
    call.abort();
    dropped.await.unwrap();
    // Not the deadline's work, which is there too.
    assert!(since.elapsed() < Duration::from_secs(1), "{protocol}");
    front.stop().await.unwrap();
    back.stop().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_takes_the_handlers_own_calls_with_it() {
    for protocol in PROTOCOLS {
        falls(protocol, |_, back| async move {
            back.unary::<_, Frame>("Say.Hello", frame("x")).await?;
            Ok(())
        })
        .await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_takes_spawned_calls_within_it_with_it() {
    for protocol in PROTOCOLS {
        let (tell, mut told) = mpsc::channel(1);
        falls(protocol, move |cx, back| {
            let tell = tell.clone();
            async move {
                let within = cx.clone();
                tokio::spawn(async move {
                    let call = back.unary::<_, Frame>("Say.Hello", frame("x"));
                    let error = call.within(&within).await.unwrap_err();
                    tell.send(error).await.unwrap();
                });
                cx.cancelled().await;
                std::future::pending().await
            }
        })
        .await;
        let error = told.recv().await.unwrap();
        let why = error.why().unwrap();
        let by: Vec<_> = why.refusals().map(|refusal| refusal.by).collect();
        assert_eq!((by, why.cause()), (vec!["parent"], None), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_goes_takes_spawned_streams_within_it_with_it() {
    for protocol in PROTOCOLS {
        let (tell, mut told) = mpsc::channel(1);
        falls(protocol, move |cx, back| {
            let tell = tell.clone();
            async move {
                tokio::spawn(async move {
                    let stream = back.bidi::<Frame, Frame>("Say.Sum");
                    let (mut out, mut input) = stream.within(&cx).await.unwrap();
                    let error = input.message().await.unwrap_err();
                    let refused = out.send(frame("x")).await.unwrap_err();
                    tell.send([error, refused]).await.unwrap();
                });
                std::future::pending().await
            }
        })
        .await;
        for error in told.recv().await.unwrap() {
            assert_eq!(error.code(), 408, "{protocol}");
            // The node is not to blame.
            let why = error.why().unwrap();
            let last = why.attempts().last().unwrap();
            let failure = last.result.as_ref().unwrap_err();
            assert_eq!(failure.cause, Cause::GivenUp, "{protocol}: {why}");
            assert_eq!((&*why.service, why.cause()), ("back", None), "{protocol}");
        }
    }
}
