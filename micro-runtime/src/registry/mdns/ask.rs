//! A lookup: asks on every interface, collects for a while what is answered.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;

use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep_until};

use super::dns::{Data, Message, Name, Question, kind};
use super::engine::Engine;
use super::sockets::{Pair, Scope};
use super::told::{self, Instance, Told};
use crate::error::{Error, Result};
use crate::registry::ID;

/// How many datagrams a lookup reads.
const MAX_DATAGRAMS: usize = 16 * 1024;
/// How many nodes or names it gives, and how many it asks for again.
const MAX_FOUND: usize = 4096;
const MAX_QUESTIONS: usize = 64;
/// How much memory its nodes may take, about.
const MAX_SIZE: usize = 32 << 20;

/// The nodes of a service that answer.
///
/// # Errors
/// Where nothing can be asked.
pub(super) async fn nodes(engine: &Engine, service: &str, of: &Name) -> Result<Vec<Told>> {
    let expected = engine.seen().count(of);
    engine.seen().asks(of, Instant::now());
    let mut asking = Asking::open(engine, Question::new(of.clone(), kind::PTR))?;
    let mut found = Found::new(engine, service, of);
    let window = engine.options.query_time;
    let (half, mut end) = (Instant::now() + window / 2, Instant::now() + window);
    let mut asked_again = false;
    let mut extended = false;
    loop {
        let until = if asked_again { end } else { half };
        match asking.next(until).await {
            Some((message, source)) => {
                for instance in found.take(&message, &source) {
                    asking.ask(Question::new(instance, kind::ANY));
                }
            }
            None if !asked_again => {
                asked_again = true;
                // Datagrams get lost, most of all where many answer at once.
                if found.nodes.len() < expected.max(1) {
                    asking.repeat();
                }
            }
            None if !extended && !found.partial.is_empty() => {
                extended = true;
                end = Instant::now() + window;
            }
            None => break,
        }
    }
    let (seen, begun) = (engine.seen(), found.begun);
    found.nodes.retain(|name, _| !seen.has_left(name, begun));
    Ok(found.nodes.into_values().collect())
}

/// The names of all services that answer.
///
/// # Errors
/// Where nothing can be asked.
pub(super) async fn names(engine: &Engine) -> Result<BTreeSet<String>> {
    let listing = &engine.zone.listing;
    let mut asking = Asking::open(engine, Question::new(listing.clone(), kind::PTR))?;
    let mut names = BTreeSet::new();
    let end = Instant::now() + engine.options.query_time;
    while let Some((message, _)) = asking.next(end).await {
        for record in message.told().filter(|record| record.ttl > 0) {
            if let Data::Ptr(to) = &record.data
                && record.name == *listing
                && let Some(name) = to.before(listing).and_then(|name| name.text())
                && names.len() < MAX_FOUND
            {
                names.insert(name);
            }
        }
    }
    Ok(names)
}

/// What a lookup has found.
struct Found<'a> {
    engine: &'a Engine,
    begun: Instant,
    service: &'a str,
    of: &'a Name,
    /// By instance: the same one answers on each interface.
    nodes: BTreeMap<Name, Told>,
    size: usize,
    /// What was told without all that is needed.
    partial: BTreeMap<Name, Instance>,
}

impl<'a> Found<'a> {
    fn new(engine: &'a Engine, service: &'a str, of: &'a Name) -> Self {
        Self {
            engine,
            begun: Instant::now(),
            service,
            of,
            nodes: BTreeMap::new(),
            size: 0,
            partial: BTreeMap::new(),
        }
    }

    /// Adds what a message tells; gives the instances that must be asked for.
    fn take(&mut self, message: &Message, source: &SocketAddr) -> Vec<Name> {
        let mut missing = Vec::new();
        let mut told = told::instances(message.told());
        for record in message.told().filter(|record| record.ttl > 0) {
            if let Data::Ptr(instance) = &record.data
                && record.name == *self.of
            {
                told.entry(instance).or_default();
            }
        }
        for (name, instance) in told {
            if name.before(self.of).is_none() || instance.is_goodbye() {
                continue;
            }
            if self.nodes.contains_key(name) {
                continue;
            }
            let mut whole = instance;
            let mut known = self.partial.remove(name);
            let is_new = known.is_none();
            if let Some(known) = &mut known {
                known.merge(whole);
                whole = known.clone();
            }
            if whole.is_complete() {
                self.add(name, &whole, source);
            } else if self.partial.len() < MAX_QUESTIONS {
                self.partial.insert(name.clone(), whole);
                if is_new {
                    missing.push(name.clone());
                }
            }
        }
        missing
    }

