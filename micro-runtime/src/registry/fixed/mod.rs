//! The registry of addresses that somebody wrote down.
//!
//! Services are given in code, by `--registry_address=greeter=10.0.0.1:8080,greeter=10.0.0.2:8080`, or
//! in a file, `--registry_address=file:services.json`, which is read again when it changes. A file is
//! JSON or lines:
//! ```text
//! # name   address        version  metadata
//! greeter  10.0.0.1:8080  1.2.0    region=eu
//! greeter  10.0.0.2:8080
//! ```
//! The JSON is Go Micro's list of services, or an object with the addresses of each name:
//! `{"greeter": ["10.0.0.1:8080", "10.0.0.2:8080"]}`. Of a node that is not said to speak anything
//! else it is taken that it speaks Go Micro's protocol.
//!
//! Files are read inline, as the local registry's are: looking whether one has changed is one system
//! call. There is no inotify in it, which network drives and container mounts do not tell.

mod file;
mod text;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;

use self::file::Source;
use super::table::{Progress, Table};
use super::{Event, ID, RegisterOptions, Registry, Service, Watcher, not_found};
use crate::error::{Error, Result};
use crate::tasks::Tasks;

/// How often files are looked at while somebody watches.
const POLL: Duration = Duration::from_millis(500);
/// What an address begins with that is the path of a file.
const FILE: &str = "file:";

/// Knows the services that it is given, and what a file says.
///
/// Registering and deregistering is accepted and changes nothing: who is where stands in the list. A
/// clone is the same registry.
///
/// ```
/// use micro_runtime::registry::{Registry, Static};
/// use micro_runtime::tasks::Tasks;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> micro_runtime::Result<()> {
/// let registry = Static::parse(&["greeter=10.0.0.1:8080", "greeter=10.0.0.2:8080"], &Tasks::new())?;
/// assert_eq!(registry.get("greeter").await?[0].nodes.len(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Static(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    tasks: Tasks,
    state: Mutex<State>,
    /// Counts changes, for those who wait for one.
    changed: watch::Sender<u64>,
}

#[derive(Debug)]
struct State {
    given: Vec<Service>,
    files: Vec<Source>,
    table: Arc<Table>,
    /// Whether a task looks at the files.
    polled: bool,
}

impl Static {
    /// The registry of these services. A node without an id is given one of name and address.
    pub fn new(services: impl IntoIterator<Item = Service>) -> Self {
        let given = services.into_iter().map(text::completed).collect();
        // Without files nothing is ever spawned.
        Self::of(given, Vec::new(), &Tasks::new())
    }

    /// The registry of what a file says.
    ///
    /// # Errors
    /// 400 where the file cannot be read now or makes no sense. Later on such a file changes nothing:
    /// what it said before holds, and a warning says what is wrong with it.
    pub fn file(path: impl AsRef<Path>, tasks: &Tasks) -> Result<Self> {
        let source = Source::open(path.as_ref(), tasks.now())?;
        Ok(Self::of(Vec::new(), vec![source], tasks))
    }

    /// The registry of addresses as `--registry_address` has them: `name=host:port`, `file:path`, or
    /// several of both.
    ///
    /// # Errors
    /// 400 where one is neither, and as [`file`](Static::file).
    pub fn parse<T: AsRef<str>>(addresses: &[T], tasks: &Tasks) -> Result<Self> {
        let mut given = Vec::new();
        let mut files = Vec::new();
        for address in addresses {
            let address = address.as_ref().trim();
            match address.strip_prefix(FILE) {
                Some(path) => files.push(Source::open(Path::new(path), tasks.now())?),
                None => given.push(text::pair(address).map_err(|wrong| failure(&wrong))?),
            }
        }
        if given.is_empty() && files.is_empty() {
            return Err(failure(
                "give addresses, NAME=HOST:PORT, or a file with them, file:PATH",
            ));
        }
        Ok(Self::of(given, files, tasks))
    }

