//! Talks with peers that the tests forge.

use std::collections::BTreeSet;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tokio::time::{Instant, timeout};

use super::super::dns::{AUTHORITATIVE, Message, Question, RESPONSE, Record, kind};
use super::super::own::Own;
use super::super::zone::Zone;
use super::super::{Mdns, MdnsOptions};
use super::{NEVER, Peer, SOON, greeter, name, options, register, registry};
use crate::registry::{Action, Event, Local, RegisterOptions, Registry, Service, Watcher};
use crate::tasks::Tasks;

fn own(service: &Service) -> Own {
    let zone = Zone::new("micro").expect("a domain");
    Own::new(&zone, service, &service.nodes[0], &name("vm")).expect("records")
}

fn answer(service: &Service, question: &Question) -> Message {
    let zone = Zone::new("micro").expect("a domain");
    own(service)
        .answer(&zone, question, 120)
        .expect("an answer")
}

fn all_greeters() -> Question {
    Question::new(name("greeter.micro"), kind::PTR)
}

async fn watch(registry: &Mdns) -> Box<dyn Watcher> {
    registry.watch(Some("greeter")).await.expect("a watch")
}

async fn next(watcher: &mut Box<dyn Watcher>) -> Event {
    let event = timeout(SOON, watcher.next()).await;
    event.expect("an event").expect("the watch goes on")
}

#[tokio::test]
async fn each_node_is_told_in_a_datagram_of_its_own() {
    let options = options();
    let registry = registry(&options);
    let mut both = greeter("greeter-1", "127.0.0.1:1");
    both.nodes.extend(greeter("greeter-2", "127.0.0.2:2").nodes);
    let hears = Peer::on(&options);
    register(&registry, &both).await;
    let mut announced = BTreeSet::new();
    for _ in 0..2 {
        let (message, source) = hears.hear(SOON).await.expect("an announcement");
        assert_eq!((message.id, message.flags), (0, RESPONSE));
        assert_eq!((message.questions.len(), message.answers.len()), (0, 3));
        assert_eq!(source.port(), options.group.port);
        announced.insert(message.answers[0].name.clone());
    }
    let nodes: BTreeSet<_> = ["greeter-1.greeter.micro", "greeter-2.greeter.micro"]
        .map(name)
        .into();
    assert_eq!(announced, nodes);

    let asks = Peer::beside(&options);
    asks.ask(77, all_greeters()).await;
    let mut answered = BTreeSet::new();
    for _ in 0..2 {
        let (message, _) = asks.hear(SOON).await.expect("an answer");
        assert_eq!((message.id, message.flags), (0, RESPONSE | AUTHORITATIVE));
        assert_eq!(
            (&*message.questions, message.answers.len()),
            (&[all_greeters()][..], 4)
        );
        answered.insert(message.answers[1].name.clone());
    }
    assert_eq!(answered, nodes);
    assert!(asks.hear(NEVER).await.is_none());
    // All services: one entry for the two nodes.
    asks.ask(78, Question::new(name("_services.micro"), kind::PTR))
        .await;
    assert!(asks.hear(SOON).await.is_some());
    assert!(asks.hear(NEVER).await.is_none());
}

#[tokio::test]
async fn who_asks_for_an_answer_of_its_own_gets_its_id() {
    let options = options();
    let registry = registry(&options);
    register(&registry, &greeter("greeter-1", "127.0.0.1:1")).await;
    let asks = Peer::beside(&options);
    let unicast = Question {
        class: 0x8001,
        ..all_greeters()
    };
    asks.ask(77, unicast.clone()).await;
    let (message, _) = asks.hear(SOON).await.expect("an answer");
    assert_eq!((message.id, &*message.questions), (77, &[unicast][..]));
}

#[tokio::test(start_paused = true)]
async fn a_node_is_announced_three_times_and_told_once() {
    let options = options();
    let (here, there) = (registry(&options), registry(&options));
    let hears = Peer::on(&options);
    let mut watcher = watch(&there).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    register(&here, &one).await;
    // Heartbeats are no news.
    register(&here, &one).await;
    let begun = Instant::now();
    let mut announced = Vec::new();
    while let Some((message, _)) = hears.hear(SOON).await {
        if message.is_response() {
            announced.push(begun.elapsed().as_secs());
        }
    }
    assert_eq!(announced, [0, 1, 3]);
    let event = next(&mut watcher).await;
    assert_eq!(event, Event::new(Action::Create, one.clone()));
    assert!(timeout(SOON, watcher.next()).await.is_err());
    // News are announced and answered.
    let moved = greeter("greeter-1", "127.0.0.1:2");
    register(&here, &moved).await;
    assert_eq!(
        next(&mut watcher).await,
        Event::new(Action::Update, moved.clone())
    );
    let asks = Peer::beside(&options);
    asks.ask(1, all_greeters()).await;
    let (message, _) = asks.hear(SOON).await.expect("an answer");
    assert_eq!(message.answers, answer_of(&moved));
    here.deregister(&moved).await.expect("deregistered");
    assert_eq!(next(&mut watcher).await, Event::new(Action::Delete, moved));
}

