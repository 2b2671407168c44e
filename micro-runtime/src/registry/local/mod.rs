//! The registry of one user on one machine: files, and nothing to install or to start.
//!
//! Each node is one file in a private folder, and its owner holds a lock on it as long as it lives.
//! Whoever can take the lock knows that the owner is dead, however it died, and removes the file. So
//! there is no time to live and no heartbeat. The folder belongs to one network namespace: containers
//! that share a folder for temporary files do not find each other's loopback addresses.
//!
//! File access is blocking and done inline: a scan is a listing and, for each node, an open and a
//! lock, some microseconds each, in a folder of memory or the page cache.

mod file;
mod folder;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use tokio::time::Instant;

use self::file::{Found, Held};
use super::table::{Key, Progress, Table, key};
use super::{Event, ID, Reach, RegisterOptions, Registry, Service, Watcher, not_found};
use crate::error::{Error, Result};
use crate::tasks::Tasks;

/// How often watchers look; all watchers of one registry share a look.
const POLL: Duration = Duration::from_millis(250);
/// How many files are looked at; more are no honest use.
const MAX_FILES: usize = 4096;

/// Knows the services of this user on this machine.
///
/// A clone is the same registry. What was registered is removed when the last clone is dropped; a
/// node is only deregistered where it was registered.
#[derive(Clone, Debug)]
pub struct Local(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    base: PathBuf,
    folder: PathBuf,
    tasks: Tasks,
    held: Mutex<BTreeMap<Key, (Service, Held)>>,
    scan: Mutex<Scan>,
}

/// What the folder held when it was last looked at.
#[derive(Debug, Default)]
struct Scan {
    /// By file name; a name is never used twice, so what was read once is not read again.
    files: BTreeMap<String, Known>,
    table: Arc<Table>,
    at: Option<Instant>,
}

/// A file of a living owner.
#[derive(Debug)]
struct Known {
    written: SystemTime,
    /// `None` where the file makes no sense.
    service: Option<Service>,
}

impl Local {
    /// The registry in a folder inside `base`, which is made if need be; its parent must be there.
    ///
    /// # Errors
    /// Where a folder is open to others or not ours, or on a system without private folders.
    pub fn at(base: impl AsRef<Path>, tasks: &Tasks) -> Result<Self> {
        let folder = folder::open(base.as_ref())?;
        file::remove_leftovers(&folder);
        Ok(Self(Arc::new(Inner {
            base: base.as_ref().to_owned(),
            folder,
            tasks: tasks.clone(),
            held: Mutex::default(),
            scan: Mutex::default(),
        })))
    }

    /// The folder with the files.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }
}

impl Inner {
    fn register(&self, one: Service, key: Key) -> Result<()> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((before, file)) = held.get(&key)
            && *before == one
            && file.is_there()
        {
            return Ok(());
        }
        // Whoever cleans up temporary files may have taken the folder, too.
        folder::open(&self.base)?;
        let file = file::write(&self.folder, &one, &self.tasks)?;
        // The old file goes after the new one has come: readers see one of them at any time.
        held.insert(key, (one, file));
        Ok(())
    }

    fn deregister(&self, key: &Key) {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.remove(key);
    }

    /// What the folder holds; at most `age` old.
    fn table(&self, age: Duration) -> Result<Arc<Table>> {
        let mut scan = self.scan.lock().unwrap_or_else(PoisonError::into_inner);
        if scan.at.is_none_or(|at| at.elapsed() >= age) {
            scan.look(&self.folder)
                .map_err(|error| failure("cannot read", &self.folder, error))?;
            scan.at = Some(Instant::now());
        }
        Ok(scan.table.clone())
    }
}

impl Scan {
    fn look(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut before = std::mem::take(&mut self.files);
        let mut changed = false;
        for (name, path) in file::list(folder, MAX_FILES)? {
            let known = before.remove(&name);
            match file::look(&path, known.is_none()) {
                Found::Alive(read) => {
                    changed |= known.is_none();
                    let file = known.unwrap_or_else(|| read.map_or_else(Known::junk, Known::of));
                    self.files.insert(name, file);
                }
                Found::Unclear => {
                    if let Some(known) = known {
                        self.files.insert(name, known);
                    }
                }
                Found::Gone => changed |= known.is_some(),
            }
        }
        if changed || !before.is_empty() {
            let mut files: Vec<&Known> = self.files.values().collect();
            // Of two files with one node the later counts.
            files.sort_by_key(|file| file.written);
            let mut table = Table::default();
            for service in files.iter().filter_map(|file| file.service.as_ref()) {
                table.insert(service);
            }
            self.table = Arc::new(table);
        }
        Ok(())
    }
}

impl Known {
    fn of((written, service): (SystemTime, Option<Service>)) -> Self {
        Self { written, service }
    }

    fn junk() -> Self {
        Self::of((SystemTime::UNIX_EPOCH, None))
    }
}

#[async_trait]
impl Registry for Local {
    fn name(&self) -> &str {
        "local"
    }

    fn reach(&self) -> Reach {
        Reach::Machine
    }

    /// The time to live is not used: a node is known as long as its process lives.
    async fn register(&self, service: &Service, _: RegisterOptions) -> Result<()> {
        for node in &service.nodes {
            let one = service.with_nodes(vec![node.clone()]);
            self.0.register(one, key(service, node))?;
        }
        Ok(())
    }

    async fn deregister(&self, service: &Service) -> Result<()> {
        for node in &service.nodes {
            self.0.deregister(&key(service, node));
        }
        Ok(())
    }

    async fn get(&self, name: &str) -> Result<Vec<Service>> {
        match self.0.table(Duration::ZERO)?.get(name) {
            found if found.is_empty() => Err(not_found()),
            found => Ok(found),
        }
    }

    async fn list(&self) -> Result<Vec<Service>> {
        Ok(self.0.table(Duration::ZERO)?.list())
    }

    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        Ok(Box::new(LocalWatcher {
            progress: Progress::new(name, self.0.table(Duration::ZERO)?),
            due: Instant::now() + POLL,
            registry: self.0.clone(),
        }))
    }
}

#[derive(Debug)]
struct LocalWatcher {
    progress: Progress,
    /// When to look next: a time of its own, so that cancelled waits do not put it off.
    due: Instant,
    registry: Arc<Inner>,
}

#[async_trait]
impl Watcher for LocalWatcher {
    async fn next(&mut self) -> Result<Event> {
        loop {
            if let Some(event) = self.progress.ahead() {
                return Ok(event);
            }
            tokio::time::sleep_until(self.due).await;
            self.due = Instant::now() + POLL;
            self.progress.advance(self.registry.table(POLL / 2)?);
        }
    }
}

fn failure(what: &str, path: &Path, error: std::io::Error) -> Error {
    Error::internal(
        ID,
        format!("local registry: {what} {}: {error}", path.display()),
    )
    .with_source(error)
}
