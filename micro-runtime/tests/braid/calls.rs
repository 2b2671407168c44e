//! Unary calls: replies, errors, metadata, deadlines, cancellation.

use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_runtime::router::Limits;
use micro_runtime::{Error, Result};

use crate::net::Net;
use crate::say::{count, full_error, sized, word};

#[tokio::test]
async fn a_call_is_answered_with_metadata_both_ways() -> Result<()> {
    let net = Net::new();
    let reply = net
        .say
        .hello(word("metadata"))
        .metadata("Tenant", "blue")
        .metadata("k", "")
        .full()
        .await?;
    assert_eq!(reply.message.text, "Tenant=blue;k=;");
    assert_eq!(
        reply.metadata.iter().collect::<Vec<_>>(),
        [("Seen", "yes"), ("Also", "this")]
    );
    assert_eq!(reply.trailers.get("took"), Some("long"));
    let peer = reply.peer.unwrap();
    assert_eq!(
        (&*peer.address, &*peer.node, peer.protocol),
        ("server", "node-1", "braid")
    );
    assert_eq!(net.say.hello(word("peer")).await?.text, "braid");
    Ok(())
}

#[tokio::test]
async fn an_error_arrives_with_all_its_fields() {
    let net = Net::new();
    for _ in 0..2 {
        let error = net.say.hello(word("error")).await.unwrap_err();
        let sent = full_error();
        assert_eq!(error, sent);
        assert_eq!(error.status(), "Gone fishing");
        assert_eq!(error.grpc_code(), Some(5));
        assert_eq!(error.details(), sent.details());
        assert_eq!(error.metadata(), sent.metadata());
        assert!(!error.is_unprocessed());
    }
    let error = net.say.hello(word("plain")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.to_wire()),
        (0, "only words".to_owned())
    );
    let error = net.say.hello(word("panic")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (500, "panic recovered: on purpose")
    );
}

#[tokio::test]
async fn what_a_handlers_own_call_did_not_reach_was_itself_processed() {
    let net = Net::new();
    let error = net.say.hello(word("borrowed")).await.unwrap_err();
    assert_eq!(error.code(), 503);
    assert!(
        !error.is_unprocessed(),
        "sending it again would run the handler twice"
    );
}

#[tokio::test]
async fn names_that_nobody_serves_are_told_apart() {
    use micro_runtime::method::{Kind, Method};
    let net = Net::new();
    let call = |endpoint: &str| {
        net.say
            .0
            .unary::<_, crate::say::Word>(Method::dynamic(endpoint, Kind::Unary), word("x"))
    };
    for _ in 0..2 {
        assert_eq!(call("Say.Hello").await.unwrap().text, "x");
        assert_eq!(call("/test.Say/Hello").await.unwrap().text, "x");
        assert_eq!(
            call("Say.Nothing").await.unwrap_err().detail(),
            "rpc: can't find method Nothing"
        );
        assert_eq!(
            call("Nobody.Hello").await.unwrap_err().detail(),
            "rpc: can't find service Nobody"
        );
        assert_eq!(
            call("nonsense").await.unwrap_err().detail(),
            "rpc: service/endpoint request ill-formed: nonsense"
        );
    }
    let error = net
        .say
        .hello(word("x"))
        .content_type("application/grpc+nothing")
        .await
        .unwrap_err();
    assert_eq!(error.code(), 500);
    let error = call("Say.Count").await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (400, "Say.Count streams, and the call does not stream")
    );
}

#[tokio::test]
async fn more_names_than_are_numbered_still_find_their_way() -> Result<()> {
    use micro_runtime::client::Target;
    use micro_runtime::method::{Kind, Method};
    let net = Net::new();
    for i in 0..700 {
        let service = format!("service-{i}-{}", "x".repeat(i % 200));
        let target = Target::new(
            service,
            std::sync::Arc::new(crate::net::Direct(net.channel.clone())),
        );
        let reply: crate::say::Word = target
            .unary(Method::dynamic("Say.Hello", Kind::Unary), word("hi"))
            .await?;
        assert_eq!(reply.text, "hi");
    }
    assert_eq!(net.say.hello(word("x")).await?.text, "x");
    let long = Target::new(
        "x".repeat(2000),
        std::sync::Arc::new(crate::net::Direct(net.channel.clone())),
    );
    let error = long
        .unary::<_, crate::say::Word>(&crate::say::METHODS[0], word("x"))
        .await
        .unwrap_err();
    assert_eq!(error.code(), 400);
    Ok(())
}