/// The records of an answer, with this machine's name.
fn answer_of(service: &Service) -> Vec<Record> {
    let zone = Zone::new("micro").expect("a domain");
    let own = Own::new(
        &zone,
        service,
        &service.nodes[0],
        &super::super::host::name(),
    );
    let answer = own.expect("records").answer(&zone, &all_greeters(), 120);
    answer.expect("an answer").answers
}

#[tokio::test]
async fn a_reply_to_another_question_is_no_answer() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let forged = async {
        let (asked, from) = peer.question().await;
        let right = answer(&greeter("greeter-1", "127.0.0.1:1"), &all_greeters());
        let forge = async |change: fn(&mut Message)| {
            let mut wrong = answer(&greeter("greeter-2", "127.0.0.1:2"), &all_greeters());
            change(&mut wrong);
            peer.answer(&wrong, from).await;
        };
        forge(|wrong| wrong.questions.clear()).await;
        forge(|wrong| wrong.questions[0].name = name("other.micro")).await;
        forge(|wrong| wrong.questions[0].kind = kind::SRV).await;
        forge(|wrong| wrong.questions[0].class = 3).await;
        // No answer; one to another kind of question; a failure; of another asker.
        forge(|wrong| wrong.flags = 0).await;
        forge(|wrong| wrong.flags |= 0x2800).await;
        forge(|wrong| wrong.flags |= 3).await;
        let id = asked.id.wrapping_add(1).max(1);
        let mut other = answer(&greeter("greeter-2", "127.0.0.1:2"), &all_greeters());
        other.id = id;
        peer.answer(&other, from).await;
        // A goodbye.
        forge(|wrong| wrong.answers.iter_mut().for_each(|record| record.ttl = 0)).await;
        peer.answer(&right, from).await;
        // The same again, as each interface gives it.
        peer.answer(&right, from).await;
    };
    let (found, ()) = tokio::join!(registry.get("greeter"), forged);
    assert_eq!(found.expect("found"), [greeter("greeter-1", "127.0.0.1:1")]);
}

#[tokio::test]
async fn a_goodbye_is_not_overruled_by_a_lookup_that_began_before() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let mut watcher = watch(&registry).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    let talk = async {
        // Two lookups, told apart by their ports.
        let (_, first) = peer.question().await;
        let second = loop {
            let (_, from) = peer.question().await;
            if from.port() != first.port() {
                break from;
            }
        };
        peer.answer(&answer(&one, &all_greeters()), first).await;
        assert_eq!(next(&mut watcher).await.action, Action::Create);
        peer.tell(&own(&one).announcement(0)).await;
        assert_eq!(next(&mut watcher).await.action, Action::Delete);
        // An answer that was late.
        peer.answer(&answer(&one, &all_greeters()), second).await;
    };
    let (first, second, ()) = tokio::join!(registry.get("greeter"), registry.get("greeter"), talk);
    for found in [first, second] {
        assert_eq!(found.expect_err("it has left").code(), 404);
    }
    let more = timeout(NEVER, watcher.next()).await;
    assert!(more.is_err(), "{more:?}");
    // It may come back.
    peer.tell(&own(&one).announcement(120)).await;
    assert_eq!(next(&mut watcher).await.action, Action::Create);
}

#[tokio::test]
async fn what_an_answer_leaves_out_is_asked_for() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let one = greeter("greeter-1", "127.0.0.1:1");
    let talk = async {
        let (_, from) = peer.question().await;
        let mut part = answer(&one, &all_greeters());
        part.answers.truncate(1);
        peer.answer(&part, from).await;
        let instance = Question::new(name("greeter-1.greeter.micro"), kind::ANY);
        loop {
            let (asked, from) = peer.question().await;
            if asked.questions == [instance.clone()] {
                peer.answer(&answer(&one, &instance), from).await;
                return;
            }
        }
    };
    let (found, ()) = tokio::join!(registry.get("greeter"), talk);
    assert_eq!(found.expect("found"), std::slice::from_ref(&one));
}

