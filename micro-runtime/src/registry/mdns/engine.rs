//! What all clones and watchers of one registry share: the port, the nodes registered here, the nodes
//! heard of; and the tasks that answer, announce, ask again and forget.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::AbortHandle;
use tokio::time::{Instant, sleep_until};

use super::bucket::Bucket;
use super::dns::{Message, Name};
use super::interfaces::Interfaces;
use super::options::MdnsOptions;
use super::own::Own;
use super::seen::Seen;
use super::sockets::{Port, Scope};
use super::told::{self, Told};
use super::zone::Zone;
use super::{ask, host};
use crate::error::Result;
use crate::registry::table::Key;
use crate::tasks::Tasks;

/// How often interfaces are looked at.
const RESCAN: Duration = Duration::from_secs(10);
/// The pauses between announcements.
const ANNOUNCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(2)];
/// How many bytes are read and answered, at once and in a second: more comes from no honest fleet,
/// and a flood with a forged sender must not become one of answers.
const INBOUND: (u64, u64) = (16 << 20, 4 << 20);
const OUTBOUND: (u64, u64) = (4 << 20, 1 << 20);
/// How many answers are sent without letting others run.
const ANSWERS_AT_ONCE: usize = 16;
/// How many questions of one message are looked at.
const MAX_QUESTIONS: usize = 16;
/// How many lookups run at a time; each has two sockets.
const MAX_LOOKUPS: usize = 32;

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) options: MdnsOptions,
    pub(super) zone: Zone,
    pub(super) tasks: Tasks,
    host: Name,
    wire: Mutex<Wire>,
    own: Mutex<BTreeMap<Key, Registered>>,
    seen: Mutex<Seen>,
    /// Counts changes of what was seen, for watchers.
    pub(super) changed: watch::Sender<u64>,
    /// Wakes the task that does what is due.
    due: Notify,
    pub(super) lookups: Semaphore,
    inbound: Mutex<Bucket>,
    outbound: Mutex<Bucket>,
}

/// The network as it was last looked at.
#[derive(Debug, Default)]
struct Wire {
    started: bool,
    port: Port,
    interfaces: Arc<Interfaces>,
    works: bool,
    warned: bool,
    tasks: Vec<(Arc<UdpSocket>, AbortHandle)>,
    ticker: Option<AbortHandle>,
}

/// A node registered here.
#[derive(Debug)]
struct Registered {
    own: Arc<Own>,
    /// When it is announced again.
    due: Option<Instant>,
    announced: usize,
}

impl Engine {
    pub(super) fn new(tasks: &Tasks, options: MdnsOptions) -> Result<Self> {
        Ok(Self {
            zone: Zone::new(&options.domain)?,
            options,
            tasks: tasks.clone(),
            host: host::name(),
            wire: Mutex::default(),
            own: Mutex::default(),
            seen: Mutex::default(),
            changed: watch::Sender::new(0),
            due: Notify::new(),
            lookups: Semaphore::new(MAX_LOOKUPS),
            inbound: Mutex::new(Bucket::new(INBOUND.0, INBOUND.1)),
            outbound: Mutex::new(Bucket::new(OUTBOUND.0, OUTBOUND.1)),
        })
    }

    /// Opens the port and starts the tasks, unless that is done. Says whether multicast works.
    pub(super) fn start(self: &Arc<Self>) -> bool {
        let mut wire = lock(&self.wire);
        if !wire.started {
            wire.started = true;
            self.renew(&mut wire);
            let engine = self.clone();
            wire.ticker = Some(self.tasks.spawn(async move { engine.run().await }));
        }
        wire.works
    }

    /// Ends the tasks, says goodbye for what is still registered, and closes the port.
    pub(super) fn stop(&self) {
        let own = std::mem::take(&mut *lock(&self.own));
        for registered in own.values() {
            self.announce(&registered.own, 0);
        }
        let mut wire = lock(&self.wire);
        let ticker = wire.ticker.take();
        for task in wire.tasks.drain(..).map(|(_, task)| task).chain(ticker) {
            task.abort();
        }
        wire.port = Port::default();
    }

    /// Forgets what is registered without a goodbye, as a process does that is killed.
    #[cfg(test)]
    pub(super) fn fall_silent(&self) {
        lock(&self.own).clear();
    }

