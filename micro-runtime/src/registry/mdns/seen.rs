//! The nodes that were heard of, as long as somebody watches their names.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::dns::Name;
use super::told::Told;
use crate::registry::Service;
use crate::registry::table::{Key, Table};

/// How many nodes are remembered.
const MAX_NODES: usize = 4096;
/// How much memory all of them may take, about.
const MAX_SIZE: usize = 32 << 20;
/// How many goodbyes are remembered, for watchers that lag behind.
const MAX_GOODBYES: usize = 1024;
/// How long a record may hold, whatever it says: Go Micro's do so long.
const MAX_TTL: Duration = Duration::from_secs(120);
/// How long a node is kept at least, however short its records hold: a forged one must not make
/// every watcher ask the group again and again.
const MIN_TTL: Duration = Duration::from_secs(10);
/// How long after its begin a watch asks who is there, unless somebody has asked meanwhile.
const FIRST_QUESTION: Duration = Duration::from_secs(2);
/// For how long the nodes of a name are not asked for again, of which some do not answer.
const AGAIN: Duration = Duration::from_secs(2);

/// What was heard, and what is to be asked.
#[derive(Debug, Default)]
pub(super) struct Seen {
    table: Arc<Table>,
    /// By instance.
    nodes: BTreeMap<Name, Heard>,
    size: usize,
    /// Names with watchers, and how many watch all.
    watched: BTreeMap<Name, Watched>,
    watching_all: usize,
    /// When was asked last for the nodes of a name.
    asked: BTreeMap<Name, Instant>,
    /// Names to ask for at once.
    urgent: BTreeSet<Name>,
    /// Who said goodbye, and when.
    goodbyes: VecDeque<(Name, Instant)>,
}

#[derive(Debug)]
struct Heard {
    /// With this node alone.
    service: Service,
    key: Key,
    /// What its service is called in DNS.
    of: Name,
    size: usize,
    ttl: Duration,
    until: Instant,
    /// Whether it is known from elsewhere that it has probably ended.
    suspected: bool,
}

#[derive(Debug)]
struct Watched {
    watchers: usize,
    since: Instant,
}

impl Seen {
    /// The nodes that are there.
    pub(super) fn table(&self) -> Arc<Table> {
        self.table.clone()
    }

    /// Begins to remember nodes of `name`, or of all.
    pub(super) fn watch(&mut self, name: Option<&Name>, now: Instant) {
        let Some(name) = name else {
            self.watching_all += 1;
            return;
        };
        let watched = self.watched.entry(name.clone()).or_insert(Watched {
            watchers: 0,
            since: now,
        });
        watched.watchers += 1;
    }

    /// The end of a [`watch`](Self::watch): what nobody watches is forgotten.
    pub(super) fn unwatch(&mut self, name: Option<&Name>) {
        match name {
            None => self.watching_all = self.watching_all.saturating_sub(1),
            Some(name) => {
                if let Some(watched) = self.watched.get_mut(name) {
                    watched.watchers -= 1;
                    if watched.watchers == 0 {
                        self.watched.remove(name);
                    }
                }
            }
        }
        if self.watching_all == 0 {
            let unwatched = |heard: &Heard| !self.watched.contains_key(&heard.of);
            let gone: Vec<Name> = self
                .nodes
                .iter()
                .filter(|(_, heard)| unwatched(heard))
                .map(|(instance, _)| instance.clone())
                .collect();
            for instance in gone {
                self.forget(&instance);
            }
            self.asked.retain(|name, _| self.watched.contains_key(name));
        }
    }

    /// Whether somebody watches the name that an instance belongs to.
    pub(super) fn is_wanted(&self, instance: &Name) -> bool {
        self.watching_all > 0
            || (!self.watched.is_empty()
                && instance.ends().any(|end| self.watched.contains_key(&end)))
    }

    /// Whether somebody watches a name.
    pub(super) fn watches(&self, name: &Name) -> bool {
        self.watching_all > 0 || self.watched.contains_key(name)
    }

    /// How many nodes of a name are there.
    pub(super) fn count(&self, name: &Name) -> usize {
        self.nodes
            .values()
            .filter(|heard| heard.of == *name)
            .count()
    }

    /// Notes that the nodes of a name are asked for.
    pub(super) fn asks(&mut self, name: &Name, now: Instant) {
        if self.watches(name) {
            if self.asked.len() >= MAX_NODES {
                self.asked.retain(|name, _| self.watched.contains_key(name));
            }
            self.asked.insert(name.clone(), now);
        }
    }

