//! A service called in its own process behaves as one behind a connection.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]
#![allow(
    clippy::disallowed_methods,
    reason = "callers are tasks of their own, as users' are"
)]

mod support;

use std::future::IntoFuture;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::client::Target;
use micro_runtime::error::Detail;
use micro_runtime::server::Local;
use micro_runtime::wrapper::{self, Next};
use micro_runtime::{Context, Error, Receiver, Request, Result, Sender};
use support::{PROTOCOLS, Say, World, frame, words};
use tokio::sync::{Notify, mpsc};

fn local(say: Say) -> Target {
    Target::new("test", Arc::new(Local::new(say)))
}

/// Runs `test` against a service in process and behind both protocols.
async fn everywhere<F, H>(say: impl Fn() -> Say, test: F)
where
    F: Fn(Target, &'static str) -> H,
    H: Future<Output = ()>,
{
    test(local(say()), "local").await;
    for protocol in PROTOCOLS {
        let running = World::default()
            .service("test", protocol)
            .handle(say())
            .start()
            .await
            .unwrap();
        test(running.client().target("test"), protocol).await;
        let since = tokio::time::Instant::now();
        running.stop().await.unwrap();
        assert!(
            since.elapsed() < Duration::from_secs(5),
            "{protocol}: a handler outlived its caller"
        );
    }
}

/// Tells when it is dropped.
#[derive(Clone)]
struct Gone(Arc<Notify>);

impl Drop for Gone {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

async fn forever() {
    std::future::pending::<()>().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_drops_the_handler_and_marks_its_context() {
    let (entered, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (tell, mut told) = mpsc::channel(1);
    let (at_entry, at_drop) = (entered.clone(), gone.clone());
    let target = local(Say::hello(move |cx, frame| {
        let (entered, gone, tell) = (at_entry.clone(), at_drop.clone(), tell.clone());
        async move {
            let _gone = Gone(gone);
            tokio::spawn(async move {
                cx.cancelled().await;
                tell.send(cx.is_cancelled()).await
            });
            entered.notify_one();
            forever().await;
            Ok(frame)
        }
    }));
    let call = tokio::spawn(
        target
            .unary::<_, Frame>("Say.Hello", frame("x"))
            .into_future(),
    );
    entered.notified().await;
    call.abort();
    gone.notified().await;
    assert_eq!(told.recv().await, Some(true));
}

#[tokio::test(start_paused = true)]
async fn a_call_ends_at_its_timeout_and_its_handler_too() {
    let gone = Arc::new(Notify::new());
    let at_drop = gone.clone();
    let target = local(Say::hello(move |_, frame| {
        let gone = at_drop.clone();
        async move {
            let _gone = Gone(gone);
            forever().await;
            Ok(frame)
        }
    }));
    let started = tokio::time::Instant::now();
    let call = target.unary::<_, Frame>("Say.Hello", frame("x"));
    let error = call.timeout(Duration::from_secs(2)).await.unwrap_err();
    assert_eq!(
        (error.code(), started.elapsed()),
        (408, Duration::from_secs(2))
    );
    gone.notified().await;
    let endless = target
        .unary::<_, Frame>("Say.Hello", frame("x"))
        .timeout(Duration::MAX);
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), endless.into_future())
            .await
            .is_err(),
        "no limit is a limit too"
    );
}

#[tokio::test]
async fn metadata_trailers_and_all_of_an_error_pass() {
    let say = || {
        Say::hello(|cx, message| async move {
            cx.reply_metadata().set("before", "1");
            cx.reply_trailers().set("after", "2");
            if words(&message) != "fail" {
                return Ok(message);
            }
            let detail = Detail {
                type_url: "type.googleapis.com/x.Y".to_owned(),
                value: vec![1, 2].into(),
            };
            Err(Error::conflict("test.hello", "no")
                .with_status("Never")
                .with_grpc_code(10)
                .with_detail(detail)
                .with_metadata([("why", "because")].into_iter().collect()))
        })
    };
    everywhere(say, |target, how| async move {
        let reply = target
            .unary::<_, Frame>("Say.Hello", frame("x"))
            .full()
            .await
            .unwrap();
        let error = target
            .unary::<_, Frame>("Say.Hello", frame("fail"))
            .await
            .unwrap_err();
        assert_eq!(
            (error.id(), error.code(), error.detail(), error.status()),
            ("test.hello", 409, "no", "Never"),
            "{how}"
        );
        assert!(reply.peer.is_some(), "{how}");
        if how == "mucp" {
            return;
        }
        assert_eq!(reply.metadata.get("before"), Some("1"), "{how}");
        assert_eq!(reply.trailers.get("after"), Some("2"), "{how}");
        assert_eq!(error.grpc_code(), Some(10), "{how}");
        assert_eq!(error.details()[0].value, vec![1, 2], "{how}");
        assert_eq!(error.metadata().get("why"), Some("because"), "{how}");
    })
    .await;
}

#[tokio::test]
async fn a_streams_metadata_comes_with_its_opening_and_trailers_at_its_end() {
    let say = || {
        Say::default().count(|cx: Context, _, mut out: Sender<Frame>| async move {
            cx.reply_metadata().set("before", "1");
            cx.reply_trailers().set("after", "2");
            out.send(frame("a")).await?;
            cx.reply_metadata().set("late", "3");
            Ok(())
        })
    };
    everywhere(say, |target, how| async move {
        let reply = target
            .server_stream::<_, Frame>("Say.Count", frame("x"))
            .full()
            .await
            .unwrap();
        let mut replies = reply.message;
        assert_eq!(words(&replies.message().await.unwrap().unwrap()), "a");
        assert!(replies.message().await.unwrap().is_none());
        if how == "mucp" {
            return;
        }
        assert_eq!(reply.metadata.get("before"), Some("1"), "{how}");
        assert_eq!(replies.trailers().get("after"), Some("2"), "{how}");
        assert_eq!(replies.trailers().get("late"), Some("3"), "{how}");
    })
    .await;
}

#[tokio::test]
async fn a_stream_gives_its_error_once() {
    let say = || {
        Say::default().count(|_, _, mut out: Sender<Frame>| async move {
            out.send(frame("a")).await?;
            Err(Error::conflict("test", "over"))
        })
    };
    everywhere(say, |target, how| async move {
        let mut replies = target
            .server_stream::<_, Frame>("Say.Count", frame("x"))
            .await
            .unwrap();
        assert!(replies.next().await.unwrap().is_ok(), "{how}");
        assert_eq!(
            replies.next().await.unwrap().unwrap_err().code(),
            409,
            "{how}"
        );
        assert!(replies.next().await.is_none(), "{how}");
        assert!(replies.next().await.is_none(), "{how}");
    })
    .await;
}

#[tokio::test]
async fn a_dropped_stream_drops_its_handler_which_does_not_take_it_for_complete() {
    let (tell, mut told) = mpsc::channel(8);
    let say = || {
        let tell = tell.clone();
        Say::default().sum(move |_, mut input: Receiver<Frame>, out: Sender<Frame>| {
            let tell = tell.clone();
            async move {
                let _out = out;
                let gone = Arc::new(Notify::new());
                let held = Gone(gone.clone());
                let told_gone = tell.clone();
                tokio::spawn(async move {
                    gone.notified().await;
                    told_gone.send("gone").await
                });
                let _held = held;
                while let Some(message) = input.next().await {
                    match message {
                        Ok(_) => tell.send("message").await.unwrap(),
                        Err(_) => forever().await,
                    }
                }
                tell.send("complete").await.unwrap();
                Ok(())
            }
        })
    };
    let target = local(say());
    let (mut out, input) = target.bidi::<Frame, Frame>("Say.Sum").await.unwrap();
    out.send(frame("x")).await.unwrap();
    assert_eq!(told.recv().await, Some("message"));
    drop(out);
    tokio::task::yield_now().await;
    drop(input);
    assert_eq!(told.recv().await, Some("gone"));
}

#[tokio::test]
async fn a_handler_that_reads_no_more_holds_up_no_sender() {
    let say = || {
        Say::default().sum(
            |_, input: Receiver<Frame>, mut out: Sender<Frame>| async move {
                drop(input);
                out.send(frame("a")).await?;
                forever().await;
                Ok(())
            },
        )
    };
    everywhere(say, |target, how| async move {
        let (mut out, mut input) = target.bidi::<Frame, Frame>("Say.Sum").await.unwrap();
        assert!(input.message().await.unwrap().is_some(), "{how}");
        for _ in 0..500 {
            out.send(frame("x")).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_caller_that_reads_no_more_holds_up_no_handler() {
    let (tell, mut told) = mpsc::channel(1);
    let say = Say::default().sum(
        move |_, mut input: Receiver<Frame>, mut out: Sender<Frame>| {
            let tell = tell.clone();
            async move {
                let mut sent = 0;
                while sent < 500 && out.send(frame("x")).await.is_ok() {
                    sent += 1;
                }
                tell.send(sent).await.unwrap();
                input.message().await.map(drop)
            }
        },
    );
    let (out, input) = local(say).bidi::<Frame, Frame>("Say.Sum").await.unwrap();
    drop(input);
    assert_eq!(told.recv().await, Some(500));
    drop(out);
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_ends_after_its_idle_timeout_for_both_halves() {
    let say = || {
        Say::default().sum(
            |_, input: Receiver<Frame>, mut out: Sender<Frame>| async move {
                let _input = input;
                out.send(frame("a")).await?;
                forever().await;
                Ok(())
            },
        )
    };
    everywhere(say, |target, how| async move {
        let call = target
            .bidi::<Frame, Frame>("Say.Sum")
            .idle_timeout(Duration::from_secs(7));
        let (mut out, mut input) = call.await.unwrap();
        assert!(input.message().await.unwrap().is_some());
        let since = tokio::time::Instant::now();
        let error = input.message().await.unwrap_err();
        assert_eq!(
            (error.code(), since.elapsed().as_secs()),
            (408, 7),
            "{how}: {error}"
        );
        assert!(input.next().await.is_none());
        assert_eq!(out.send(frame("x")).await.unwrap_err().code(), 408, "{how}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_at_its_timeout_whatever_comes() {
    let say = || {
        Say::default().count(|_, _, mut out: Sender<Frame>| async move {
            loop {
                out.send(frame("x")).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        })
    };
    everywhere(say, |target, how| async move {
        let call = target.server_stream::<_, Frame>("Say.Count", frame("x"));
        let mut replies = call.stream_timeout(Duration::from_secs(2)).await.unwrap();
        let since = tokio::time::Instant::now();
        let error = loop {
            if let Err(error) = replies.message().await {
                break error;
            }
        };
        assert_eq!(error.code(), 408, "{how}: {error}");
        assert!(since.elapsed() <= Duration::from_millis(2100), "{how}");
    })
    .await;
}

#[tokio::test]
async fn wrappers_of_one_call_run_in_process_too() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let say = || Say::hello(|_, frame| async move { Ok(frame) });
    let note = |name: &'static str| {
        let seen = seen.clone();
        wrapper::from_fn(move |request: Request, next: Next| {
            seen.lock().unwrap().push(name);
            next.run(request)
        })
    };
    everywhere(say, |target, how| {
        let call = target
            .unary::<_, Frame>("Say.Hello", frame("x"))
            .wrap(note("a"))
            .wrap(note("b"));
        let seen = seen.clone();
        async move {
            let _: Result<Frame> = Ok(call.await.unwrap());
            assert_eq!(
                std::mem::take(&mut *seen.lock().unwrap()),
                ["a", "b"],
                "{how}"
            );
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_call_gives_its_wrappers_its_time() {
    let say = || Say::hello(|_, message| async { Ok(message) });
    everywhere(say, |target, name| async move {
        let limit = Duration::from_millis(700);
        let looks = wrapper::from_fn(move |request: Request, next: Next| async move {
            assert_eq!(request.cx.remaining(), Some(limit), "{name}");
            next.run(request).await
        });
        let call = target.unary::<_, Frame>("Say.Hello", frame("x"));
        call.timeout(limit).wrap(looks).await.unwrap();
    })
    .await;
}
