//! For how long answers hold, and what a watch tells when they no longer do.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::server::Server;
use super::{a, absent, addresses, cname, srv};
use crate::registry::dns_message::kind;
use crate::registry::{Action, Directory, Dns, Registry, Watcher};

/// Lets the clock run on past what holds, while the server is reached by true sockets.
async fn pass(time: Duration) {
    tokio::time::pause();
    tokio::time::advance(time).await;
    tokio::time::resume();
}

#[tokio::test]
async fn answers_hold_for_the_least_time_to_live_within_bounds() {
    for (ttl, holds) in [(30, 30), (0, 1), (7, 7), (86_400, 60), (u32::MAX, 1)] {
        let server = Server::start().await;
        server.records(&[
            srv(40_000, 1, "one.local", 80),
            cname("one.local", ttl, "host.local"),
            a("host.local", 50_000, "10.0.0.1"),
        ]);
        let registry = server.registry();
        let begun = Instant::now();
        addresses(&registry, "greeter").await.expect("one");
        assert_eq!(server.asked().len(), 2);
        let holds = Duration::from_secs(holds);
        pass((holds - Duration::from_millis(100)).saturating_sub(begun.elapsed())).await;
        addresses(&registry, "greeter").await.expect("one");
        let again = server.asked().len();
        // A machine that took so long over it is no reason to fail.
        assert!(again == 0 || begun.elapsed() >= holds, "{ttl} s still hold");
        pass(holds).await;
        addresses(&registry, "greeter").await.expect("one");
        assert_eq!(server.asked().len(), 2, "{ttl} s are over");
    }
}

#[tokio::test]
async fn that_a_name_is_not_there_holds_shortly() {
    for (told, holds) in [(None, 5), (Some(2), 2), (Some(3600), 5), (Some(0), 1)] {
        let server = Server::start().await;
        server.set(|zone| zone.absent = told);
        let registry = server.registry();
        let (begun, holds) = (Instant::now(), Duration::from_secs(holds));
        absent(&registry, "greeter").await;
        absent(&registry, "greeter").await;
        assert!(server.asked().len() == 1 || begun.elapsed() >= holds);
        pass(holds).await;
        absent(&registry, "greeter").await;
        assert_eq!(server.asked().len(), 1, "{told:?}");
    }
}

async fn next(watcher: &mut dyn Watcher) -> (Action, String) {
    let event = timeout(Duration::from_secs(60), watcher.next());
    let event = event.await.expect("a change").expect("a watch");
    (event.action, event.service.nodes[0].address.clone())
}

#[tokio::test]
async fn a_watch_tells_what_changes_when_the_time_to_live_is_over() {
    let server = Server::start().await;
    server.records(&[a("h", 20, "10.0.0.1"), a("h", 20, "10.0.0.2")]);
    let registry = server.registry();
    let mut watcher = registry.watch(Some("h:1")).await.expect("a watch");
    server.records(&[a("h", 40, "10.0.0.2"), a("h", 40, "10.0.0.3")]);
    pass(Duration::from_secs(21)).await;
    assert_eq!(
        next(&mut *watcher).await,
        (Action::Create, "10.0.0.3:1".into())
    );
    assert_eq!(
        next(&mut *watcher).await,
        (Action::Delete, "10.0.0.1:1".into())
    );
    // Now forty seconds hold.
    server.records(&[]);
    server.asked();
    pass(Duration::from_secs(21)).await;
    let waits = timeout(Duration::from_millis(50), watcher.next()).await;
    assert!(waits.is_err(), "nothing is asked before that is over");
    assert_eq!(server.asked(), []);
    // Nobody says that nodes are gone where suddenly nothing is there at all.
    pass(Duration::from_secs(20)).await;
    assert_eq!(
        next(&mut *watcher).await,
        (Action::Expire, "10.0.0.2:1".into())
    );
    assert_eq!(
        next(&mut *watcher).await,
        (Action::Expire, "10.0.0.3:1".into())
    );
    server.records(&[a("h", 1, "10.0.0.1")]);
    pass(Duration::from_secs(6)).await;
    assert_eq!(
        next(&mut *watcher).await,
        (Action::Create, "10.0.0.1:1".into())
    );
}

