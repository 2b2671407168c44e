//! What servers send that fail, are old, are silent, or are none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::server::{Server, Spoil};
use super::{Name, a, aaaa, addresses, cname, name, srv, two};
use crate::registry::dns::Dns;
use crate::registry::dns_message::{Data, Message, RESPONSE, TRUNCATED, kind, rcode};
use crate::tasks::Tasks;

#[tokio::test]
async fn a_server_that_fails_is_an_error_and_the_next_is_asked() {
    let (bad, good) = (Server::start().await, Server::start().await);
    good.records(&two());
    for code in [1, 2, 4, 5, 15] {
        bad.set(|zone| zone.rcode = Some(code));
        let error = addresses(&bad.registry(), "greeter").await;
        assert_eq!(error.expect_err("no answer").code(), 500, "code {code}");
        let mut options = bad.options();
        options.servers.push(good.address);
        let registry = Dns::new(options, &bad.tasks).expect("a domain");
        let found = addresses(&registry, "greeter").await.expect("two");
        assert_eq!(found.len(), 2, "code {code}");
        // Who answered is asked first from now on.
        bad.asked();
        let _ = addresses(&registry, "other").await;
        assert_eq!(bad.asked(), [], "code {code}");
    }
}

#[tokio::test]
async fn a_server_that_is_silent_is_asked_again_and_then_the_next() {
    let (bad, good) = (Server::start().await, Server::start().await);
    good.records(&two());
    bad.set(|zone| zone.silent = true);
    let mut options = bad.options();
    options.timeout = Duration::from_millis(20);
    options.attempts = 3;
    let alone = Dns::new(options.clone(), &bad.tasks).expect("a domain");
    let error = addresses(&alone, "greeter").await.expect_err("silence");
    assert!(error.detail().contains("does not answer"), "{error}");
    assert_eq!(bad.asked().len(), 3);
    options.servers.push(good.address);
    let registry = Dns::new(options, &bad.tasks).expect("a domain");
    assert_eq!(addresses(&registry, "greeter").await.expect("two").len(), 2);
}

#[tokio::test]
async fn an_old_server_is_asked_without_extensions() {
    let server = Server::start().await;
    server.records(&two());
    server.set(|zone| {
        zone.spoil = Some(Arc::new(|asked, answer| {
            let mut refused = Message {
                flags: RESPONSE | rcode::FORMAT,
                id: asked.id,
                ..Message::default()
            };
            if asked.additionals.is_empty() {
                refused = answer;
            }
            vec![refused.write().expect("short")]
        }));
    });
    let found = addresses(&server.registry(), "greeter").await.expect("two");
    assert_eq!(found.len(), 2);
}

#[tokio::test]
async fn what_is_cut_is_asked_for_over_tcp() {
    for cut_anywhere in [false, true] {
        let server = Server::start().await;
        let many: Vec<_> = (0..600)
            .map(|n| a("h", 30, &format!("10.0.{}.{}", n / 250, n % 250 + 1)))
            .collect();
        server.records(&many);
        server.set(|zone| {
            zone.spoil = Some(Arc::new(move |_, mut answer| {
                answer.flags |= TRUNCATED;
                answer.answers.truncate(10);
                let mut datagram = answer.write().expect("short");
                if cut_anywhere {
                    datagram.truncate(datagram.len() - 7);
                }
                vec![datagram]
            }));
        });
        let found = addresses(&server.registry(), "h:1").await.expect("all");
        assert_eq!(found.len(), 600);
        let ways: Vec<_> = server.asked().iter().map(|(udp, _)| *udp).collect();
        assert_eq!(ways, [true, false]);
    }
}

#[tokio::test]
async fn a_connection_that_breaks_off_or_answers_something_else_is_an_error() {
    let cut: Spoil = Arc::new(|_, mut answer| {
        answer.flags |= TRUNCATED;
        vec![answer.write().expect("short")]
    });
    let half: Spoil = Arc::new(|_, answer| {
        let mut half = answer.write().expect("short");
        half.truncate(half.len() / 2);
        vec![half]
    });
    let nothing: Spoil = Arc::new(|_, _| Vec::new());
    let other: Spoil = Arc::new(|_, mut answer| {
        answer.questions[0].name = Name::parse("other").expect("a name");
        vec![answer.write().expect("short")]
    });
    for spoil in [half, nothing, other] {
        let server = Server::start().await;
        server.records(&two());
        server.set(|zone| {
            zone.spoil = Some(cut.clone());
            zone.spoil_tcp = Some(spoil);
        });
        let error = addresses(&server.registry(), "greeter").await;
        assert_eq!(error.expect_err("no answer").code(), 500);
    }
}

