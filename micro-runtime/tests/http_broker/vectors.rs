//! What Go Micro posts, answers and registers.

use std::path::PathBuf;

use micro_runtime::Metadata;
use micro_runtime::broker::{Broker, Message};
use serde_json::Value;

use crate::world::{BROADCAST, Fake, OK, World, answer, open, status, subscribe, undated};

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors"))
}

fn read(name: &str) -> String {
    let path = folder().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

const POSTS: [&str; 4] = [
    "httpbroker/go_broadcast",
    "httpbroker/go_queue",
    "rpc/broker_publish_json",
    "rpc/broker_publish_protobuf",
];

/// The node id, the header and the body in base64 of a captured post.
fn parts(post: &str) -> (String, Metadata, String) {
    let id = post.split(['=', ' ']).nth(2).unwrap().to_owned();
    let body: Value = serde_json::from_str(post.split_once("\r\n\r\n").unwrap().1).unwrap();
    let header = body["Header"].as_object().unwrap().iter();
    let header = header.map(|(key, value)| (key.clone(), value.as_str().unwrap().to_owned()));
    (
        id,
        header.collect(),
        body["Body"].as_str().unwrap().to_owned(),
    )
}

#[tokio::test]
async fn what_go_posts_is_delivered_and_answered_as_go_does() {
    for name in POSTS {
        let world = World::default();
        let post = read(&format!("{name}.c2s.bin"));
        let (id, header, body) = parts(&post);
        let topic = header.get("Micro-Topic").unwrap();
        let broker = world.broker();
        let mut subscription = open(&broker, topic, "").await;
        let node = world.node().await;
        assert_eq!(node.id.len(), id.len(), "{name}: the form of ids");
        let post = post.replace(&id, &node.id);
        let (said, ()) = tokio::join!(world.say(&node.address, post.as_bytes()), async {
            let delivery = subscription.next().await.unwrap();
            assert_eq!(delivery.topic, topic, "{name}");
            assert_eq!(delivery.message.header.len(), header.len(), "{name}");
            for (key, value) in header.iter() {
                assert_eq!(delivery.message.header.get(key), Some(value), "{name}");
            }
            assert_eq!(base64(&delivery.message.body), body, "{name}");
            // A handler's failure is none of the publisher's business.
            delivery.nack();
        });
        assert_eq!(
            undated(&said),
            undated(&read("httpbroker/go_queue.s2c.bin"))
        );
        let date = said.lines().find_map(|line| line.strip_prefix("Date: "));
        assert_eq!(date.unwrap().len(), "Sat, 21 Nov 2026 08:16:39 GMT".len());
    }
}

#[tokio::test]
async fn what_is_posted_has_the_bytes_of_go() {
    for name in POSTS {
        let world = World::default();
        let go = read(&format!("{name}.c2s.bin"));
        let (id, header, body) = parts(&go);
        let topic = header.get("Micro-Topic").unwrap().to_owned();
        let mut fake = Fake::listen(&world, OK).await;
        world.register(&topic, BROADCAST, &id, &fake.address).await;
        let mut message = Message::new(from_base64(&body));
        // In another order, and with a topic that gives way.
        let pairs: Vec<_> = header.iter().collect();
        for (key, value) in pairs.into_iter().rev() {
            message.header.set(key.to_owned(), value.to_owned());
        }
        message.header.set("micro-topic", "another");
        world.broker().publish(&topic, message).await.unwrap();
        let ours = fake.posts.recv().await.unwrap();
        let (go_head, go_body) = go.split_once("\r\n\r\n").unwrap();
        let (our_head, our_body) = ours.split_once("\r\n\r\n").unwrap();
        assert_eq!(our_body, go_body, "{name}");
        assert_eq!(our_head.lines().next(), go_head.lines().next(), "{name}");
        let field = |head: &str, name: &str| {
            let mut fields = head.lines().filter_map(|line| line.split_once(": "));
            fields.find_map(|(known, value)| (known == name).then(|| value.to_owned()))
        };
        for same in ["Content-Length", "Content-Type"] {
            assert_eq!(
                field(our_head, same),
                field(go_head, same),
                "{name}: {same}"
            );
        }
        assert_eq!(field(our_head, "Host").as_deref(), Some(&*fake.address));
        assert!(
            field(our_head, "User-Agent")
                .unwrap()
                .starts_with("micro-rust/")
        );
        assert_eq!(field(our_head, "Prefer").as_deref(), Some("respond-async"));
        assert_eq!(our_head.lines().count(), 6, "{name}: {our_head}");
    }
}

#[tokio::test]
async fn what_go_refuses_is_refused_in_its_words() {
    for name in [
        "get",
        "head",
        "empty",
        "truncated",
        "no_topic",
        "null_header",
        "base64",
        "short_body",
    ] {
        let (ours, go) = refused(&format!("refused_{name}")).await;
        // A connection that broke off within a request is closed, which Go does without a word.
        let ours = ours.replace("\r\nConnection: close", "");
        assert_eq!(undated(&ours), undated(&go), "{name}");
    }
    // Go says what is wrong in other words.
    for name in [
        "not_json",
        "array",
        "number_value",
        "trailing",
        "base64_unpadded",
    ] {
        let (ours, go) = refused(&format!("refused_{name}")).await;
        let until = "\"detail\":\"Error parsing request body: ";
        let begin = |text: &str| {
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            let status = head.lines().next().unwrap().to_owned();
            let (begin, _) = body
                .split_once(until)
                .unwrap_or_else(|| panic!("{name}: {body}"));
            (status, begin.to_owned())
        };
        assert_eq!(begin(&ours), begin(&go), "{name}");
    }
}

#[tokio::test]
async fn where_go_is_lenient_or_silent_ours_says_so() {
    for (name, code) in [("form", "415"), ("path", "404"), ("unknown_id", "404")] {
        let (ours, _) = refused(&format!("other_{name}")).await;
        assert_eq!(status(&ours), code, "{name}: {ours}");
    }
}

/// What ours and Go answer to a captured request.
async fn refused(name: &str) -> (String, String) {
    let world = World::default();
    let broker = world.broker();
    let mut heard = subscribe(&broker, "greeter.events", "").await;
    let address = world.node().await.address;
    let mut line = world.dial(&address).await;
    let request = read(&format!("httpbroker/{name}.c2s.bin"));
    let write = tokio::io::AsyncWriteExt::write_all(&mut line, request.as_bytes());
    write.await.unwrap();
    if name.ends_with("short_body") {
        tokio::io::AsyncWriteExt::shutdown(&mut line).await.unwrap();
    }
    let ours = match name.ends_with("head") {
        // It tells a length and has no body: what comes after it is the next answer.
        true => {
            let get = read("httpbroker/refused_get.c2s.bin");
            let write = tokio::io::AsyncWriteExt::write_all(&mut line, get.as_bytes());
            write.await.unwrap();
            let both = answer(&mut line).await;
            let end = both.find("\r\n\r\n").unwrap() + 4;
            both[..end].to_owned()
        }
        false => answer(&mut line).await,
    };
    assert!(heard.words().await.is_empty(), "{name}");
    (ours, read(&format!("httpbroker/{name}.s2c.bin")))
}

#[tokio::test]
async fn what_is_registered_is_what_go_registers() {
    for (name, queue, version) in [
        ("broadcast", "", BROADCAST),
        ("queue", "workers", "workers"),
    ] {
        let go: Value =
            serde_json::from_str(&read(&format!("httpbroker/register_{name}.json"))).unwrap();
        let world = World::default();
        let broker = world.broker();
        let topic = go["Meta"]["topic"].as_str().unwrap();
        let _subscription = open(&broker, topic, queue).await;
        let (ours, node) = world.nodes().await.pop().unwrap();
        assert_eq!(ours, version);
        assert_eq!(serde_json::to_value(&node.metadata).unwrap(), go["Meta"]);
        assert_eq!(go["Name"], crate::world::SERVICE);
        let id = go["ID"].as_str().unwrap();
        let form = |id: &str| {
            let uuid = id.strip_prefix(&format!("{topic}-")).unwrap().to_owned();
            let dashes: Vec<_> = uuid.match_indices('-').map(|(at, _)| at).collect();
            (uuid.len(), dashes)
        };
        assert_eq!(form(&node.id), form(id));
    }
}

fn base64(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn from_base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .unwrap()
}