#[tokio::test]
async fn messages_of_every_size_pass() -> Result<()> {
    let net = Net::with(4 * 1024, Limits::default());
    for size in [0, 1, 100, 4095, 4096, 4097, 70_000, 1 << 20, 5 << 20] {
        let request = sized("echo", size);
        assert_eq!(net.say.hello(request.clone()).await?, request);
    }
    Ok(())
}

#[tokio::test]
async fn a_message_over_the_peers_limit_is_refused_before_it_is_sent() {
    let mut limits = Limits::default();
    limits.message = 1000;
    let net = Net::with(64 * 1024, limits);
    let error = net.say.hello(sized("echo", 1000)).await.unwrap_err();
    assert_eq!((error.code(), error.is_unprocessed()), (413, false));
    // The connection goes on.
    assert_eq!(
        net.say.hello(sized("echo", 900)).await.unwrap().data.len(),
        900
    );
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
    let error = net.say.hello(word("much")).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (500, "the reply has more metadata than the caller takes")
    );
    let mut call = net.say.hello(word("x"));
    for i in 0..300 {
        call = call.metadata(format!("key-{i}"), "v");
    }
    assert_eq!(call.await.unwrap_err().code(), 431);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_arrives_as_what_is_left_of_it() -> Result<()> {
    let net = Net::new();
    assert_eq!(net.say.hello(word("remaining")).await?.number, u64::MAX);
    let left = net
        .say
        .hello(word("remaining"))
        .timeout(Duration::from_millis(1500))
        .await?
        .number;
    assert_eq!(left, 1_500_000);
    let left = net
        .say
        .hello(word("remaining"))
        .timeout(Duration::MAX / 4)
        .await;
    drop(left);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_server_keeps_to_the_deadline_by_itself() {
    let net = Net::new();
    let request = |timeout: Duration| {
        let channel = net.channel.clone();
        async move {
            use micro_runtime::call::Body;
            use micro_runtime::protocol::AttemptLimits;
            let codec =
                std::sync::Arc::new(micro_runtime::codec::Protobuf::new("application/protobuf"));
            let body = Body::One(micro_runtime::codec::encode(&*codec, &word("wait")).unwrap());
            let request = micro_runtime::Request::new(
                Default::default(),
                "s",
                &crate::say::METHODS[0],
                codec,
                body,
            );
            let limits = AttemptLimits {
                now: tokio::time::Instant::now(),
                deadline: Some(tokio::time::Instant::now() + timeout),
                dial_timeout: Duration::from_secs(1),
            };
            // Nobody on this side ends the wait.
            channel.call(&request, limits).await.unwrap_err()
        }
    };
    let error = request(Duration::from_millis(300)).await;
    assert_eq!(
        (error.id(), error.code(), error.is_unprocessed()),
        ("go.micro.server", 408, false)
    );
    assert_eq!(count(&net.probe.cancelled), 1);
    let error = request(Duration::ZERO).await;
    assert_eq!(
        (error.id(), error.code(), error.is_unprocessed()),
        ("go.micro.server", 408, true)
    );
    assert_eq!(
        count(&net.probe.started),
        1,
        "the expired one did not start"
    );
}

#[tokio::test]
async fn dropping_a_call_drops_its_handler() {
    let net = Net::new();
    let mut call = Box::pin(std::future::IntoFuture::into_future(
        net.say.hello(word("wait")),
    ));
    tokio::select! {
        biased;
        _ = &mut call => panic!("it waits"),
        () = net.probe.until(|probe| count(&probe.started) == 1) => {}
    }
    assert_eq!(count(&net.probe.dropped), 0);
    drop(call);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    assert_eq!(count(&net.probe.cancelled), 1);
    assert_eq!(net.say.hello(word("x")).await.unwrap().text, "x");
    assert_eq!(
        net.pipes.dials.load(Ordering::SeqCst),
        1,
        "the connection goes on"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_comes_after_its_call_was_given_up_reaches_no_other_call() -> Result<()> {
    let net = Net::new();
    for round in 0..50 {
        // The reply and the cancel pass each other; the place is used again at once.
        let late = net
            .say
            .hello(word("sleep 10"))
            .timeout(Duration::from_millis(10));
        let text = format!("round {round}");
        let (late, next) = tokio::join!(async move { late.await }, async {
            tokio::time::sleep(Duration::from_millis(10)).await;
            net.say.hello(word(&text)).await
        });
        if let Ok(late) = late {
            assert_eq!(late.text, "sleep 10");
        }
        assert_eq!(next?.text, text);
    }
    Ok(())
}

#[tokio::test]
async fn the_server_bounds_what_runs_at_once() {
    let mut limits = Limits::default();
    limits.calls = 2;
    let net = Net::with(64 * 1024, limits);
    let waits = || std::future::IntoFuture::into_future(net.say.hello(word("wait")));
    let (mut first, mut second) = (Box::pin(waits()), Box::pin(waits()));
    tokio::select! {
        biased;
        _ = &mut first => panic!("it waits"),
        _ = &mut second => panic!("it waits"),
        () = net.probe.until(|probe| count(&probe.started) == 2) => {}
    }
    let error = net.say.hello(word("x")).await.unwrap_err();
    assert_eq!((error.code(), error.is_unprocessed()), (503, true));
    net.probe.go.notify_waiters();
    assert!(tokio::try_join!(first, second).is_ok());
    assert!(net.say.hello(word("x")).await.is_ok());
}

#[tokio::test]
async fn a_client_makes_no_more_calls_at_once_than_the_server_takes() -> Result<()> {
    let mut limits = Limits::default();
    limits.calls_per_connection = 3;
    let net = Net::with(4 * 1024, limits);
    let calls: Vec<_> = (0..40)
        .map(|i| {
            let call = net.say.hello(word(if i % 2 == 0 { "yield" } else { "x" }));
            tokio::spawn(async move { call.await })
        })
        .collect();
    for call in calls {
        call.await.unwrap()?;
    }
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
    Ok(())
}

#[tokio::test]
async fn an_error_too_large_for_its_frame_is_cut() {
    use micro_runtime::call::{BoxFuture, Dispatch};
    use micro_runtime::method::ServiceDescriptor;
    #[derive(Clone)]
    struct Long;
    impl Dispatch for Long {
        fn descriptor(&self) -> &'static ServiceDescriptor {
            static DESCRIPTOR: ServiceDescriptor =
                ServiceDescriptor::new("Say", "test.Say", &crate::say::METHODS, &[], &[]);
            &DESCRIPTOR
        }
        fn call(
            &self,
            _: u16,
            _: micro_runtime::Request,
        ) -> BoxFuture<Result<micro_runtime::Reply>> {
            let detail = micro_runtime::error::Detail {
                type_url: "t".into(),
                value: vec![0; 30_000].into(),
            };
            let error = Error::new("i".repeat(5000), "é".repeat(50_000), 500)
                .with_status("s".repeat(5000))
                .with_detail(detail.clone())
                .with_detail(detail)
                .with_metadata([("big", "m".repeat(20_000))].into_iter().collect());
            Box::pin(async move { Err(error) })
        }
    }
    let net = Net::new();
    let tasks = micro_runtime::tasks::Tasks::new();
    let server = crate::net::server(Long, Limits::default(), &tasks);
    let (pipes, mut dialled) = crate::net::Pipes::new(64 * 1024);
    let channel = crate::net::channel(pipes, &tasks, "long");
    let say = crate::net::client(&channel);
    let (error, ()) = tokio::join!(async { say.hello(word("x")).await.unwrap_err() }, async {
        server.attach(micro_runtime::transport::Connection::new(
            dialled.recv().await.unwrap(),
            "a",
            "b",
        ));
    });
    assert_eq!(
        (error.id().len(), error.detail().len(), error.status().len()),
        (1024, 16 * 1024, 1024)
    );
    assert_eq!(error.metadata().get("big").map(str::len), Some(20_000));
    assert_eq!(
        error.details().len(),
        0,
        "a detail of 30,000 bytes no longer fits"
    );
    drop(net);
}
