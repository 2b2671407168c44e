//! What is said of a node, compared with what go-micro v4.11.0 says; what is heard, with what it shows.

use std::net::SocketAddr;

use serde_json::Value;

use super::super::dns::tests::captured;
use super::super::dns::{Data, Message, Name, Question, Record, kind};
use super::super::own::Own;
use super::super::told::{self, Told};
use super::super::zone::Zone;
use crate::registry::packed::unpack;
use crate::registry::{Node, Service};

fn zone() -> Zone {
    Zone::new("micro").expect("a domain")
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn source() -> SocketAddr {
    "127.0.0.1:5353".parse().expect("an address")
}

fn packet(number: usize) -> Message {
    Message::read(&captured()[number - 1]).expect("a message")
}

fn nodes(message: &Message) -> Vec<Told> {
    let zone = zone();
    told::instances(message.told())
        .into_iter()
        .filter_map(|(name, one)| one.node(name, &source(), |of| zone.service(of).ok()))
        .collect()
}

/// The greeter that go-micro has announced, as it was found in its answer.
fn greeter() -> Service {
    let mut found = nodes(&packet(10));
    assert_eq!(found.len(), 1);
    found.remove(0).service
}

fn own() -> Own {
    let greeter = greeter();
    Own::new(&zone(), &greeter, &greeter.nodes[0], &name("vm")).expect("records")
}

/// A record with its text as values: JSON has many forms and zlib more.
fn plain(record: &Record) -> (Record, Option<Value>) {
    match &record.data {
        Data::Txt(text) if !text.is_empty() => {
            let json = unpack(text).expect("packed");
            let record = Record {
                data: Data::Txt(Vec::new()),
                ..record.clone()
            };
            (record, Some(serde_json::from_slice(&json).expect("JSON")))
        }
        _ => (record.clone(), None),
    }
}

/// Both say the same, field by field.
fn assert_same(ours: &Message, theirs: &Message) {
    let ours = Message::read(&ours.write().expect("a datagram")).expect("a message");
    assert_eq!((ours.id, ours.flags), (theirs.id, theirs.flags));
    assert_eq!(ours.questions, theirs.questions);
    let sections = |message: &Message| {
        [&message.answers, &message.authorities, &message.additionals]
            .map(|records| records.iter().map(plain).collect::<Vec<_>>())
    };
    assert_eq!(sections(&ours), sections(theirs));
}

fn answer(question: &Question) -> Option<Message> {
    own().answer(&zone(), question, 120)
}

#[test]
fn answers_and_announcements_are_go_micros() {
    for (asked, answered) in [(7, 8), (9, 10), (11, 12)] {
        let question = &packet(asked).questions[0];
        assert_same(&answer(question).expect("an answer"), &packet(answered));
    }
    for number in [4, 5, 6] {
        assert_same(&own().announcement(120), &packet(number));
    }
    assert_same(&own().announcement(0), &packet(13));
}

#[test]
fn a_node_is_found_in_answers_and_announcements() {
    let greeter = greeter();
    assert_eq!(
        (&*greeter.name, &*greeter.version),
        ("go.micro.srv.greeter", "1.0.0")
    );
    let node = &greeter.nodes[0];
    assert_eq!(
        node.id,
        "go.micro.srv.greeter-11111111-2222-3333-4444-555555555555"
    );
    assert_eq!(node.address, "127.0.0.1:45659");
    assert_eq!(node.metadata["protocol"], "mucp");
    assert_eq!(node.metadata["region"], "eu");
    let endpoints: Vec<_> = greeter
        .endpoints
        .iter()
        .map(|endpoint| &*endpoint.name)
        .collect();
    assert_eq!(endpoints, ["Say.Hello", "Say.Stream"]);
    for number in [4, 12] {
        let found = nodes(&packet(number));
        assert_eq!(found[0].service, greeter, "packet {number}");
        assert_eq!(found[0].ttl, 120);
    }
    let goodbye = packet(13);
    assert!(
        told::instances(goodbye.told())
            .values()
            .all(told::Instance::is_goodbye)
    );
    // The entry of all services is no node.
    assert!(nodes(&packet(8)).is_empty());
}

#[test]
fn what_is_not_asked_is_not_answered() {
    let of = "go.micro.srv.greeter.micro";
    for (text, kind) in [
        ("greeter.micro", kind::PTR),
        ("micro", kind::PTR),
        (of, kind::TXT),
        (of, kind::A),
        ("_services.micro", kind::SRV),
        ("x.go.micro.srv.greeter.micro", kind::ANY),
        ("_services._dns-sd._udp.local", kind::PTR),
    ] {
        assert_eq!(answer(&Question::new(name(text), kind)), None, "{text}");
    }
    let chaos = Question {
        class: 3,
        ..Question::new(name(of), kind::PTR)
    };
    assert_eq!(answer(&chaos), None);
}

#[test]
fn all_the_other_questions_are_answered() {
    let of = "go.micro.srv.greeter.micro";
    let greeter = greeter();
    let node = format!("{}.{of}", greeter.nodes[0].id);
    let records = |text: &str, kind| {
        let question = Question::new(name(text), kind);
        let answer = answer(&question).expect("an answer");
        assert_eq!(answer.questions, [question]);
        answer.answers
    };
    assert_eq!(records(of, kind::ANY).len(), 4);
    // Go Micro asks so for what it has not understood.
    assert_eq!(records(&node, kind::PTR).len(), 3);
    assert_eq!(
        records("go.micro.srv.greeter._services.micro", kind::ANY).len(),
        3
    );
    let meta = records("_services._dns-sd._udp.micro", kind::PTR);
    assert_eq!(meta[0].data, Data::Ptr(name(of)));
    // Names are the same in either case; the bit that asks for an answer of one's own is no class.
    let unicast = Question {
        class: 0x8001,
        ..Question::new(name(&of.to_uppercase()), kind::PTR)
    };
    assert!(unicast.is_unicast());
    assert!(answer(&unicast).is_some());
}

#[test]
fn an_address_must_be_an_ip_with_a_port() {
    let at = |address: &str| {
        let node = Node::new("a-1", address);
        Own::new(&zone(), &Service::new("a", "1"), &node, &name("vm")).map(|_| ())
    };
    for address in ["127.0.0.1:1", "[::1]:1", "[fe80::1%2]:1"] {
        assert_eq!(at(address), Ok(()), "{address}");
    }
    for address in [
        "",
        "localhost:1",
        "127.0.0.1",
        "127.0.0.1:0",
        "0.0.0.0:1",
        "[::]:1",
        "::1",
    ] {
        let error = at(address).expect_err(address);
        assert_eq!(error.code(), 400);
        for said in ["a-1", "an IP and a port", "--server_advertise"] {
            assert!(error.detail().contains(said), "{error}");
        }
    }
}

#[test]
fn what_no_datagram_holds_is_refused_at_once() {
    let mut node = Node::new("a-1", "127.0.0.1:1");
    let mut random = fastrand::Rng::with_seed(1);
    let noise: String = (0..60_000).map(|_| random.alphanumeric()).collect();
    node.metadata.insert("noise".into(), noise);
    let error =
        Own::new(&zone(), &Service::new("a", "1"), &node, &name("vm")).expect_err("too large");
    assert_eq!(error.code(), 400);
    assert!(error.detail().contains("tell less"), "{error}");
}

#[test]
fn nodes_with_one_host_name_in_one_message_keep_their_addresses() {
    let greeter = greeter();
    let records = |id: &str, address: &str| {
        let node = Node::new(id, address);
        let own = Own::new(&zone(), &greeter, &node, &name("vm")).expect("records");
        own.announcement(120).answers
    };
    let mut both = records("one", "10.0.0.1:1");
    both.extend(records("two", "10.0.0.2:2"));
    let message = Message {
        answers: both,
        ..Message::default()
    };
    let addresses: Vec<_> = nodes(&message)
        .into_iter()
        .map(|told| told.service.nodes[0].address.clone())
        .collect();
    assert_eq!(addresses, ["10.0.0.1:1", "10.0.0.2:2"]);
}

#[test]
fn an_address_of_one_link_is_reached_on_the_link_that_told_it() {
    let node = Node::new("a-1", "[fe80::7]:1");
    let own = Own::new(&zone(), &Service::new("a", "1"), &node, &name("vm")).expect("records");
    let source: SocketAddr = "[fe80::9%3]:5353".parse().expect("an address");
    let zone = zone();
    let message = own.announcement(120);
    let instances = told::instances(message.told());
    let (name, instance) = instances.first_key_value().expect("an instance");
    let told = instance
        .node(name, &source, |of| zone.service(of).ok())
        .expect("a node");
    assert_eq!(told.service.nodes[0].address, "[fe80::7%3]:1");
}

#[test]
fn records_that_make_no_node_are_passed_over() {
    let whole = own().announcement(120);
    assert_eq!(nodes(&whole).len(), 1);
    for missing in 0..3 {
        let mut part = whole.clone();
        part.answers.remove(missing);
        assert!(nodes(&part).is_empty(), "without {missing}");
    }
    let with = |at: usize, data: Data| {
        let mut other = whole.clone();
        other.answers[at].data = data;
        nodes(&other).len()
    };
    assert_eq!(with(1, Data::A([0, 0, 0, 0].into())), 0);
    assert_eq!(with(1, Data::A([224, 0, 0, 251].into())), 0);
    assert_eq!(with(2, Data::Txt(b"path=/".to_vec())), 0);
    assert_eq!(
        with(
            2,
            Data::Txt(super::super::text::write(
                &Service::new("other", ""),
                &Node::default()
            ))
        ),
        0
    );
    // The id is what stands before the service's name: here nothing does.
    let mut bare = whole.clone();
    for at in [0, 2] {
        bare.answers[at].name = name("go.micro.srv.greeter.micro");
    }
    assert!(nodes(&bare).is_empty());
}
