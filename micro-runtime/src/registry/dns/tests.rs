//! Against a name server of our own, on UDP and TCP of one port.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::time::{Instant, timeout};

use super::*;
use crate::registry::dns_message::{
    Data, Message, Question, RESPONSE, Record, TRUNCATED, kind, rcode,
};

/// What the server does to an answer before it sends it.
type Spoil = Arc<dyn Fn(&Message, Message) -> Vec<Vec<u8>> + Send + Sync>;

/// A name server.
#[derive(Clone)]
struct Server {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    tasks: Tasks,
}

#[derive(Default)]
struct Zone {
    records: Vec<Record>,
    /// Sent with every answer.
    beside: Vec<Record>,
    /// Answered instead of anything else.
    rcode: Option<u16>,
    /// For how long it holds that a name is not there.
    absent: Option<u32>,
    /// Of datagrams, and over TCP.
    spoil: Option<Spoil>,
    spoil_tcp: Option<Spoil>,
    silent: bool,
    /// What was asked: whether by datagram, and the question.
    asked: Vec<(bool, Question)>,
}

impl Server {
    async fn start() -> Self {
        let tasks = Tasks::new();
        let (udp, tcp) = loop {
            let udp = UdpSocket::bind("127.0.0.1:0").await.expect("a port");
            let address = udp.local_addr().expect("bound");
            #[expect(clippy::disallowed_methods, reason = "a peer of the tests")]
            if let Ok(tcp) = TcpListener::bind(address).await {
                break (udp, tcp);
            }
        };
        let server = Self {
            address: udp.local_addr().expect("bound"),
            zone: Arc::default(),
            tasks: tasks.clone(),
        };
        tasks.spawn(server.clone().datagrams(udp));
        tasks.spawn(server.clone().connections(tcp));
        server
    }

    async fn datagrams(self, udp: UdpSocket) {
        let mut room = vec![0; 4096];
        while let Ok((length, from)) = udp.recv_from(&mut room).await {
            for answer in self.answers(&room[..length], true) {
                let _ = udp.send_to(&answer, from).await;
            }
        }
    }

    async fn connections(self, tcp: TcpListener) {
        while let Ok((mut io, _)) = tcp.accept().await {
            let length = io.read_u16().await.expect("a length");
            let mut room = vec![0; length.into()];
            io.read_exact(&mut room).await.expect("a question");
            for answer in self.answers(&room, false) {
                let length = u16::try_from(answer.len()).expect("short");
                let framed = [&length.to_be_bytes(), &*answer].concat();
                let _ = io.write_all(&framed).await;
            }
        }
    }

    fn answers(&self, asked: &[u8], datagram: bool) -> Vec<Vec<u8>> {
        let asked = Message::read(asked).expect("our own question");
        let question = asked.questions[0].clone();
        let mut zone = self.zone.lock().expect("no panic");
        zone.asked.push((datagram, question.clone()));
        if zone.silent {
            return Vec::new();
        }
        let mut answer = Message {
            id: asked.id,
            flags: RESPONSE,
            questions: vec![question.clone()],
            additionals: zone.beside.clone(),
            ..Message::default()
        };
        // Names that stand for others are followed, as recursive servers do.
        let mut name = question.name.clone();
        for _ in 0..20 {
            let of_name = zone.records.iter().filter(|record| record.name == name);
            let all: Vec<_> = of_name.cloned().collect();
            let alias = all.iter().find_map(|record| match &record.data {
                Data::Cname(to) => Some(to.clone()),
                _ => None,
            });
            let right = |record: &Record| {
                let own = kind_of(&record.data);
                own == question.kind || own == kind::CNAME
            };
            answer.answers.extend(all.into_iter().filter(right));
            match alias {
                Some(to) => name = to,
                None => break,
            }
        }
        if !zone.records.iter().any(|record| record.name == name) {
            answer.flags |= rcode::NO_NAME;
        }
        if answer.answers.is_empty()
            && let Some(seconds) = zone.absent
        {
            let soa = Record::new(name, seconds, Data::Soa(seconds));
            answer.authorities.push(soa);
        }
        if let Some(rcode) = zone.rcode {
            answer = Message {
                id: asked.id,
                flags: RESPONSE | rcode,
                questions: vec![question],
                ..Message::default()
            };
        }
        let spoil = if datagram {
            &zone.spoil
        } else {
            &zone.spoil_tcp
        };
        match spoil {
            Some(spoil) => spoil(&asked, answer),
            None => vec![answer.write().expect("short")],
        }
    }