    fn add(&mut self, name: &Name, instance: &Instance, source: &SocketAddr) {
        let Some(told) = instance.node(name, source, |service| {
            (service == self.service).then(|| self.of.clone())
        }) else {
            return;
        };
        if self.nodes.len() < MAX_FOUND && self.size + told.size <= MAX_SIZE {
            self.size += told.size;
            // At once: a goodbye that comes before the lookup ends must not be overruled by it.
            let tell = {
                let seen = self.engine.seen();
                seen.watches(self.of) && !seen.has_left(name, self.begun)
            };
            if tell {
                self.engine.hear(name, self.of, told.clone());
            }
            self.nodes.insert(name.clone(), told);
        }
    }
}

/// Questions under way, on sockets of their own.
struct Asking<'a> {
    engine: &'a Engine,
    sockets: Pair,
    id: u16,
    questions: Vec<Question>,
    buffer: Vec<u8>,
    datagrams: usize,
}

impl<'a> Asking<'a> {
    fn open(engine: &'a Engine, question: Question) -> Result<Self> {
        let failed = |error: io::Error| {
            Error::internal(ID, format!("mdns registry: cannot ask: {error}")).with_source(error)
        };
        let mut asking = Self {
            engine,
            sockets: Pair::to_ask().map_err(failed)?,
            // The lower half of a random number is one, too.
            id: (engine.tasks.number() & 0xffff) as u16,
            questions: Vec::new(),
            buffer: vec![0; 64 * 1024],
            datagrams: 0,
        };
        if asking.ask(question) == 0 {
            return Err(failed(io::ErrorKind::NetworkUnreachable.into()));
        }
        Ok(asking)
    }

    /// Asks, and gives on how many interfaces that worked.
    fn ask(&mut self, question: Question) -> usize {
        if self.questions.len() > MAX_QUESTIONS {
            return 0;
        }
        self.questions.push(question.clone());
        self.send(question)
    }

    /// Asks the first question again.
    fn repeat(&self) {
        if let Some(question) = self.questions.first() {
            self.send(question.clone());
        }
    }

    fn send(&self, question: Question) -> usize {
        let message = Message {
            id: self.id,
            questions: vec![question],
            ..Message::default()
        };
        let Ok(datagram) = message.write() else {
            return 0;
        };
        let interfaces = self.engine.interfaces();
        let group = self.engine.options.group;
        self.sockets.send(&datagram, group, &interfaces, Scope::All)
    }

    /// The next answer to what was asked; `None` at `until`.
    async fn next(&mut self, until: Instant) -> Option<(Message, SocketAddr)> {
        while self.datagrams < MAX_DATAGRAMS {
            // A flood must not put off the end.
            if Instant::now() >= until {
                return None;
            }
            let socket = tokio::select! {
                biased;
                socket = readable(&self.sockets.v4) => socket,
                socket = readable(&self.sockets.v6) => socket,
                () = sleep_until(until) => return None,
            };
            let received = socket.try_recv_from(&mut self.buffer);
            if matches!(&received, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                continue;
            }
            self.datagrams += 1;
            let Ok((length, source)) = received else {
                continue;
            };
            if let Some(message) = self.accept(length, &source) {
                return Some((message, source));
            }
        }
        sleep_until(until).await;
        None
    }

    fn accept(&self, length: usize, source: &SocketAddr) -> Option<Message> {
        if !self.engine.interfaces().is_near(source.ip()) {
            return None;
        }
        let message = Message::read(self.buffer.get(..length)?).ok()?;
        // Go Micro answers with the id 0, and with the question.
        let ours = message.is_response()
            && message.is_plain()
            && (message.id == 0 || message.id == self.id)
            && message
                .questions
                .iter()
                .any(|answered| self.questions.iter().any(|asked| asked.is_same(answered)));
        ours.then_some(message)
    }
}

async fn readable(socket: &Option<std::sync::Arc<UdpSocket>>) -> &UdpSocket {
    match socket {
        // An error shows when it is read.
        Some(socket) => {
            let _ = socket.readable().await;
            socket
        }
        None => std::future::pending().await,
    }
}