/// An answer to a question that nobody asked, with an address that must never be called.
fn forged(mut answer: Message, change: impl FnOnce(&mut Message)) -> Vec<u8> {
    for record in &mut answer.answers {
        if let Data::A(address) = &mut record.data {
            *address = [6, 6, 6, 6].into();
        }
    }
    change(&mut answer);
    answer.write().expect("short")
}

#[tokio::test]
async fn answers_to_other_questions_are_passed_over() {
    let server = Server::start().await;
    server.records(&[a("h", 30, "10.0.0.1")]);
    server.set(|zone| {
        zone.spoil = Some(Arc::new(|_, answer| {
            let forge = |change: fn(&mut Message)| forged(answer.clone(), change);
            vec![
                forge(|answer| answer.id ^= 1),
                forge(|answer| answer.questions[0].name = name("other")),
                forge(|answer| answer.questions[0].kind = kind::AAAA),
                forge(|answer| answer.questions[0].class = 3),
                forge(|answer| answer.questions.clear()),
                forge(|answer| answer.questions.push(answer.questions[0].clone())),
                forge(|answer| answer.flags = 0),
                forge(|answer| answer.flags |= 1 << 11),
                b"junk".to_vec(),
                Vec::new(),
                answer.write().expect("short"),
            ]
        }));
    });
    let found = addresses(&server.registry(), "h:1").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:1"]);
}

#[tokio::test]
async fn a_flood_of_foreign_answers_ends() {
    let server = Server::start().await;
    server.set(|zone| {
        zone.spoil = Some(Arc::new(|_, answer| {
            let forged = forged(answer, |answer| answer.id ^= 1);
            vec![forged; 100]
        }));
    });
    let error = addresses(&server.registry(), "h:1").await;
    let error = error.expect_err("nothing of ours");
    assert!(error.detail().contains("foreign"), "{error}");
}

#[tokio::test]
async fn nobody_but_the_server_is_heard() {
    // Another socket of this machine sends what would be right, but for where it comes from.
    let server = Server::start().await;
    server.records(&[a("h", 30, "10.0.0.1")]);
    let stranger = Arc::new(std::net::UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let told = Arc::new(Mutex::new(None::<Vec<u8>>));
    let (keep, tell) = (told.clone(), stranger.clone());
    server.set(|zone| {
        zone.silent = false;
        zone.spoil = Some(Arc::new(move |_, answer| {
            *keep.lock().expect("no panic") = Some(forged(answer, |_| {}));
            Vec::new()
        }));
    });
    let mut options = server.options();
    options.timeout = Duration::from_millis(200);
    let registry = Dns::new(options, &server.tasks).expect("a domain");
    // All ports of the asker are tried once the question is known.
    let spoof = async {
        let forged = loop {
            if let Some(forged) = told.lock().expect("no panic").take() {
                break forged;
            }
            tokio::task::yield_now().await;
        };
        for port in 1024..=u16::MAX {
            let _ = tell.send_to(&forged, ("127.0.0.1", port));
        }
    };
    let (found, ()) = tokio::join!(addresses(&registry, "h:1"), spoof);
    assert_eq!(found.expect_err("silence").code(), 500);
}

/// Answers of every kind, changed at random, are answers or errors, and never take long.
#[tokio::test]
async fn mutated_answers_do_no_harm() {
    let server = Server::start().await;
    server.records(&[
        srv(30, 1, "one.local", 8080),
        srv(30, 1, "two.local", 8081),
        cname("one.local", 30, "host.local"),
        a("host.local", 30, "10.0.0.1"),
        aaaa("two.local", 30, "fd00::2"),
    ]);
    let numbers = Tasks::seeded(11, std::time::SystemTime::UNIX_EPOCH);
    let spoil: Spoil = Arc::new(move |_, answer| {
        let mut bytes = answer.write().expect("short");
        for _ in 0..=numbers.below(4) {
            let at = numbers.below(bytes.len());
            match numbers.below(5) {
                0 => bytes[at] = u8::try_from(numbers.below(256)).expect("a byte"),
                1 => bytes[at] ^= 1 << numbers.below(8),
                2 => bytes.truncate(at.max(2)),
                3 => bytes.insert(at, 0xc0),
                _ => {
                    let end = (at + numbers.below(16)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.extend(copy);
                }
            }
        }
        vec![bytes, answer.write().expect("short")]
    });
    server.set(|zone| {
        zone.spoil = Some(spoil.clone());
        zone.spoil_tcp = Some(spoil);
    });
    let mut answered = 0;
    for _ in 0..400 {
        // Each without memory of the one before.
        let registry = server.registry();
        answered += usize::from(addresses(&registry, "greeter").await.is_ok());
    }
    assert!(answered > 100, "{answered}");
}
