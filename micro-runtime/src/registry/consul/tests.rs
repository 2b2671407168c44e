//! What stands in tags and bodies, and how bytes that are none of these are passed over.

use std::collections::BTreeMap;

use super::answer::{self, Health, Known};
use super::tags::{Reader, Told};
use super::watch::changes;
use crate::registry::packed::pack;
use crate::registry::{Action, Endpoint, Node, Service};

/// `{"broker":"http"}` and `1.0.0`, packed by Go.
const BROKER: &str = "t-789caa564a2acacf4e2d52b252ca28292950aa05040000ffff364d0600";
const VERSION: &str = "v-789c32d433d03300040000ffff02ce00ee";

fn read(tags: &[&str]) -> (String, Vec<String>) {
    let told = Reader::default().read(tags.iter().copied());
    let mut all: Vec<String> = told
        .metadata
        .iter()
        .map(|(key, value)| format!("{key}={value}"))
        .collect();
    all.extend(told.endpoints.into_iter().map(|endpoint| endpoint.name));
    (told.version, all)
}

#[test]
fn tags_of_go_micro_are_read_among_those_of_others() {
    let upper = BROKER.to_ascii_uppercase().replacen('T', "t", 1);
    let endpoint = format!("e-{}", pack(br#"{"name":"A.B"}"#));
    let other = "t-789cab564a2acacf4e2d52b252ca28292950aa0500364d0600";
    for (tags, version, all) in [
        (&[BROKER, VERSION][..], "1.0.0", &["broker=http"][..]),
        // Go loses everything behind these two, and falls over the third.
        (
            &["traefik.enable=true", BROKER, VERSION],
            "1.0.0",
            &["broker=http"],
        ),
        (
            &["env-prod", &endpoint, BROKER, VERSION],
            "1.0.0",
            &["broker=http", "A.B"],
        ),
        (&["t", "e", "v", BROKER, VERSION], "1.0.0", &["broker=http"]),
        (
            &[BROKER, "traefik.enable=true", VERSION],
            "1.0.0",
            &["broker=http"],
        ),
        // Another zlib, the form before tags were packed, and another case.
        (&[other, VERSION], "1.0.0", &["broker=http"]),
        (&[r#"t={"a":"b"}"#, "v=1.2.3", BROKER], "1.2.3", &["a=b"]),
        (
            &[BROKER, r#"t={"a":"b"}"#, VERSION],
            "1.0.0",
            &["broker=http"],
        ),
        (
            &["env-prod", r#"e={"name":"A.B"}"#, VERSION],
            "1.0.0",
            &["A.B"],
        ),
        (&[&upper, VERSION], "1.0.0", &["broker=http"]),
        // What begins like ours and is not.
        (
            &[BROKER, "v1", "vx-1", "v-", "v-zz", "t-00", "é-00", VERSION],
            "1.0.0",
            &["broker=http"],
        ),
        (
            &["t=nothing", "e=[]", "t={\"a\":1}", BROKER],
            "",
            &["broker=http"],
        ),
        (&[VERSION, "v=2.0.0"], "1.0.0", &[]),
        (&["", "-", "t-", "t="], "", &[]),
        (&[], "", &[]),
    ] {
        let all: Vec<_> = all.iter().map(|text| (*text).to_owned()).collect();
        assert_eq!(read(tags), (version.to_owned(), all), "{tags:?}");
    }
}

#[test]
fn tags_that_are_written_are_read_and_the_protocol_is_the_first() {
    let entries = [
        ("protocol", "mucp"),
        ("a", "1"),
        ("region", "eu é\"\n"),
        ("zone", ""),
    ];
    let told = Told {
        version: "1.0.0-β".into(),
        metadata: entries
            .map(|(key, value)| (key.to_owned(), value.to_owned()))
            .into(),
        endpoints: vec![Endpoint {
            name: "Say.Hello".into(),
            ..Endpoint::default()
        }],
    };
    let tags = Told::tags(&told.version, &told.metadata, &told.endpoints);
    let first = Reader::default().read([&*tags[0]]);
    assert_eq!(
        first.metadata,
        BTreeMap::from([("protocol".into(), "mucp".into())])
    );
    let kinds: String = tags.iter().map(|tag| &tag[..1]).collect();
    assert_eq!(kinds, "ttttev");
    assert_eq!(
        Reader::default().read(tags.iter().map(String::as_str)),
        told
    );
    assert_eq!(
        Told::tags("", &BTreeMap::new(), &[]).len(),
        1,
        "a version, also an empty one"
    );
}

fn captured() -> Vec<u8> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../tests/vectors/consul/health_service_response.json"
    );
    std::fs::read(path).expect("the captured answer")
}

fn entry(service: &str, checks: &str) -> String {
    format!(r#"{{"Node":{{"Address":"10.0.0.9"}},"Service":{service},"Checks":{checks}}}"#)
}

fn nodes(entries: &[String]) -> Vec<(String, String, Health)> {
    let body = format!("[{}]", entries.join(","));
    let nodes = answer::nodes(body.as_bytes(), "s").expect("a list");
    let line = |(id, known): (&String, &Known)| {
        (
            id.clone(),
            known.service.nodes[0].address.clone(),
            known.health,
        )
    };
    nodes.iter().map(line).collect()
}

#[test]
fn an_answer_that_go_micro_reads_is_read() {
    let nodes = answer::nodes(&captured(), "go.micro.srv.greeter").expect("a list");
    let known = nodes.values().next().expect("a node");
    let (service, node) = (&known.service, &known.service.nodes[0]);
    assert_eq!(
        (&*service.version, &*node.address),
        ("1.0.0", "127.0.0.1:35585")
    );
    assert_eq!(node.metadata["protocol"], "mucp");
    assert_eq!(node.metadata["region"], "eu");
    let names: Vec<_> = service
        .endpoints
        .iter()
        .map(|endpoint| &*endpoint.name)
        .collect();
    assert_eq!(names, ["Say.Hello", "Say.Stream", "Sub.Process", "Func"]);
    assert_eq!(known.health, Health::Well);
    assert!(
        answer::nodes(&captured(), "GO.micro.srv.greeter")
            .unwrap()
            .is_empty()
    );
}

#[test]
fn entries_are_read_as_far_as_they_make_sense() {
    let found = nodes(&[
        entry(
            r#"{"ID":"a","Service":"s","Address":"10.0.0.1","Port":80}"#,
            "[]",
        ),
        entry(
            r#"{"ID":"b","Service":"s","Address":"","Port":80,"Tags":null}"#,
            "null",
        ),
        entry(
            r#"{"ID":"c","Service":"s","Address":"[[fd00::2]]:43297"}"#,
            "[]",
        ),
        entry(r#"{"ID":"d","Service":"s","Address":"queue"}"#, "[]"),
        entry(r#"{"ID":"x","Service":"S","Port":80}"#, "[]"),
        entry(r#"{"ID":"","Service":"s","Port":80}"#, "[]"),
        entry(r#"{"ID":"y","Service":"s","Port":"80"}"#, "[]"),
        entry(r#"{"ID":"y","Service":"s","Port":99999}"#, "[]"),
        entry("null", "[]"),
        "7".into(),
        "{}".into(),
    ]);
    let well = |id: &str, address: &str| (id.to_owned(), address.to_owned(), Health::Well);
    assert_eq!(
        found,
        [
            well("a", "10.0.0.1:80"),
            well("b", "10.0.0.9:80"),
            well("c", "[fd00::2]:43297"),
            well("d", "queue")
        ]
    );
}

#[test]
fn a_critical_check_of_node_or_machine_takes_a_node_out_and_a_warning_does_not() {
    let check = |id: &str, status: &str| format!(r#"{{"CheckID":"{id}","Status":"{status}"}}"#);
    let one = |checks: &[String]| {
        let service = r#"{"ID":"a","Service":"s","Port":80}"#;
        nodes(&[entry(service, &format!("[{}]", checks.join(",")))])[0].2
    };
    let well = check("service:a", "passing");
    assert_eq!(
        one(&[well.clone(), check("serfHealth", "warning")]),
        Health::Well
    );
    assert_eq!(
        one(&[well.clone(), check("serfHealth", "critical")]),
        Health::Critical
    );
    for person in ["_service_maintenance:a", "_node_maintenance"] {
        let checks = [check(person, "critical"), check("service:a", "critical")];
        assert_eq!(one(&checks), Health::Maintained, "{person}");
    }
}

#[test]
fn of_a_node_that_two_agents_know_the_better_word_counts() {
    let service = r#"{"ID":"a","Service":"s","Port":80}"#;
    let bad = entry(service, r#"[{"CheckID":"service:a","Status":"critical"}]"#);
    let good = entry(service, "[]");
    assert_eq!(nodes(&[bad.clone(), good.clone()])[0].2, Health::Well);
    assert_eq!(nodes(&[good, bad])[0].2, Health::Well);
}

fn known(address: &str, health: Health) -> BTreeMap<String, Known> {
    let mut service = Service::new("s", "1");
    service.nodes.push(Node::new("a", address));
    BTreeMap::from([("a".to_owned(), Known { service, health })])
}

#[test]
fn a_watch_tells_apart_who_has_left_and_who_is_silent() {
    use Health::{Critical, Maintained, Well};
    let none = BTreeMap::new;
    for (old, new, told) in [
        (none(), known("x", Well), Some(Action::Create)),
        (none(), known("x", Critical), None),
        (known("x", Well), known("x", Well), None),
        (known("x", Well), known("y", Well), Some(Action::Update)),
        (known("x", Well), known("x", Critical), Some(Action::Expire)),
        (
            known("x", Well),
            known("x", Maintained),
            Some(Action::Delete),
        ),
        (known("x", Well), none(), Some(Action::Delete)),
        (known("x", Critical), known("x", Well), Some(Action::Create)),
        (known("x", Critical), known("y", Critical), None),
        (
            known("x", Critical),
            known("x", Maintained),
            Some(Action::Delete),
        ),
        (known("x", Critical), none(), Some(Action::Expire)),
        (
            known("x", Maintained),
            known("x", Well),
            Some(Action::Create),
        ),
        (known("x", Maintained), known("x", Critical), None),
        (known("x", Maintained), none(), None),
    ] {
        let events = changes(&old, &new);
        let actions: Vec<_> = events.iter().map(|event| event.action).collect();
        assert_eq!(
            actions,
            told.into_iter().collect::<Vec<_>>(),
            "{old:?} {new:?}"
        );
    }
}

/// Parts that make JSON and tags wrong in each of the ways there are.
const PARTS: [&[u8]; 16] = [
    b"\"",
    b"\\",
    b"\\u0000",
    b"\\ud800",
    b"[[[[[[[[",
    b"{\"a\":",
    b"null",
    b"-1e999",
    b"]",
    b"}",
    b",",
    b"t-",
    b"t={\"a\":\"b\"}",
    b"e=",
    b"\xff",
    "é".as_bytes(),
];

fn mutate(random: &mut fastrand::Rng, bytes: &mut Vec<u8>) {
    let at = random.usize(..=bytes.len());
    match random.u8(..6) {
        0 if at < bytes.len() => bytes[at] = random.u8(..),
        1 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
        2 if random.u8(..8) == 0 => bytes.truncate(at),
        3 if at < bytes.len() => {
            bytes.remove(at);
        }
        4 => {
            let part = PARTS[random.usize(..PARTS.len())];
            bytes.splice(at..at, part.iter().copied());
        }
        _ => {
            let to = (at + random.usize(..64)).min(bytes.len());
            let piece = bytes[at..to].to_vec();
            let at = random.usize(..=bytes.len());
            bytes.splice(at..at, piece);
        }
    }
}

#[test]
fn changed_answers_are_read_or_refused() {
    let mut random = fastrand::Rng::with_seed(4);
    let (mut read, mut refused) = (0, 0);
    for round in 0..1_000 {
        let mut body = captured();
        for _ in 0..=round % 4 {
            mutate(&mut random, &mut body);
        }
        match answer::nodes(&body, "go.micro.srv.greeter") {
            Ok(nodes) => {
                read += 1;
                for (id, known) in &nodes {
                    let [node] = &known.service.nodes[..] else {
                        panic!("a node an entry");
                    };
                    assert!(node.id == *id && !id.is_empty() && !node.address.is_empty());
                }
            }
            Err(_) => refused += 1,
        }
    }
    assert!(
        read > 100 && refused > 100,
        "{read} read, {refused} refused"
    );
}

#[test]
fn changed_tags_are_read_or_passed_over() {
    let mut random = fastrand::Rng::with_seed(5);
    let endpoint = format!(
        "e-{}",
        pack(br#"{"name":"A.B","request":{"name":"R","values":[]}}"#)
    );
    let (mut read, mut passed) = (0, 0);
    for _ in 0..5_000 {
        let seed = [BROKER, VERSION, &endpoint][random.usize(..3)];
        let mut tag = seed.as_bytes().to_vec();
        for _ in 0..random.usize(1..3) {
            mutate(&mut random, &mut tag);
        }
        let tag = String::from_utf8_lossy(&tag);
        let told = Reader::default().read([&*tag, BROKER, VERSION]);
        assert!(told.metadata.len() <= 2 && told.endpoints.len() <= 1);
        match Reader::default().read([&*tag]) == Told::default() {
            true => passed += 1,
            false => read += 1,
        }
    }
    assert!(
        read > 50 && passed > 500,
        "{read} read, {passed} passed over"
    );
}

#[test]
fn a_tag_that_grows_without_bound_is_passed_over() {
    let bomb = format!("v-{}", pack(&vec![b'1'; 2 << 20]));
    assert_eq!(read(&[&bomb, VERSION]).0, "1.0.0");
    // The same one in each of many nodes is unpacked once.
    let service = format!(r#"{{"ID":"a","Service":"s","Port":1,"Tags":["{bomb}"]}}"#);
    assert_eq!(nodes(&vec![entry(&service, "[]"); 200]).len(), 1);
    let deep = format!(
        "e={}1{}",
        r#"{"request":{"values":["#.repeat(500),
        "]}}".repeat(500)
    );
    assert_eq!(read(&[&deep]).1, Vec::<String>::new());
}

#[test]
fn what_all_tags_of_an_answer_may_take_is_bounded_and_endpoints_leave_room_for_the_rest() {
    // Little text that becomes much memory, in each of many nodes, and another one in each.
    let lists = vec!["[]"; 100_000].join(",");
    let bomb = |number: usize| {
        let json = format!(r#"{{"name":"A{number}","request":{{"values":[{lists}]}}}}"#);
        format!("e-{}", pack(json.as_bytes()))
    };
    let same = bomb(0);
    let entries: Vec<String> = (1..=40)
        .map(|number| {
            let other = if number <= 10 { bomb(number) } else { same.clone() };
            let service = format!(
                r#"{{"ID":"{number}","Service":"s","Port":1,"Tags":["{same}","{other}","{BROKER}","{VERSION}"]}}"#
            );
            entry(&service, "[]")
        })
        .collect();
    let body = format!("[{}]", entries.join(","));
    let mut found = BTreeMap::new();
    let cost = allocation_counter::measure(|| {
        found = answer::nodes(body.as_bytes(), "s").expect("a list");
    });
    assert!(cost.bytes_max < 400 << 20, "{}", cost.bytes_max);
    assert_eq!(found.len(), 40);
    let endpoints = |known: &Known| known.service.endpoints.len();
    assert!(found.values().any(|known| endpoints(known) > 0));
    assert!(found.values().any(|known| endpoints(known) == 0));
    for known in found.values() {
        assert_eq!(known.service.nodes[0].metadata["broker"], "http");
        assert_eq!(known.service.version, "1.0.0");
    }
}
