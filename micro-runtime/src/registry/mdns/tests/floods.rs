//! Junk, bombs and floods, by the port and by replies: nothing panics, hangs or holds much.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::super::dns::tests::captured;
use super::super::dns::{Data, Message, Question, RESPONSE, Record, kind};
use super::super::own::Own;
use super::super::seen::Seen;
use super::super::told;
use super::super::zone::Zone;
use super::{NEVER, Peer, SOON, greeter, name, options, register, registry};
use crate::registry::packed::pack;
use crate::registry::{Registry, Service};

fn zone() -> Zone {
    Zone::new("micro").expect("a domain")
}

fn announcement(service: &Service) -> Message {
    let own = Own::new(&zone(), service, &service.nodes[0], &name("vm")).expect("records");
    own.announcement(120)
}

/// Makes an announcement one of another node.
fn rename(message: &mut Message, number: u32) {
    let instance = name(&format!("greeter-{number}.greeter.micro"));
    message.answers[0].name = instance.clone();
    message.answers[2].name = instance;
}

/// `message` with something wrong in its names, records or text, and still a message.
fn mutate(random: &mut fastrand::Rng, message: &mut Message) {
    let names = [
        "vm",
        "greeter.micro",
        "greeter-1.greeter.micro",
        "_services.micro",
        "x.greeter.micro",
        "micro",
    ];
    let name = name(names[random.usize(..names.len())]);
    let count = message.answers.len();
    if count == 0 {
        return;
    }
    let record = &mut message.answers[random.usize(..count)];
    match random.u8(..9) {
        0 => record.name = name,
        1 => record.ttl = [0, 1, 120, u32::MAX][random.usize(..4)],
        2 => record.class = random.u16(..),
        3 => record.data = Data::Ptr(name),
        4 => record.data = Data::A([0, 0, 0, random.u8(..)].into()),
        5 => {
            if let Data::Txt(text) = &mut record.data
                && !text.is_empty()
            {
                let at = random.usize(..text.len());
                match random.bool() {
                    true => text[at] = random.u8(..),
                    false => text.truncate(at),
                }
            }
        }
        6 => {
            let again = record.clone();
            message.answers.push(again);
        }
        7 => {
            message.answers.remove(random.usize(..count));
        }
        _ => message.answers.swap(0, count - 1),
    }
}

#[test]
fn whatever_a_message_tells_costs_little() {
    let mut random = fastrand::Rng::with_seed(3);
    let zone = zone();
    let source = "127.0.0.1:5353".parse().expect("an address");
    let mut seeds: Vec<Message> = captured()
        .iter()
        .map(|bytes| Message::read(bytes).expect("a message"))
        .filter(Message::is_response)
        .collect();
    seeds.push(announcement(&greeter("greeter-1", "127.0.0.1:1")));
    let (mut nodes, mut none) = (0, 0);
    for _ in 0..20_000 {
        let mut message = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(1..5) {
            mutate(&mut random, &mut message);
        }
        let mut found = 0;
        let cost = allocation_counter::measure(|| {
            for (name, instance) in told::instances(message.told()) {
                let told = instance.node(name, &source, |of| zone.service(of).ok());
                found += usize::from(told.is_some());
            }
        });
        assert!(cost.bytes_max < 256 * 1024, "{}", cost.bytes_max);
        match found {
            0 => none += 1,
            _ => nodes += 1,
        }
    }
    assert!(nodes > 2_000 && none > 2_000, "{nodes} and {none}");
}

/// An announcement whose text unpacks to a megabyte of `json`.
fn bomb(json: &str) -> Message {
    let mut message = announcement(&greeter("greeter-1", "127.0.0.1:1"));
    message.answers[2].data = Data::Txt(pack(json.as_bytes()).into_bytes());
    message
}

#[test]
fn text_that_grows_is_cut() {
    let spaces = |size: usize| format!("{}{{\"Service\":\"greeter\"}}", " ".repeat(size));
    let deep = "[".repeat(900_000);
    let endpoints = |count: usize| {
        let list = vec!["{}"; count].join(",");
        format!("{{\"Service\":\"greeter\",\"Endpoints\":[{list}]}}")
    };
    let metadata = (0..80_000)
        .map(|key| format!("\"{key}\":\"\""))
        .collect::<Vec<_>>();
    let metadata = metadata.join(",");
    let metadata = format!("{{\"Service\":\"greeter\",\"Metadata\":{{{metadata}}}}}");
    let zone = zone();
    let source = "127.0.0.1:5353".parse().expect("an address");
    for (json, is_node, most) in [
        (spaces(1 << 19), true, 4 << 20),
        (spaces(1 << 20), false, 4 << 20),
        (deep, false, 4 << 20),
        (endpoints(16_000), true, 16 << 20),
        (endpoints(300_000), false, 4 << 20),
        (metadata, true, 32 << 20),
    ] {
        let message = bomb(&json);
        let read = || {
            let instances = told::instances(message.told());
            let (name, instance) = instances.first_key_value().expect("an instance");
            instance.node(name, &source, |of| zone.service(of).ok())
        };
        let mut told = None;
        let cost = allocation_counter::measure(|| told = read());
        let (found, size) = (told.is_some(), told.as_ref().map_or(0, |told| told.size));
        let mut copy = None;
        let kept = allocation_counter::measure(|| copy = told.clone());
        assert_eq!(found, is_node, "{json:.40}");
        assert!(cost.bytes_max < most, "{json:.40}: {}", cost.bytes_max);
        drop(copy);
        // What is kept is counted in full, or nearly.
        assert!(
            kept.bytes_current <= 2 * size as i64,
            "{json:.40}: {}",
            kept.bytes_current
        );
    }
}