    /// Notes a node that has told of itself, and says whether that changes anything.
    pub(super) fn hear(&mut self, instance: &Name, of: &Name, told: Told, now: Instant) -> bool {
        if !self.watches(of) {
            return false;
        }
        let Some(node) = told.service.nodes.first() else {
            return false;
        };
        let key = (told.service.name.clone(), node.id.clone());
        let ttl = Duration::from_secs(told.ttl.into()).clamp(MIN_TTL, MAX_TTL);
        let before = self.nodes.get(instance).map_or(0, |heard| heard.size);
        let size = self.size - before + told.size;
        let full = size > MAX_SIZE || (before == 0 && self.nodes.len() >= MAX_NODES);
        if full {
            tracing::debug!(node = key.1, "too many mDNS nodes to remember");
            return false;
        }
        if let Some(heard) = self.nodes.get_mut(instance)
            && heard.service == told.service
        {
            heard.until = now + ttl;
            heard.ttl = ttl;
            heard.suspected = false;
            return false;
        }
        self.forget(instance);
        Arc::make_mut(&mut self.table).insert(&told.service);
        self.size += told.size;
        self.goodbyes.retain(|(gone, _)| gone != instance);
        let heard = Heard {
            service: told.service,
            key,
            of: of.clone(),
            size: told.size,
            ttl,
            until: now + ttl,
            suspected: false,
        };
        self.nodes.insert(instance.clone(), heard);
        true
    }

    /// Notes that a node says it is gone, and says whether that changes anything.
    pub(super) fn goodbye(&mut self, instance: &Name, now: Instant) -> bool {
        self.note_goodbye(instance, now);
        self.forget(instance).is_some()
    }

    /// Notes that a node has probably ended: it has `time` to say that it lives.
    pub(super) fn suspect(&mut self, key: &Key, time: Duration, now: Instant) {
        let heard = self.nodes.values_mut().find(|heard| heard.key == *key);
        if let Some(heard) = heard {
            heard.until = heard.until.min(now + time);
            heard.suspected = true;
            self.urgent.insert(heard.of.clone());
        }
    }

    /// Whether the node said that it is gone; else its time was over.
    pub(super) fn was_goodbye(&self, instance: &Name) -> bool {
        self.goodbyes.iter().any(|(gone, _)| gone == instance)
    }

    /// Whether the node has said since then that it is gone: what it has answered before is no news.
    pub(super) fn has_left(&self, instance: &Name, since: Instant) -> bool {
        self.goodbyes
            .iter()
            .any(|(gone, at)| *at >= since && gone == instance)
    }

    /// Has all watched names asked for at once: the network has changed.
    pub(super) fn ask_all(&mut self) {
        self.urgent.extend(self.watched.keys().cloned());
    }

    /// Forgets the nodes whose time is over, and says whether there were any.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let over = |heard: &Heard| heard.until <= now;
        let gone: Vec<Name> = self
            .nodes
            .iter()
            .filter(|(_, heard)| over(heard))
            .map(|(instance, _)| instance.clone())
            .collect();
        for instance in &gone {
            if self.forget(instance).is_some_and(|heard| heard.suspected) {
                self.note_goodbye(instance, now);
            }
        }
        !gone.is_empty()
    }

    /// The names whose nodes should be asked for now.
    pub(super) fn take_questions(&mut self, now: Instant) -> BTreeSet<Name> {
        let mut names = std::mem::take(&mut self.urgent);
        names.extend(
            self.questions()
                .filter(|(_, at)| *at <= now)
                .map(|(name, _)| name.clone()),
        );
        names
    }

    /// When something is due.
    pub(super) fn due(&self) -> Option<Instant> {
        let ends = self.nodes.values().map(|heard| heard.until);
        self.questions().map(|(_, at)| at).chain(ends).min()
    }

    /// When to ask for the nodes of which names: before their time is over, again and again, and
    /// where nobody has asked yet.
    fn questions(&self) -> impl Iterator<Item = (&Name, Instant)> {
        let first = self
            .watched
            .iter()
            .filter(|(name, _)| !self.asked.contains_key(*name))
            .map(|(name, watched)| (name, watched.since + FIRST_QUESTION));
        let again = self.nodes.values().filter_map(|heard| {
            let late = heard.until - heard.ttl / 4;
            let asked = self.asked.get(&heard.of);
            let at = asked.map_or(late, |asked| late.max(*asked + (heard.ttl / 10).max(AGAIN)));
            (at < heard.until).then_some((&heard.of, at))
        });
        first.chain(again)
    }

    fn forget(&mut self, instance: &Name) -> Option<Heard> {
        let heard = self.nodes.remove(instance)?;
        self.size -= heard.size;
        Arc::make_mut(&mut self.table).remove(&heard.key);
        Some(heard)
    }

    fn note_goodbye(&mut self, instance: &Name, now: Instant) {
        self.goodbyes.retain(|(gone, _)| gone != instance);
        if self.goodbyes.len() >= MAX_GOODBYES {
            self.goodbyes.pop_front();
        }
        self.goodbyes.push_back((instance.clone(), now));
    }
}