    fn set(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.lock().expect("no panic"));
    }

    fn records(&self, records: &[Record]) {
        self.set(|zone| zone.records = records.to_vec());
    }

    /// How often anything was asked, and forgets it.
    fn asked(&self) -> Vec<(bool, Question)> {
        let mut asked = Vec::new();
        self.set(|zone| asked = std::mem::take(&mut zone.asked));
        asked
    }

    fn options(&self) -> DnsOptions {
        let mut options = DnsOptions::default();
        options.servers.push(self.address);
        options.timeout = Duration::from_secs(5);
        options.attempts = 1;
        options
    }

    fn registry(&self) -> Dns {
        Dns::new(self.options(), &self.tasks).expect("a domain")
    }
}

fn kind_of(data: &Data) -> u16 {
    match data {
        Data::A(_) => kind::A,
        Data::Aaaa(_) => kind::AAAA,
        Data::Srv { .. } => kind::SRV,
        Data::Cname(_) => kind::CNAME,
        _ => 0,
    }
}

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn record(of: &str, ttl: u32, data: Data) -> Record {
    Record::new(name(of), ttl, data)
}

fn srv(ttl: u32, priority: u16, target: &str, port: u16) -> Record {
    let data = Data::Srv {
        priority,
        weight: 10,
        port,
        target: name(target),
    };
    record("_greeter._tcp.local", ttl, data)
}

fn a(of: &str, ttl: u32, address: &str) -> Record {
    let address = address.parse().expect("an address");
    record(of, ttl, Data::A(address))
}

fn aaaa(of: &str, ttl: u32, address: &str) -> Record {
    let address = address.parse().expect("an address");
    record(of, ttl, Data::Aaaa(address))
}

fn cname(of: &str, ttl: u32, to: &str) -> Record {
    record(of, ttl, Data::Cname(name(to)))
}

/// Two nodes of a greeter.
fn two() -> [Record; 4] {
    [
        srv(30, 1, "one.local", 8080),
        srv(30, 1, "two.local", 8081),
        a("one.local", 30, "10.0.0.1"),
        a("two.local", 30, "10.0.0.2"),
    ]
}

async fn addresses(registry: &Dns, name: &str) -> Result<Vec<String>> {
    let found = timeout(Duration::from_secs(60), registry.get(name));
    let found = found.await.expect("an answer in time")?;
    let nodes = found.into_iter().flat_map(|service| service.nodes);
    Ok(nodes.map(|node| node.address).collect())
}

async fn absent(registry: &Dns, name: &str) {
    let error = addresses(registry, name).await.expect_err("not there");
    assert_eq!(error.code(), 404, "{error}");
}

#[tokio::test]
async fn srv_records_and_their_hosts_are_nodes() {
    let server = Server::start().await;
    server.records(&two());
    let found = server.registry().get("greeter").await.expect("two");
    assert_eq!((&*found[0].name, &*found[0].version), ("greeter", ""));
    let mut node = Node::new("greeter-10.0.0.1:8080", "10.0.0.1:8080");
    node.metadata = BTreeMap::from([("protocol".into(), "mucp".into())]);
    assert_eq!(found[0].nodes[0], node);
    assert_eq!(found[0].nodes[1].address, "10.0.0.2:8081");
    // One question for the records, one for each host.
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn hosts_that_come_along_are_not_asked_for() {
    let server = Server::start().await;
    server.records(&two()[..2]);
    server.set(|zone| zone.beside = two()[2..].to_vec());
    let found = addresses(&server.registry(), "greeter").await.expect("two");
    assert_eq!(found, ["10.0.0.1:8080", "10.0.0.2:8081"]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_host_is_looked_for_where_there_are_no_srv_records_and_a_port_is_known() {
    let server = Server::start().await;
    server.records(&[
        a("greeter.example.org", 30, "10.0.0.1"),
        a("greeter.example.org", 30, "10.0.0.2"),
        aaaa("greeter.example.org", 30, "fd00::1"),
        aaaa("six.example.org", 30, "fd00::6"),
    ]);
    let options = server.options().domain("example.org:8080").expect("a port");
    let registry = Dns::new(options, &server.tasks).expect("a domain");
    let found = addresses(&registry, "greeter").await.expect("two");
    assert_eq!(found, ["10.0.0.1:8080", "10.0.0.2:8080"]);
    let found = addresses(&registry, "six").await.expect("one");
    assert_eq!(found, ["[fd00::6]:8080"]);
    absent(&registry, "other").await;
    absent(&server.registry(), "greeter").await;
}

#[tokio::test]
async fn a_name_with_a_port_is_that_host() {
    let server = Server::start().await;
    server.records(&[a("a.example.org", 30, "10.0.0.1")]);
    let found = addresses(&server.registry(), "a.example.org:99").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:99"]);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn only_the_records_of_the_least_priority_count() {
    let server = Server::start().await;
    server.records(&[
        srv(30, 2, "two.local", 1),
        srv(30, 1, "one.local", 1),
        srv(30, 1, "one.local", 0),
        a("one.local", 30, "10.0.0.1"),
        a("two.local", 30, "10.0.0.2"),
    ]);
    let found = addresses(&server.registry(), "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:1"]);
}

#[tokio::test]
async fn a_name_that_is_not_there_or_has_nothing_is_not_found() {
    let server = Server::start().await;
    let registry = server.registry();
    absent(&registry, "greeter").await;
    server.records(&[a("_other._tcp.local", 1, "10.0.0.1")]);
    absent(&registry, "other").await;
    // The service is decidedly not available here.
    let mut none = srv(30, 1, "x", 1);
    if let Data::Srv { target, .. } = &mut none.data {
        *target = Name::default();
    }
    none.name = name("_none._tcp.local");
    server.records(&[none]);
    absent(&registry, "none").await;
    absent(&registry, "no..name").await;
    absent(&registry, &"x".repeat(64)).await;
}

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

#[tokio::test]
async fn names_that_stand_for_others_are_followed() {
    let server = Server::start().await;
    server.records(&[
        cname("_greeter._tcp.local", 30, "srv.local"),
        cname("srv.local", 20, "_real._tcp.local"),
        record(
            "_real._tcp.local",
            30,
            Data::Srv {
                priority: 0,
                weight: 0,
                port: 80,
                target: name("alias.local"),
            },
        ),
        cname("alias.local", 30, "host.local"),
        a("host.local", 30, "10.0.0.1"),
    ]);
    let found = addresses(&server.registry(), "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:80"]);
    // A server that leaves the rest to us.
    server.set(|zone| {
        zone.spoil = Some(Arc::new(|_, mut answer| {
            answer.answers.truncate(1);
            vec![answer.write().expect("short")]
        }));
    });
    let found = addresses(&server.registry(), "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:80"]);
}