#[tokio::test]
async fn junk_at_the_port_stops_nothing() {
    let options = options();
    let registry = registry(&options);
    let one = greeter("greeter-1", "127.0.0.1:1");
    register(&registry, &one).await;
    let _watcher = registry.watch(None).await.expect("a watch");
    let peer = Peer::beside(&options);
    let mut random = fastrand::Rng::with_seed(4);
    let seeds = captured();
    for round in 0..2_000 {
        let mut bytes = seeds[random.usize(..seeds.len())].clone();
        for _ in 0..random.usize(0..6) {
            let at = random.usize(..bytes.len());
            match random.bool() {
                true => bytes[at] = random.u8(..),
                false => bytes.truncate(at.max(1)),
            }
        }
        peer.send(&bytes, peer.group).await;
        if round % 64 == 0 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(registry.get("greeter").await.expect("found"), [one]);
}

#[tokio::test]
async fn a_flood_of_replies_ends_with_the_lookup() {
    let options = options();
    let (registry, peer) = (registry(&options), Peer::on(&options));
    let flood = async {
        let (_, from) = peer.question().await;
        let mut reply = announcement(&greeter("greeter-0", "127.0.0.1:1"));
        reply.questions = vec![Question::new(name("greeter.micro"), kind::PTR)];
        reply.flags = RESPONSE;
        for number in 0_u32..6_000 {
            rename(&mut reply, number);
            peer.answer(&reply, from).await;
            if number % 32 == 0 {
                tokio::task::yield_now().await;
            }
        }
    };
    let begun = Instant::now();
    let lookup = async {
        let found = registry.get("greeter").await.expect("found");
        (found, begun.elapsed())
    };
    let ((found, took), ()) = tokio::join!(lookup, flood);
    let nodes = found
        .iter()
        .map(|service| service.nodes.len())
        .sum::<usize>();
    assert!((1..=4096).contains(&nodes), "{nodes}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn no_more_nodes_are_remembered_than_there_is_room_for() {
    let options = options();
    let registry = registry(&options);
    let _watcher = registry.watch(Some("greeter")).await.expect("a watch");
    let of = name("greeter.micro");
    let zone = zone();
    let source = "127.0.0.1:5353".parse().expect("an address");
    let message = announcement(&greeter("greeter-0", "127.0.0.1:1"));
    let hear = |number: u32, port: u16| {
        let mut message = message.clone();
        rename(&mut message, number);
        if let Data::Srv { port: told, .. } = &mut message.answers[0].data {
            *told = port;
        }
        for (name, instance) in told::instances(message.told()) {
            let told = instance.node(name, &source, |of| zone.service(of).ok());
            registry.0.engine.hear(name, &of, told.expect("a node"));
        }
    };
    let count = || registry.0.engine.seen().count(&of);
    for number in 0..4_200 {
        hear(number, 1);
    }
    assert_eq!(count(), 4096);
    // One that is known is heard all the same.
    hear(7, 2);
    assert_eq!(count(), 4096);
    // Large ones: a hundred of them are too much.
    let other = super::registry(&options);
    let _watcher = other.watch(Some("greeter")).await.expect("a watch");
    let large = "x".repeat(900_000);
    let mut service = greeter("greeter-0", "127.0.0.1:1");
    service.nodes[0].metadata.insert("noise".into(), large);
    let mut message = announcement(&service);
    for number in 0..100 {
        rename(&mut message, number);
        for (name, instance) in told::instances(message.told()) {
            let told = instance.node(name, &source, |of| zone.service(of).ok());
            other.0.engine.hear(name, &of, told.expect("a node"));
        }
    }
    let count = other.0.engine.seen().count(&of);
    assert!((30..40).contains(&count), "{count}");
}

#[tokio::test]
async fn a_flood_of_questions_gets_so_many_answers_and_no_more() {
    let options = options();
    let registry = registry(&options);
    let mut one = greeter("greeter-1", "127.0.0.1:1");
    let mut random = fastrand::Rng::with_seed(5);
    let noise: String = (0..20_000).map(|_| random.alphanumeric()).collect();
    one.nodes[0].metadata.insert("noise".into(), noise);
    register(&registry, &one).await;
    let peer = Peer::beside(&options);
    let begun = Instant::now();
    let mut bytes = 0;
    for _ in 0..1_000 {
        peer.ask(1, Question::new(name("greeter.micro"), kind::PTR))
            .await;
        if let Some((answer, _)) = peer.hear(Duration::from_millis(2)).await {
            bytes += answer.write().expect("a datagram").len();
        }
    }
    while let Some((answer, _)) = peer.hear(NEVER).await {
        bytes += answer.write().expect("a datagram").len();
    }
    let most = (4 << 20) + (begun.elapsed().as_secs() as usize + 2) * (1 << 20);
    assert!((1 << 20..most).contains(&bytes), "{bytes} of {most}");
    // Who asks later is answered.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let found = timeout(SOON, registry.get("greeter")).await;
    assert_eq!(found.expect("in time").expect("found"), [one]);
}

#[tokio::test(start_paused = true)]
async fn a_flood_of_announcements_is_read_so_far_and_no_farther() {
    let options = options();
    let registry = registry(&options);
    let _watcher = registry.watch(Some("greeter")).await.expect("a watch");
    let of = name("greeter.micro");
    let source = "127.0.0.1:5353".parse().expect("an address");
    let mut message = announcement(&greeter("greeter-0", "127.0.0.1:1"));
    let mut tell = async |number: u32| {
        rename(&mut message, number);
        let mut datagram = message.write().expect("a datagram");
        // What stands behind the last record is passed over, and counts.
        datagram.resize(64_000, 0);
        registry.0.engine.handle(&datagram, source).await;
        registry.0.engine.seen().count(&of)
    };
    let mut heard = 0;
    for number in 0..400 {
        heard = tell(number).await;
    }
    assert_eq!(heard, (16 << 20) / 64_000);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(tell(999).await, heard + 1);
}

#[test]
fn a_record_of_a_type_that_nobody_reads_is_passed_over() {
    let mut message = announcement(&greeter("greeter-1", "127.0.0.1:1"));
    let host = message.answers[1].name.clone();
    message
        .answers
        .insert(0, Record::new(host, 120, Data::Other(47)));
    assert_eq!(told::instances(message.told()).len(), 1);
}

#[test]
fn a_message_with_many_questions_is_answered_without_holding_all_answers() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let (registry, options) = runtime.block_on(async {
        let options = options();
        let registry = registry(&options);
        let mut random = fastrand::Rng::with_seed(6);
        let noise: String = (0..20_000).map(|_| random.alphanumeric()).collect();
        for number in 0..40 {
            let mut one = greeter(&format!("greeter-{number}"), "127.0.0.1:1");
            let node = &mut one.nodes[0];
            node.metadata.insert("noise".into(), noise.clone());
            register(&registry, &one).await;
        }
        (registry, options)
    });
    let question = Question::new(name("greeter.micro"), kind::PTR);
    let message = Message {
        questions: vec![question; 16],
        ..Message::default()
    };
    let datagram = message.write().expect("a datagram");
    // A port at which nobody reads.
    let peer = runtime.block_on(async { Peer::beside(&options) });
    let port = peer.socket.local_addr().expect("bound").port();
    let source = ([127, 0, 0, 1], port).into();
    let cost = allocation_counter::measure(|| {
        runtime.block_on(registry.0.engine.handle(&datagram, source));
    });
    assert!(cost.bytes_max < 2 << 20, "{}", cost.bytes_max);
    // What the bucket has no room for is not built.
    let cost = allocation_counter::measure(|| {
        runtime.block_on(registry.0.engine.handle(&datagram, source));
    });
    assert!(cost.bytes_total < 8 << 20, "{}", cost.bytes_total);
}

#[tokio::test(start_paused = true)]
async fn a_record_that_holds_shortly_makes_nobody_ask_again_and_again() {
    let (of, zone) = (name("greeter.micro"), zone());
    let source = "127.0.0.1:5353".parse().expect("an address");
    let mut message = announcement(&greeter("greeter-1", "127.0.0.1:1"));
    for record in &mut message.answers {
        record.ttl = 1;
    }
    let instances = told::instances(message.told());
    let (instance, node) = instances.first_key_value().expect("an instance");
    let told = node.node(instance, &source, |of| zone.service(of).ok());
    let told = told.expect("a node");
    // Once, and each second.
    for times in [1, 12] {
        let mut seen = Seen::default();
        let begun = Instant::now();
        seen.watch(Some(&of), begun);
        seen.asks(&of, begun);
        let mut asked = 0;
        for tick in 0..480_u32 {
            let now = begun + Duration::from_millis(50) * tick;
            if tick % 20 == 0 && tick / 20 < times {
                seen.hear(instance, &of, told.clone(), now);
            }
            seen.expire(now);
            if !seen.take_questions(now).is_empty() {
                seen.asks(&of, now);
                asked += 1;
            }
        }
        assert_eq!(seen.count(&of), 0);
        assert!((1..=2).contains(&asked), "{asked} questions in 24 s");
    }
}
