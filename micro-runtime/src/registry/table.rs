//! What a registry on this machine knows, and watching it.
//!
//! A watcher compares the table that it told last with the present one, so it needs no queue: it
//! can fall behind as far as it likes, and still tells the state that is.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::{Action, Event, Node, Service};

/// Name and node id.
pub(super) type Key = (String, String);

/// The key of a node of `service`.
pub(super) fn key(service: &Service, node: &Node) -> Key {
    (service.name.clone(), node.id.clone())
}

/// The known nodes, each as a service with that node alone.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Table(BTreeMap<Key, Arc<Service>>);

impl Table {
    /// Adds the nodes of `service`, or replaces those with the same ids.
    pub(super) fn insert(&mut self, service: &Service) {
        for node in &service.nodes {
            let one = service.with_nodes(vec![node.clone()]);
            self.0.insert(key(service, node), Arc::new(one));
        }
    }

    /// Removes a node.
    pub(super) fn remove(&mut self, key: &Key) {
        self.0.remove(key);
    }

    /// The services of `name`, one for each version.
    pub(super) fn get(&self, name: &str) -> Vec<Service> {
        by_version(self.nodes(Some(name)).map(|(_, one)| &**one))
    }

    /// The nodes of one name or of all; those of one name without a look at the others.
    fn nodes<'a>(
        &'a self,
        name: Option<&'a str>,
    ) -> impl Iterator<Item = (&'a Key, &'a Arc<Service>)> {
        let start = (name.unwrap_or_default().to_owned(), String::new());
        self.0
            .range(start..)
            .take_while(move |((of, _), _)| name.is_none_or(|name| of == name))
    }

    /// All services, one for each name and version.
    pub(super) fn list(&self) -> Vec<Service> {
        by_version(self.0.values().map(|one| &**one))
    }

    /// What leads from `old` to this table, of one name or of all.
    fn changes_since(&self, old: &Self, name: Option<&str>) -> VecDeque<Event> {
        let mut changes = VecDeque::new();
        // What is new comes first, so that a rolling change never leaves a moment without nodes.
        for (key, one) in self.nodes(name) {
            let action = match old.0.get(key) {
                None => Action::Create,
                Some(before) if before != one => Action::Update,
                Some(_) => continue,
            };
            changes.push_back(Event::new(action, (**one).clone()));
        }
        for (key, one) in old.nodes(name) {
            if !self.0.contains_key(key) {
                changes.push_back(Event::new(Action::Delete, (**one).clone()));
            }
        }
        changes
    }
}

/// Puts nodes of one name and version together; endpoints are those of the first.
pub(super) fn by_version<'a>(nodes: impl Iterator<Item = &'a Service>) -> Vec<Service> {
    let mut found: BTreeMap<(&str, &str), Service> = BTreeMap::new();
    for one in nodes {
        found
            .entry((&one.name, &one.version))
            .and_modify(|service| service.nodes.extend(one.nodes.iter().cloned()))
            .or_insert_with(|| one.clone());
    }
    found.into_values().collect()
}

/// What a watcher has told, and what it has still to tell.
#[derive(Debug)]
pub(super) struct Progress {
    name: Option<String>,
    told: Arc<Table>,
    /// At most two for each node.
    ahead: VecDeque<Event>,
}

impl Progress {
    /// Begins at `table`, of which nothing is told.
    pub(super) fn new(name: Option<&str>, table: Arc<Table>) -> Self {
        Self {
            name: name.map(str::to_owned),
            told: table,
            ahead: VecDeque::new(),
        }
    }

    /// The next thing to tell.
    pub(super) fn ahead(&mut self) -> Option<Event> {
        self.ahead.pop_front()
    }

    /// Adds what leads to `table`, and says whether that is anything. To be called when nothing is
    /// ahead, so that there are never more things to tell than two for each node.
    pub(super) fn advance(&mut self, table: Arc<Table>) -> bool {
        if !Arc::ptr_eq(&table, &self.told) {
            let changes = table.changes_since(&self.told, self.name.as_deref());
            self.ahead.extend(changes);
            self.told = table;
        }
        !self.ahead.is_empty()
    }
}
