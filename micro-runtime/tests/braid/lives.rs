//! Connections that begin, are lost, drain and come back.

use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_runtime::router::Limits;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use micro_runtime::{Result, codegen::bytes::Bytes};

use crate::net::{Net, Pipes, channel, client};
use crate::say::{Word, count, word};

fn dials(net: &Net) -> usize {
    net.pipes.dials.load(Ordering::SeqCst)
}

#[tokio::test]
async fn one_connection_is_dialled_for_all_and_only_when_needed() -> Result<()> {
    let net = Net::new();
    assert_eq!(dials(&net), 0);
    let (a, b, c) = tokio::join!(
        net.say.hello(word("a")).into_future(),
        net.say.hello(word("b")).into_future(),
        net.say.hello(word("c")).into_future(),
    );
    assert_eq!(
        (a?.text, b?.text, c?.text),
        ("a".into(), "b".into(), "c".into())
    );
    assert_eq!(dials(&net), 1);
    Ok(())
}

#[tokio::test]
async fn a_failed_dial_is_told_to_all_who_wait_and_not_kept() -> Result<()> {
    let net = Net::new();
    net.pipes.down.store(true, Ordering::SeqCst);
    let (a, b) = tokio::join!(
        net.say.hello(word("a")).into_future(),
        net.say.hello(word("b")).into_future()
    );
    for error in [a.unwrap_err(), b.unwrap_err()] {
        assert_eq!(
            (error.id(), error.code(), error.is_unprocessed()),
            ("go.micro.client", 500, true)
        );
    }
    assert_eq!(dials(&net), 1);
    net.pipes.down.store(false, Ordering::SeqCst);
    assert_eq!(net.say.hello(word("a")).await?.text, "a");
    assert_eq!(dials(&net), 2);
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_says_nothing_is_given_up_after_the_dial_timeout() {
    let (pipes, mut dialled) = Pipes::new(1024);
    let tasks = Tasks::new();
    let channel = channel(pipes, &tasks, "silent");
    let say = client(&channel);
    let before = tokio::time::Instant::now();
    let (error, io) = tokio::join!(
        async { say.hello(word("x")).await.unwrap_err() },
        dialled.recv()
    );
    assert_eq!(before.elapsed(), Duration::from_secs(5));
    assert!(error.is_unprocessed(), "{error}");
    drop(io);
}

#[tokio::test]
async fn a_caller_who_gives_up_does_not_undo_the_dial_for_others() -> Result<()> {
    let net = Net::new();
    let mut first = Box::pin(net.say.hello(word("a")).into_future());
    let mut second = Box::pin(net.say.hello(word("b")).into_future());
    std::future::poll_fn(|task| {
        assert!(first.as_mut().poll(task).is_pending());
        assert!(second.as_mut().poll(task).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    drop(first);
    assert_eq!(second.await?.text, "b");
    assert_eq!(dials(&net), 1);
    Ok(())
}

#[tokio::test]
async fn losing_the_connection_fails_what_was_sent_and_the_next_call_dials_anew() -> Result<()> {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let server_tasks = tasks.group();
    let probe = Arc::default();
    let server = crate::net::server(
        crate::say::Say(Arc::clone(&probe)),
        Limits::default(),
        &server_tasks,
    );
    let channel = channel(pipes, &tasks, "server");
    let say = client(&channel);
    let mut waits = Box::pin(say.hello(word("wait")).into_future());
    let (_, mut replies) = tokio::join!(
        async { server.attach(Connection::new(dialled.recv().await.unwrap(), "a", "b")) },
        async {
            say.count(Word {
                text: "wait".into(),
                number: 2,
                ..Word::default()
            })
            .await
            .unwrap()
        }
    );
    tokio::select! {
        biased;
        _ = &mut waits => panic!("it waits"),
        () = probe.until(|probe| count(&probe.started) == 2) => {}
    }
    server_tasks.abort_all();
    let error = waits.await.unwrap_err();
    assert_eq!(
        (error.id(), error.code()),
        ("go.micro.client.transport", 500)
    );
    assert_eq!(
        (error.detail(), error.is_unprocessed()),
        ("unexpected EOF", false)
    );
    assert!(replies.message().await?.is_some());
    assert!(replies.message().await?.is_some());
    assert_eq!(
        replies.message().await.unwrap_err().detail(),
        "unexpected EOF"
    );

    let server = crate::net::server(crate::say::Say(probe), Limits::default(), &tasks);
    let (again, ()) = tokio::join!(say.hello(word("again")).into_future(), async {
        server.attach(Connection::new(dialled.recv().await.unwrap(), "a", "b"));
    });
    assert_eq!(again?.text, "again");
    Ok(())
}

#[tokio::test]
async fn a_caller_that_is_gone_takes_its_handlers_with_it() {
    let net = Net::new();
    let (channel, say) = net.other();
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let call = say.hello(word("wait"));
            tokio::spawn(async move { call.await })
        })
        .collect();
    let stream = say
        .count(Word {
            text: "wait".into(),
            number: 1,
            ..Word::default()
        })
        .await
        .unwrap();
    net.probe.until(|probe| count(&probe.started) == 11).await;
    // The process ends: its tasks, and with them its end of the pipe.
    drop((channel, say));
    calls.iter().for_each(|call| call.abort());
    drop(stream);
    net.probe.until(|probe| count(&probe.dropped) == 11).await;
    assert_eq!(count(&net.probe.cancelled), 11);
    assert_eq!(net.server.core().running(), 0);
}

#[tokio::test]
async fn a_connection_that_breaks_takes_its_handlers_with_it() {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let client_tasks = tasks.group();
    let net = Net::new();
    let channel = channel(pipes, &client_tasks, "server");
    let say = client(&channel);
    let call = tokio::spawn(async move { say.hello(word("wait")).await });
    net.server
        .attach(Connection::new(dialled.recv().await.unwrap(), "a", "b"));
    net.probe.until(|probe| count(&probe.started) == 1).await;
    client_tasks.abort_all();
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
    let error = call.await.unwrap().unwrap_err();
    assert_eq!(
        (error.id(), error.is_unprocessed()),
        ("go.micro.client.transport", false)
    );
}

#[tokio::test]
async fn draining_lets_calls_end_and_sends_new_ones_elsewhere() -> Result<()> {
    let net = Net::new();
    let mut waits = Box::pin(net.say.hello(word("wait")).into_future());
    let (mut out, mut input) = net.say.sum().await?;
    tokio::select! {
        biased;
        _ = &mut waits => panic!("it waits"),
        () = net.probe.until(|probe| count(&probe.started) == 2) => {}
    }
    let stopping = net.server.clone();
    let stop = tokio::spawn(async move { stopping.stop(Duration::from_secs(10)).await });
    while !net.server.core().draining().has_begun() {
        tokio::task::yield_now().await;
    }
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    // A new call takes a new connection; nobody accepts any more.
    net.pipes.down.store(true, Ordering::SeqCst);
    let error = net.say.hello(word("x")).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
    assert_eq!(dials(&net), 2);
    // The open ones go on to their end.
    out.send(Word {
        number: 4,
        ..Word::default()
    })
    .await?;
    assert_eq!(input.message().await?.unwrap().number, 4);
    net.probe.go.notify_waiters();
    assert_eq!(waits.await?.text, "wait");
    out.finish().await?;
    assert!(input.message().await?.is_none());
    assert_eq!(stop.await.unwrap(), 0, "nothing had to be stopped");
    Ok(())
}

#[tokio::test]
async fn a_call_that_crosses_the_goaway_is_unprocessed() {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let channel = channel(pipes.clone(), &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut peer = crate::raw::Raw::server(dialled.recv().await.unwrap()).await;
        let first = peer.next().await.unwrap();
        let second = peer.next().await.unwrap();
        assert_eq!(
            (first.kind, second.kind),
            (crate::raw::CALL, crate::raw::CALL)
        );
        // One was taken, the other not; then the server is gone.
        pipes.down.store(true, Ordering::SeqCst);
        peer.send(
            crate::raw::GOAWAY,
            0,
            0,
            (0, 0),
            &crate::raw::goaway(1, 0, "the server stops"),
        )
        .await;
    };
    let (first, second, ()) = tokio::join!(
        say.hello(word("a")).into_future(),
        say.hello(word("b")).into_future(),
        server
    );
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert_eq!(
        (first.id(), first.is_unprocessed()),
        ("go.micro.client.transport", false)
    );
    // It was tried on another connection, too.
    assert_eq!(
        (second.detail(), second.is_unprocessed()),
        ("connection error: nobody is there", true),
        "{second}"
    );
}

#[tokio::test]
async fn a_call_that_an_old_connection_does_not_take_is_made_on_another() {
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    let tasks = Tasks::new();
    let channel = channel(pipes, &tasks, "server");
    let say = client(&channel);
    let server = async {
        let mut old = crate::raw::Raw::server(dialled.recv().await.unwrap()).await;
        old.next().await.unwrap();
        let goaway = crate::raw::goaway(0, 0, "the connection is old enough");
        old.send(crate::raw::GOAWAY, 0, 0, (0, 0), &goaway).await;
        let mut new = crate::raw::Raw::server(dialled.recv().await.unwrap()).await;
        let seen = new.next().await.unwrap();
        let hi = crate::raw::message("hi", 0);
        new.send(crate::raw::REPLY, crate::raw::BODY, 0, seen.id, &hi)
            .await;
    };
    let (reply, ()) = tokio::join!(say.hello(word("a")).into_future(), server);
    assert_eq!(reply.unwrap().text, "hi");
}

#[tokio::test]
async fn a_call_behind_what_was_written_is_unprocessed() {
    let (pipes, mut dialled) = Pipes::new(256);
    let tasks = Tasks::new();
    let channel = channel(pipes, &tasks, "server");
    let say = client(&channel);
    let server = async {
        let peer = crate::raw::Raw::server(dialled.recv().await.unwrap()).await;
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        drop(peer);
    };
    let data = Word {
        data: Bytes::from(vec![0; 10_000]),
        ..Word::default()
    };
    let (first, second, ()) = tokio::join!(
        say.hello(data.clone()).into_future(),
        say.hello(data).into_future(),
        server
    );
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert_eq!(
        (first.id(), first.is_unprocessed()),
        ("go.micro.client.transport", false),
        "partly written"
    );
    assert!(second.is_unprocessed(), "none of it was written: {second}");
}

#[tokio::test]
async fn a_closed_channel_refuses_calls_and_lets_streams_end() -> Result<()> {
    let net = Net::new();
    let (mut out, mut input) = net.say.sum().await?;
    net.channel.close();
    let error = net.say.hello(word("x")).await.unwrap_err();
    assert!(error.is_unprocessed());
    out.send(Word {
        number: 2,
        ..Word::default()
    })
    .await?;
    assert_eq!(input.message().await?.unwrap().number, 2);
    out.finish().await?;
    assert!(input.message().await?.is_none());
    // With the last stream the connection ends, at both ends.
    drop((out_of_scope(input), net.say));
    net.server.core().tasks().idle().await;
    Ok(())
}

fn out_of_scope<T>(_: T) {}

#[tokio::test(start_paused = true)]
async fn a_peer_that_does_not_read_is_given_up() {
    let mut limits = Limits::default();
    limits.write = Duration::from_secs(7);
    let net = Net::with(1024, limits);
    let (ours, theirs) = tokio::io::duplex(1024);
    net.server.attach(Connection::new(theirs, "deaf", "server"));
    let mut peer = crate::raw::Raw::client(ours).await;
    let before = tokio::time::Instant::now();
    // Replies of 64 KiB each, none of which is read: the server stops reading, and then serving.
    let mut refused = false;
    for i in 0..1000 {
        let call = crate::raw::call(
            &["/test.Say/Hello", "application/protobuf", "s"],
            &crate::raw::reply_of(64 * 1024),
        );
        let flags = crate::raw::NAMES | crate::raw::BODY | crate::raw::LAST;
        if peer
            .try_send(
                crate::raw::CALL,
                flags,
                u16::MAX,
                (i % 1000, i / 1000),
                &call,
            )
            .await
            .is_err()
        {
            refused = true;
            break;
        }
    }
    assert!(refused, "it would read for ever");
    assert!(before.elapsed() >= Duration::from_secs(7));
    assert!(
        count(&net.probe.started) < 20,
        "{} replies were kept",
        count(&net.probe.started)
    );
    assert_eq!(net.server.core().running(), 0);
}

#[tokio::test]
async fn the_clients_own_client_speaks_it_too() -> Result<()> {
    use micro_runtime::client::{Client, ClientOptions};
    use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry, Service};
    let net = Net::new();
    let registry = Memory::default();
    let mut node = Node::new("test.say-1", "server:1");
    node.metadata
        .insert("protocols".into(), "braid,mucp".into());
    let service = Service::new("test.say", "1").with_nodes(vec![node]);
    registry
        .register(&service, RegisterOptions::default())
        .await?;
    let options = ClientOptions::new(
        Arc::new(registry),
        net.pipes.clone(),
        vec![Arc::new(micro_runtime::protocol::Braid::default())],
    );
    let say = crate::say::SayClient(Client::new(options)?.target("test.say"));
    let reply = say
        .hello(word("metadata"))
        .metadata("k", "v")
        .full()
        .await?;
    assert_eq!(
        (&*reply.message.text, reply.trailers.get("took")),
        ("k=v;", Some("long"))
    );
    let mut replies = say
        .count(Word {
            number: 10,
            ..Word::default()
        })
        .await?;
    let mut seen = 0;
    while replies.message().await?.is_some() {
        seen += 1;
    }
    assert_eq!(seen, 10);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_answer_is_lost_when_the_server_drains_under_load() {
    for round in 0..30 {
        let net = Net::new();
        let callers: Vec<_> = (0..32)
            .map(|caller| {
                let say = net.say.clone();
                tokio::spawn(async move {
                    for i in 0.. {
                        let what = ["yield", "sleep 0"][(caller + i) % 2];
                        if let Err(error) = say.hello(word(what)).await {
                            return error;
                        }
                    }
                    unreachable!()
                })
            })
            .collect();
        net.probe
            .until(|probe| count(&probe.started) > 50 * (round % 5) + 32)
            .await;
        net.pipes.down.store(true, Ordering::SeqCst);
        assert_eq!(net.server.stop(Duration::from_secs(10)).await, 0);
        for caller in callers {
            let error = caller.await.unwrap();
            assert!(
                error.is_unprocessed(),
                "a call was taken and not answered: {error}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_kinds_of_calls_pass_over_tcp() -> Result<()> {
    use micro_runtime::transport::{Tcp, Transport};
    let net = Net::new();
    let listener = Tcp.listen("127.0.0.1:0").await?;
    let channel = channel(Arc::new(Tcp), &net.tasks.group(), listener.address());
    net.server.start(listener);
    let say = client(&channel);
    for size in [0, 100, 5000, 300_000, 3 << 20] {
        let request = crate::say::sized("echo", size);
        assert_eq!(say.hello(request.clone()).await?, request);
    }
    let mut replies = say
        .count(Word {
            number: 500,
            ..Word::default()
        })
        .await?;
    while replies.message().await?.is_some() {}
    assert_eq!(replies.trailers().get("sum"), Some("500"));
    let mut upload = say.collect().await?;
    for number in 0..500 {
        upload
            .send(Word {
                number,
                ..Word::default()
            })
            .await?;
    }
    assert_eq!(upload.finish().await?.number, 499 * 250);
    let (mut out, mut input) = say.sum().await?;
    out.send(Word {
        number: 9,
        ..Word::default()
    })
    .await?;
    assert_eq!(input.message().await?.unwrap().number, 9);
    // On two threads the dropped sender may end the input before the cancel is on its way, so what
    // the handler sees of it is left to the tests on one thread.
    out.finish().await?;
    assert!(input.message().await?.is_none());
    Ok(())
}

/// A server whose answer to `much` is there faster than anyone can read it, and a client of it with so
/// many connections.
fn fast(connections: usize) -> (Arc<Pipes>, crate::say::SayClient, Tasks) {
    let (pipes, mut dialled) = Pipes::new(128 << 20);
    let tasks = Tasks::new();
    let own = tasks.clone();
    tasks.spawn(async move {
        while let Some(io) = dialled.recv().await {
            own.spawn(answer_all(io));
        }
    });
    let mut braid = micro_runtime::protocol::Braid::default();
    braid.connections = connections;
    let channel = crate::net::channel_of(&braid, pipes.clone(), &tasks, "server");
    (pipes, client(&channel), tasks)
}

async fn answer_all(io: tokio::io::DuplexStream) {
    use crate::raw::{BODY, CALL, PING, REPLY, Raw, message, pieces};
    use tokio::io::AsyncWriteExt;

    let mut peer = Raw::server(io).await;
    while let Some(seen) = peer.next().await {
        match seen.kind {
            CALL if seen.payload.ends_with(b"much") => {
                let long = message(&"x".repeat(60 << 20), 0);
                let frames = pieces(REPLY, BODY, seen.id, &[], &long).concat();
                peer.io.write_all(&frames).await.unwrap();
            }
            CALL => {
                let payload = message("x", 0);
                peer.send(REPLY, BODY, 0, seen.id, &payload).await;
            }
            PING if seen.flags == 0 => peer.send(PING, 1, 0, (0, 0), &seen.payload).await,
            _ => {}
        }
    }
}

async fn calls(say: &crate::say::SayClient, times: usize, text: &str) {
    for _ in 0..times {
        let call = say.hello(word(text)).timeout(Duration::from_secs(60));
        call.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_makes_more_connections_only_where_one_does_not_carry_what_comes() {
    for (most, made) in [(2, 2), (1, 1)] {
        let (pipes, say, _tasks) = fast(most);
        let dials = || pipes.dials.load(Ordering::SeqCst);
        calls(&say, 2000, "x").await;
        assert_eq!(dials(), 1);
        calls(&say, 1, "much").await;
        calls(&say, 10, "x").await;
        assert_eq!(dials(), made);
        // No more than it may.
        tokio::time::sleep(Duration::from_millis(1100)).await;
        calls(&say, 2, "much").await;
        calls(&say, 10, "x").await;
        assert_eq!(dials(), made);
    }
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_not_needed_any_more_is_let_go_of() {
    let (pipes, say, tasks) = fast(2);
    calls(&say, 1, "much").await;
    calls(&say, 10, "x").await;
    assert_eq!(pipes.dials.load(Ordering::SeqCst), 2);
    let both = tasks.running();
    tokio::time::sleep(Duration::from_secs(61)).await;
    calls(&say, 2000, "x").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(
        tasks.running() < both,
        "{} of {both} tasks",
        tasks.running()
    );
    // Each may have been old enough to be made anew meanwhile.
    assert!(pipes.dials.load(Ordering::SeqCst) <= 4);
}