    fn of(given: Vec<Service>, files: Vec<Source>, tasks: &Tasks) -> Self {
        let mut state = State {
            given,
            files,
            table: Arc::default(),
            polled: false,
        };
        state.rebuild();
        Self(Arc::new(Inner {
            tasks: tasks.clone(),
            state: Mutex::new(state),
            changed: watch::Sender::default(),
        }))
    }
}

impl State {
    fn rebuild(&mut self) {
        let mut table = Table::default();
        let files = self.files.iter().flat_map(Source::services);
        for service in self.given.iter().chain(files) {
            table.insert(service);
        }
        // The old one stays where it says the same: then there is nothing to compare for watchers.
        if table != *self.table {
            self.table = Arc::new(table);
        }
    }
}

impl Inner {
    /// What is known now, after a look at the files.
    fn table(&self) -> Arc<Table> {
        let (table, changed) = {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            let before = state.table.clone();
            let now = self.tasks.now();
            // Each file is looked at, whatever the others say.
            let looks = state.files.iter_mut().map(|file| file.look(now));
            if looks.fold(false, |any, changed| any | changed) {
                state.rebuild();
            }
            (state.table.clone(), !Arc::ptr_eq(&before, &state.table))
        };
        if changed {
            self.changed.send_modify(|changes| *changes += 1);
        }
        table
    }

    /// Says whether a task must begin to look at the files.
    fn begin_to_poll(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let begins = !state.polled && !state.files.is_empty();
        state.polled |= begins;
        begins
    }

    /// Says whether nobody watches any more; then the task that asks must end.
    fn ends_to_poll(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let ends = self.changed.receiver_count() == 0;
        state.polled = !ends;
        ends
    }
}

/// Looks at the files as long as somebody watches: one task, however many watchers there are.
async fn poll(registry: Weak<Inner>) {
    loop {
        tokio::time::sleep(POLL).await;
        let Some(registry) = registry.upgrade() else {
            return;
        };
        if registry.ends_to_poll() {
            return;
        }
        registry.table();
    }
}

#[async_trait]
impl Registry for Static {
    fn name(&self) -> &str {
        "static"
    }

    /// Changes nothing, and is no error: a service that is started beside such a list is in it.
    async fn register(&self, _: &Service, _: RegisterOptions) -> Result<()> {
        Ok(())
    }

    async fn deregister(&self, _: &Service) -> Result<()> {
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        match self.0.table().get(name) {
            found if found.is_empty() => Err(not_found()),
            found => Ok(found),
        }
    }

    async fn list(&self) -> Result<Vec<Service>> {
        Ok(self.0.table().list())
    }

    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        // First the watcher, so that the task sees it.
        let changed = self.0.changed.subscribe();
        if self.0.begin_to_poll() {
            self.0.tasks.spawn(poll(Arc::downgrade(&self.0)));
        }
        Ok(Box::new(StaticWatcher {
            progress: Progress::new(name, self.0.table()),
            changed,
            registry: self.0.clone(),
        }))
    }
}

#[derive(Debug)]
struct StaticWatcher {
    progress: Progress,
    changed: watch::Receiver<u64>,
    registry: Arc<Inner>,
}

#[async_trait]
impl Watcher for StaticWatcher {
    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.progress.ahead() {
                return Ok(event);
            }
            // Marked as seen before it is looked at: what changes meanwhile wakes the wait below.
            self.changed.mark_unchanged();
            let table = {
                let state = self.registry.state.lock();
                state.unwrap_or_else(PoisonError::into_inner).table.clone()
            };
            if self.progress.advance(table) {
                continue;
            }
            // The registry is held by this watcher, so its sender lives.
            let _ = self.changed.changed().await;
        }
    }
}

fn failure(what: &str) -> Error {
    Error::bad_request(ID, format!("static registry: {what}"))
}