#[tokio::test]
async fn a_question_that_nobody_answers_is_asked_once_more() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let one = greeter("greeter-1", "127.0.0.1:1");
    let talk = async {
        let (first, from) = peer.question().await;
        // Those of the other interfaces come at once, the second a while later.
        let begun = Instant::now();
        loop {
            let (again, to) = peer.question().await;
            if to == from && begun.elapsed() > options.query_time / 4 {
                assert_eq!(again, first);
                peer.answer(&answer(&one, &all_greeters()), from).await;
                return;
            }
        }
    };
    let (found, ()) = tokio::join!(registry.get("greeter"), talk);
    assert_eq!(found.expect("found"), std::slice::from_ref(&one));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_falls_silent_expires_after_its_time() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let mut watcher = watch(&registry).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    peer.tell(&own(&one).announcement(120)).await;
    assert_eq!(
        next(&mut watcher).await,
        Event::new(Action::Create, one.clone())
    );
    let begun = Instant::now();
    let event = watcher.next().await.expect("an event");
    assert_eq!(event, Event::new(Action::Expire, one));
    let seconds = begun.elapsed().as_secs();
    assert!((119..=121).contains(&seconds), "{seconds} s");
    // It was asked, again and again, whether it is there.
    let mut asked = 0;
    while let Some((message, _)) = peer.hear(NEVER).await {
        asked += usize::from(message.questions == [all_greeters()]);
    }
    assert!(asked >= 3, "{asked} questions");
}

#[tokio::test]
async fn a_node_that_answers_does_not_expire() {
    let options = options().ttl(1);
    let (here, there) = (registry(&options), registry(&options));
    let mut watcher = watch(&there).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    register(&here, &one).await;
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    // Its announcements end after three seconds, and hold for ten.
    let more = timeout(Duration::from_secs(15), watcher.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test(start_paused = true)]
async fn a_forged_time_to_live_does_not_keep_a_node_for_ever() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let mut watcher = watch(&registry).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    peer.tell(&own(&one).announcement(u32::MAX)).await;
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    let begun = Instant::now();
    let event = timeout(Duration::from_secs(1000), watcher.next()).await;
    let event = event.expect("an end").expect("the watch goes on");
    assert_eq!(event.action, Action::Expire);
    assert!(begun.elapsed() <= Duration::from_secs(121));
}

#[tokio::test]
async fn what_nobody_watches_is_forgotten() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let mut watcher = watch(&registry).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    peer.tell(&own(&one).announcement(120)).await;
    assert_eq!(next(&mut watcher).await.action, Action::Create);
    let count = || registry.0.engine.seen().count(&name("greeter.micro"));
    let other = watch(&registry).await;
    drop(watcher);
    assert_eq!(count(), 1);
    drop(other);
    assert_eq!(count(), 0);
}

