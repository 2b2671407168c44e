//! A name server on UDP and TCP of one port, which does what a test wants.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};

use super::super::{Dns, DnsOptions};
use crate::registry::dns_message::{Data, Message, Question, RESPONSE, Record, kind, rcode};
use crate::tasks::Tasks;

/// What the server does to an answer before it sends it.
pub(super) type Spoil = Arc<dyn Fn(&Message, Message) -> Vec<Vec<u8>> + Send + Sync>;

/// A name server.
#[derive(Clone)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) zone: Arc<Mutex<Zone>>,
    pub(super) tasks: Tasks,
}

#[derive(Default)]
pub(super) struct Zone {
    pub(super) records: Vec<Record>,
    /// Sent with every answer.
    pub(super) beside: Vec<Record>,
    /// Answered instead of anything else.
    pub(super) rcode: Option<u16>,
    /// For how long it holds that a name is not there.
    pub(super) absent: Option<u32>,
    /// Of datagrams, and over TCP.
    pub(super) spoil: Option<Spoil>,
    pub(super) spoil_tcp: Option<Spoil>,
    pub(super) silent: bool,
    /// What was asked: whether by datagram, and the question.
    pub(super) asked: Vec<(bool, Question)>,
}

impl Server {
    pub(super) async fn start() -> Self {
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

    pub(super) fn set(&self, change: impl FnOnce(&mut Zone)) {
        change(&mut self.zone.lock().expect("no panic"));
    }

    pub(super) fn records(&self, records: &[Record]) {
        self.set(|zone| zone.records = records.to_vec());
    }

    /// How often anything was asked, and forgets it.
    pub(super) fn asked(&self) -> Vec<(bool, Question)> {
        let mut asked = Vec::new();
        self.set(|zone| asked = std::mem::take(&mut zone.asked));
        asked
    }

    pub(super) fn options(&self) -> DnsOptions {
        let mut options = DnsOptions::default();
        options.servers.push(self.address);
        options.timeout = Duration::from_secs(5);
        options.attempts = 1;
        options
    }

    pub(super) fn registry(&self) -> Dns {
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