#[tokio::test]
async fn a_watch_ends_where_the_server_fails() {
    let server = Server::start().await;
    server.records(&[a("h", 1, "10.0.0.1")]);
    let registry = server.registry();
    let mut watcher = registry.watch(Some("h:1")).await.expect("a watch");
    server.set(|zone| zone.rcode = Some(2));
    pass(Duration::from_secs(2)).await;
    let error = watcher.next().await.expect_err("nothing is known");
    assert_eq!(error.code(), 500, "{error}");
    assert!(registry.watch(None).await.is_err());
    assert!(registry.watch(Some("h:1")).await.is_err());
    assert_eq!(registry.list().await.expect_err("no list").code(), 501);
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let server = Server::start().await;
    server.records(&[a("h", 1, "10.0.0.1")]);
    let registry = server.registry();
    let mut watcher = registry.watch(Some("h:1")).await.expect("a watch");
    server.records(&[a("h", 1, "10.0.0.2")]);
    server.asked();
    pass(Duration::from_secs(2)).await;
    let mut task = std::task::Context::from_waker(std::task::Waker::noop());
    for _ in 0..3 {
        // Not awaited, so that the server has no turn to answer.
        let waits = watcher.next().as_mut().poll(&mut task);
        assert!(waits.is_pending());
    }
    assert_eq!(
        next(&mut *watcher).await,
        (Action::Create, "10.0.0.2:1".into())
    );
    assert_eq!(server.asked().len(), 1, "the question was asked once");
}

#[tokio::test]
async fn the_last_snapshot_serves_on_while_the_server_fails() {
    let server = Server::start().await;
    server.records(&[a("h", 1, "10.0.0.1")]);
    let directory = Directory::new(Arc::new(server.registry()), &server.tasks);
    let view = directory.view("h:1");
    let soon = || Instant::now() + Duration::from_secs(30);
    view.ready(soon()).await.expect("a snapshot");
    let known = || {
        view.nodes()
            .list
            .iter()
            .map(|node| node.address().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(known(), ["10.0.0.1:1"]);
    server.set(|zone| zone.rcode = Some(2));
    pass(Duration::from_secs(2)).await;
    let error = view.refresh(soon()).await.expect_err("the server fails");
    assert_eq!(error.code(), 500);
    assert!(view.is_ready());
    assert_eq!(known(), ["10.0.0.1:1"]);
    // It comes back, and something else is true.
    server.set(|zone| zone.rcode = None);
    server.records(&[a("h", 1, "10.0.0.2")]);
    pass(Duration::from_secs(60)).await;
    while known() != ["10.0.0.2:1"] {
        pass(Duration::from_secs(1)).await;
        let _ = view.refresh(soon()).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lookup_of_many_hosts_that_nobody_tells_of_ends_and_leaves_the_others() {
    let server = Server::start().await;
    let hosts = (10..30).map(|host| srv(30, 1, &format!("h{host}.local"), 80));
    server.records(&hosts.collect::<Vec<_>>());
    server.set(|zone| {
        // The last one in order, so that it comes after those that take all the time.
        zone.beside = vec![a("h29.local", 30, "10.0.0.9")];
        zone.spoil = Some(Arc::new(|asked, answer| match asked.questions[0].kind {
            kind::SRV => vec![answer.write().expect("a datagram")],
            _ => Vec::new(),
        }));
    });
    let mut options = server.options();
    options.timeout = Duration::from_secs(2);
    options.attempts = 6;
    let registry = Dns::new(options, &server.tasks).expect("a domain");
    let begun = Instant::now();
    let found = addresses(&registry, "greeter").await.expect("one");
    assert_eq!(found, ["10.0.0.9:80"]);
    let took = begun.elapsed();
    assert!(took <= Duration::from_secs(11), "{took:?}");
    let known = registry.0.clone().known("greeter".to_owned()).await;
    assert!(!known.expect("it holds").certain, "more may be there");
}