#[tokio::test]
async fn nothing_is_open_before_the_first_use_and_after_the_last() {
    let options = options();
    let port = options.group.port;
    // Without sharing: refused while anybody has the port.
    let is_free = || std::net::UdpSocket::bind(("0.0.0.0", port)).is_ok();
    let tasks = Tasks::new();
    let registry = Mdns::new(&tasks, options.clone()).expect("a registry");
    assert!(is_free() && tasks.running() == 0);
    let one = greeter("greeter-1", "127.0.0.1:1");
    register(&registry, &one).await;
    assert!(!is_free() && tasks.running() > 0);
    let peer = Peer::on(&options);
    // A clone and a watcher keep it.
    let watcher = watch(&registry).await;
    let clone = registry.clone();
    drop((registry, watcher));
    assert!(!is_free());
    drop(clone);
    // It says goodbye for what it still has.
    loop {
        let (message, _) = peer.hear(SOON).await.expect("a goodbye");
        if message.is_response() && message.answers[0].ttl == 0 {
            break;
        }
    }
    timeout(SOON, tasks.idle()).await.expect("its tasks end");
    drop(peer);
    let soon = Instant::now() + SOON;
    while !is_free() {
        assert!(Instant::now() < soon, "the port stays open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_dns_cannot_hold_is_registered_nowhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let base = folder.path().join("micro");
    let options = options().folder(&base);
    let registry = registry(&options);
    let long = format!("{}-11111111-2222-3333-4444-555555555555", "x".repeat(27));
    let mut two = greeter("greeter-1", "127.0.0.1:1");
    two.nodes.extend(greeter(&long, "127.0.0.1:2").nodes);
    for wrong in [two, greeter("greeter-1", "localhost:1")] {
        let error = registry.register(&wrong, RegisterOptions::default()).await;
        assert_eq!(error.expect_err("refused").code(), 400);
    }
    let local = Local::at(&base, &Tasks::new()).expect("a folder");
    assert!(local.list().await.expect("a list").is_empty());
    assert_eq!(registry.get("greeter").await.expect_err("none").code(), 404);
}

#[tokio::test]
async fn where_multicast_does_not_work_the_files_serve_alone() {
    let options = options();
    // Who has the port does not share it.
    let _v4 = std::net::UdpSocket::bind(("0.0.0.0", options.group.port)).expect("the port");
    let v6 = Socket::new(Domain::IPV6, Type::DGRAM, None).expect("a socket");
    v6.set_only_v6(true).expect("IPv6 alone");
    let all = SocketAddr::from((Ipv6Addr::UNSPECIFIED, options.group.port));
    v6.bind(&all.into()).expect("the port");
    let alone = registry(&options);
    let one = greeter("greeter-1", "127.0.0.1:1");
    let refused = alone.register(&one, RegisterOptions::default()).await;
    assert_eq!(refused.expect_err("nowhere to register").code(), 500);
    assert!(alone.watch(None).await.is_err());

    let folder = tempfile::tempdir().expect("a folder");
    let options = options.folder(folder.path().join("micro"));
    let (here, there) = (registry(&options), registry(&options));
    let mut watcher = watch(&there).await;
    register(&here, &one).await;
    assert_eq!(
        next(&mut watcher).await,
        Event::new(Action::Create, one.clone())
    );
    assert_eq!(
        there.get("greeter").await.expect("found"),
        std::slice::from_ref(&one)
    );
    here.deregister(&one).await.expect("deregistered");
    assert_eq!(next(&mut watcher).await, Event::new(Action::Delete, one));
}

/// A registry with a file registry beside, and one of the same machine that watches.
async fn both_ways(options: &MdnsOptions) -> (Mdns, Mdns, Box<dyn Watcher>) {
    let (here, there) = (registry(options), registry(options));
    let mut watcher = watch(&there).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    register(&here, &one).await;
    assert_eq!(next(&mut watcher).await, Event::new(Action::Create, one));
    let soon = Instant::now() + SOON;
    while there.0.engine.seen().count(&name("greeter.micro")) == 0 {
        assert!(Instant::now() < soon, "it was not heard");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (here, there, watcher)
}

#[tokio::test]
async fn a_node_that_two_ways_tell_of_is_one_and_ends_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options().folder(folder.path().join("micro"));
    let (here, there, mut watcher) = both_ways(&options).await;
    let found = there.get("greeter").await.expect("found");
    assert_eq!(found, [greeter("greeter-1", "127.0.0.1:1")]);
    here.deregister(&found[0]).await.expect("deregistered");
    assert_eq!(
        next(&mut watcher).await,
        Event::new(Action::Delete, found[0].clone())
    );
    let more = timeout(NEVER, watcher.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn a_goodbye_is_not_overruled_by_files_that_were_looked_at_before() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options().folder(folder.path().join("micro"));
    let (here, there, mut watcher) = both_ways(&options).await;
    let one = greeter("greeter-1", "127.0.0.1:1");
    // All watchers share a look for a while: this one shows the node.
    let local = there.0.local().expect("a local registry").clone();
    // Time for the watcher to look, if it were asked.
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(local.get("greeter").await.is_ok());
    here.deregister(&one).await.expect("deregistered");
    while there.0.engine.seen().count(&name("greeter.micro")) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(next(&mut watcher).await, Event::new(Action::Delete, one));
    let more = timeout(NEVER, watcher.next()).await;
    assert!(more.is_err(), "{more:?}");
}

#[tokio::test]
async fn a_node_whose_file_is_gone_goes_at_once_unless_it_answers() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = options().folder(folder.path().join("micro"));
    let (here, there, mut watcher) = both_ways(&options).await;
    // Somebody cleans up: the node lives.
    let one = greeter("greeter-1", "127.0.0.1:1");
    let local = here.0.local().expect("a local registry").clone();
    local.deregister(&one).await.expect("gone");
    let quiet = timeout(Duration::from_secs(2), watcher.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    assert_eq!(
        there.get("greeter").await.expect("found"),
        std::slice::from_ref(&one)
    );
    // It is killed: nobody says goodbye, and nobody answers.
    register(&here, &one).await;
    let quiet = timeout(Duration::from_secs(1), watcher.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
    here.0.engine.fall_silent();
    local.deregister(&one).await.expect("gone");
    let begun = Instant::now();
    let event = next(&mut watcher).await;
    assert_eq!(event, Event::new(Action::Delete, one));
    assert!(begun.elapsed() < Duration::from_secs(5));
}