#[tokio::test]
async fn names_that_lead_in_circles_are_an_error() {
    let server = Server::start().await;
    let circle = [cname("h", 30, "i"), cname("i", 30, "h")];
    server.records(&circle);
    let error = addresses(&server.registry(), "h:1").await;
    let error = error.expect_err("no end");
    assert!(error.detail().contains("from name to name"), "{error}");
    server.set(|zone| {
        zone.spoil = Some(Arc::new(|_, mut answer| {
            answer.answers.truncate(1);
            vec![answer.write().expect("short")]
        }));
    });
    server.asked();
    assert!(addresses(&server.registry(), "h:1").await.is_err());
    assert!(server.asked().len() <= 8, "an end is put to it");
}

#[tokio::test]
async fn an_alias_of_nothing_is_not_found() {
    let server = Server::start().await;
    server.records(&[cname("h", 30, "gone")]);
    absent(&server.registry(), "h:1").await;
}

#[tokio::test]
async fn a_host_that_nobody_knows_does_not_take_the_others_away() {
    let server = Server::start().await;
    server.records(&two()[..3]);
    let registry = server.registry();
    let found = addresses(&registry, "greeter").await;
    assert_eq!(found.expect("one"), ["10.0.0.1:8080"]);
}

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
        // Beside what the questions themselves have taken.
        let spent = begun.elapsed() + Duration::from_millis(50);
        pass(Duration::from_secs(holds) - spent).await;
        addresses(&registry, "greeter").await.expect("one");
        assert_eq!(server.asked().len(), 0, "{ttl} s still hold");
        pass(spent * 2).await;
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
        absent(&registry, "greeter").await;
        absent(&registry, "greeter").await;
        assert_eq!(server.asked().len(), 1);
        pass(Duration::from_secs(holds)).await;
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

#[test]
fn options_are_read_from_text() {
    let options = DnsOptions::default();
    let options = options.servers(&["10.0.0.53", "10.0.0.54:5353", "fd00::1", "[fd00::2]:54"]);
    let options = options
        .expect("addresses")
        .domain("a.b.:80")
        .expect("a port");
    let servers: Vec<_> = options.servers.iter().map(ToString::to_string).collect();
    assert_eq!(
        servers,
        [
            "10.0.0.53:53",
            "10.0.0.54:5353",
            "[fd00::1]:53",
            "[fd00::2]:54"
        ]
    );
    assert_eq!((&*options.domain, options.port), ("a.b", Some(80)));
    let wrong = DnsOptions::default().servers(&["ns.example.org"]);
    assert_eq!(wrong.expect_err("a name").code(), 400);
    let wrong = DnsOptions::default().domain("a:0");
    assert_eq!(wrong.expect_err("no port").code(), 400);
    let wrong = DnsOptions::default().domain("a..b").expect("no port");
    let wrong = Dns::new(wrong, &Tasks::new());
    assert_eq!(wrong.expect_err("no domain").code(), 400);
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