    pub(super) fn interfaces(&self) -> Arc<Interfaces> {
        lock(&self.wire).interfaces.clone()
    }

    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        lock(&self.seen)
    }

    /// The records of a node.
    pub(super) fn own(
        &self,
        service: &crate::registry::Service,
        node: &crate::registry::Node,
    ) -> Result<Own> {
        Own::new(&self.zone, service, node, &self.host)
    }

    /// Answers for a node from now on, and announces it where it is new or has changed.
    pub(super) fn register(&self, key: Key, own: Own) {
        {
            let mut all = lock(&self.own);
            if let Some(known) = all.get(&key)
                && known.own.service == own.service
            {
                return;
            }
            let registered = Registered {
                own: Arc::new(own),
                due: Some(Instant::now()),
                announced: 0,
            };
            all.insert(key, registered);
        }
        self.announce_due(Instant::now());
        self.due.notify_one();
    }

    /// Answers no longer for a node, and says goodbye for it.
    pub(super) fn deregister(&self, key: &Key) {
        let gone = lock(&self.own).remove(key);
        if let Some(gone) = gone {
            self.announce(&gone.own, 0);
        }
    }

    /// Notes a node that was heard of.
    pub(super) fn hear(&self, instance: &Name, of: &Name, told: Told) {
        let changed = self.seen().hear(instance, of, told, Instant::now());
        self.after(changed);
    }

    /// Has something looked at that is due sooner than before, and wakes watchers after a change.
    pub(super) fn after(&self, changed: bool) {
        if changed {
            self.changed.send_modify(|changes| *changes += 1);
            self.due.notify_one();
        }
    }

    /// Wakes the task that does what is due.
    pub(super) fn wake(&self) {
        self.due.notify_one();
    }

    async fn run(self: Arc<Self>) {
        let mut rescan = Instant::now() + RESCAN;
        loop {
            let next = self.next_due().map_or(rescan, |due| due.min(rescan));
            tokio::select! {
                biased;
                () = self.due.notified() => {}
                () = sleep_until(next) => {}
            }
            let now = Instant::now();
            if now >= rescan {
                self.renew(&mut lock(&self.wire));
                rescan = Instant::now() + RESCAN;
            }
            self.announce_due(now);
            let expired = self.seen().expire(now);
            self.after(expired);
            let names = self.seen().take_questions(now);
            for name in names {
                self.ask(name, now);
            }
        }
    }

    fn next_due(&self) -> Option<Instant> {
        let announcements = lock(&self.own).values().filter_map(|one| one.due).min();
        let seen = self.seen().due();
        announcements.into_iter().chain(seen).min()
    }

    /// Asks for the nodes of a name, beside everything else; what is found is heard.
    fn ask(self: &Arc<Self>, name: Name, now: Instant) {
        self.seen().asks(&name, now);
        let service = name.before(&self.zone.domain).and_then(|name| name.text());
        let Some(service) = service else { return };
        let engine = self.clone();
        self.tasks.spawn(async move {
            // There is always room after a while: lookups end.
            if let Ok(_room) = engine.lookups.acquire().await {
                let _ = ask::nodes(&engine, &service, &name).await;
            }
        });
    }

    /// Looks at the interfaces, joins where that is needed, and has each open socket read.
    fn renew(self: &Arc<Self>, wire: &mut Wire) {
        let mut read = Interfaces::read();
        if let (true, Ok(interfaces)) = (self.options.loopback_alone, &mut read) {
            interfaces.0.retain(|one| one.loopback);
        }
        let changed = match read {
            Ok(interfaces) if interfaces != *wire.interfaces => {
                wire.interfaces = Arc::new(interfaces);
                true
            }
            Ok(_) => false,
            Err(error) => {
                tracing::debug!(%error, "cannot read the interfaces");
                false
            }
        };
        let worked = wire.works;
        let interfaces = wire.interfaces.clone();
        match wire.port.renew(self.options.group, &interfaces) {
            Ok(()) => wire.works = true,
            Err(error) => {
                wire.works = false;
                if !wire.warned {
                    wire.warned = true;
                    tracing::warn!(
                        %error,
                        "multicast DNS does not work here: services are found on this machine alone"
                    );
                }
            }
        }
        let sockets = &wire.port.sockets;
        let open: Vec<_> = [&sockets.v4, &sockets.v6]
            .into_iter()
            .flatten()
            .cloned()
            .collect();
        wire.tasks.retain(|(socket, task)| {
            let stays = open.iter().any(|open| Arc::ptr_eq(open, socket));
            if !stays {
                task.abort();
            }
            stays
        });
        for socket in open {
            if wire
                .tasks
                .iter()
                .all(|(known, _)| !Arc::ptr_eq(known, &socket))
            {
                let (engine, heard) = (self.clone(), socket.clone());
                let task = self.tasks.spawn(async move { engine.listen(&heard).await });
                wire.tasks.push((socket, task));
            }
        }
        if wire.works && (changed || !worked) {
            // Whoever has just come within reach has heard nothing yet.
            let now = Instant::now();
            for registered in lock(&self.own).values_mut() {
                registered.due.get_or_insert(now);
            }
            self.seen().ask_all();
        }
    }

    async fn listen(&self, socket: &UdpSocket) {
        let mut buffer = vec![0; 64 * 1024];
        loop {
            match socket.recv_from(&mut buffer).await {
                Ok((length, source)) => {
                    if let Some(datagram) = buffer.get(..length) {
                        self.handle(datagram, source).await;
                    }
                }
                Err(error) => {
                    // Of a socket that is not connected: nothing that the next one would repeat at once.
                    tracing::debug!(%error, "cannot read from the mDNS port");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }

    pub(super) async fn handle(&self, datagram: &[u8], mut source: SocketAddr) {
        // Where loopback alone has a way for multicast, Linux gives a sender of this machine no
        // address, and Go Micro's client sends so.
        if source.ip().is_unspecified() {
            source.set_ip(match source {
                SocketAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        let interfaces = self.interfaces();
        if !interfaces.is_near(source.ip())
            || source.port() == 0
            || !lock(&self.inbound).take(datagram.len())
        {
            return;
        }
        match Message::read(datagram) {
            Ok(message) if !message.is_plain() => {}
            Ok(message) if message.is_response() => self.take_news(&message, &source),
            Ok(message) => self.answer(&message, source, &interfaces).await,
            Err(error) => tracing::trace!(%source, %error, "this is no DNS message"),
        }
    }

    /// Notes what an announcement tells.
    fn take_news(&self, message: &Message, source: &SocketAddr) {
        for (name, instance) in told::instances(message.told()) {
            if !self.seen().is_wanted(name) {
                continue;
            }
            if instance.is_goodbye() {
                let changed = self.seen().goodbye(name, Instant::now());
                self.after(changed);
            } else if instance.is_complete() {
                let mut of = None;
                let told = instance.node(name, source, |service| {
                    of = self.zone.service(service).ok();
                    of.clone()
                });
                if let (Some(told), Some(of)) = (told, of) {
                    self.hear(name, &of, told);
                }
            }
        }
    }

    /// Answers the asker alone, with a datagram for each node: Go Micro would mix up nodes in one.
    async fn answer(&self, message: &Message, source: SocketAddr, interfaces: &Interfaces) {
        let from_here = interfaces.is_own(source.ip());
        let sockets = lock(&self.wire).port.sockets.clone();
        // A copy of handles: what follows takes its time.
        let all: Vec<_> = lock(&self.own)
            .values()
            .map(|one| one.own.clone())
            .collect();
        // Nobody else can reach a loopback address, or finds somebody else there.
        let told = |own: &&Arc<Own>| from_here || !own.is_for_this_machine();
        let mut sent = 0;
        for question in message.questions.iter().take(MAX_QUESTIONS) {
            let for_service = Own::answers_for_service(&self.zone, question);
            let mut last = None;
            for own in all.iter().filter(told) {
                if for_service && last == Some(&own.service.name) {
                    continue;
                }
                let Some(mut answer) = own.answer(&self.zone, question, self.options.ttl) else {
                    continue;
                };
                last = Some(&own.service.name);
                // Who asks for an answer to itself alone gets its id back; others know the question.
                answer.id = if question.is_unicast() { message.id } else { 0 };
                let Ok(answer) = answer.write() else { continue };
                // Before the next is built: one question may ask for very much.
                if !lock(&self.outbound).take(answer.len()) {
                    tracing::debug!(%source, "too many mDNS questions to answer all");
                    return;
                }
                if let Err(error) = sockets.reply(&answer, source) {
                    tracing::debug!(%source, %error, "cannot answer an mDNS question");
                }
                sent += 1;
                if sent % ANSWERS_AT_ONCE == 0 {
                    tokio::task::yield_now().await;
                }
            }
        }
    }

    /// Announces the nodes whose time it is.
    fn announce_due(&self, now: Instant) {
        let mut due = Vec::new();
        for registered in lock(&self.own).values_mut() {
            if registered.due.is_some_and(|at| at <= now) {
                let pause = ANNOUNCE.get(registered.announced);
                registered.due = pause.map(|pause| now + *pause);
                registered.announced += 1;
                due.push(registered.own.clone());
            }
        }
        for own in due {
            self.announce(&own, self.options.ttl);
        }
    }

    fn announce(&self, own: &Own, ttl: u32) {
        let Ok(datagram) = own.announcement(ttl).write() else {
            return;
        };
        let scope = match own.is_for_this_machine() {
            true => Scope::Loopback,
            false => Scope::All,
        };
        let wire = lock(&self.wire);
        let group = self.options.group;
        wire.port
            .sockets
            .send(&datagram, group, &wire.interfaces, scope);
    }
}

/// Locks for a moment; never held across an await, and in the order wire, own, seen.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
