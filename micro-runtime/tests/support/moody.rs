//! A registry for tests of what happens where one does not do its work.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use micro_runtime::registry::{self, Memory, RegisterOptions, Registry, Watcher};
use micro_runtime::{Error, Result};

/// A registry that fails, or never answers, as it is told; and counts.
#[derive(Clone, Debug, Default)]
pub struct Moody {
    inner: Memory,
    mood: Arc<AtomicUsize>,
    pub asked: Arc<AtomicUsize>,
    pub removed: Arc<AtomicUsize>,
    /// What the last registration was asked for with.
    pub last: Arc<Mutex<RegisterOptions>>,
}

pub const GOOD: usize = 0;
pub const REFUSES: usize = 1;
/// Says no, and always will.
pub const FORBIDS: usize = 4;
pub const SILENT: usize = 2;
/// Does what it is asked, and never says so.
pub const MUTE: usize = 3;
/// Registers after two seconds; deregisters at once.
pub const SLOW: usize = 5;

impl Moody {
    /// How often it was asked to register, and to deregister.
    pub fn counts(&self) -> (usize, usize) {
        (
            self.asked.load(Ordering::SeqCst),
            self.removed.load(Ordering::SeqCst),
        )
    }

    /// From now on.
    pub fn set(&self, mood: usize) {
        self.mood.store(mood, Ordering::SeqCst);
    }

    async fn answer(&self) -> Result<()> {
        match self.mood.load(Ordering::SeqCst) {
            FORBIDS => Err(Error::forbidden("moody", "not you")),
            REFUSES => Err(Error::unavailable("moody", "not now")),
            SILENT | MUTE => std::future::pending().await,
            _ => Ok(()),
        }
    }
}

#[async_trait]
impl Registry for Moody {
    fn name(&self) -> &str {
        "moody"
    }
    async fn register(&self, service: &registry::Service, options: RegisterOptions) -> Result<()> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = options;
        let mood = self.mood.load(Ordering::SeqCst);
        if mood == SLOW {
            // Whether or not anybody still waits for it.
            let (inner, service) = (self.inner.clone(), service.clone());
            #[allow(
                clippy::disallowed_methods,
                reason = "a registry's work is nobody's task here"
            )]
            let done = tokio::spawn(async move {
                tokio::time::sleep(std::time::Duration::from_secs(2)).await;
                inner.register(&service, options).await
            });
            return done.await.expect("it does not panic");
        }
        if matches!(mood, GOOD | MUTE) {
            self.inner.register(service, options).await?;
        }
        self.answer().await
    }
    async fn deregister(&self, service: &registry::Service) -> Result<()> {
        self.removed.fetch_add(1, Ordering::SeqCst);
        if matches!(self.mood.load(Ordering::SeqCst), GOOD | MUTE | SLOW) {
            self.inner.deregister(service).await?;
        }
        self.answer().await
    }
    async fn get(&self, name: &str) -> Result<Vec<registry::Service>> {
        self.inner.get(name).await
    }
    async fn list(&self) -> Result<Vec<registry::Service>> {
        self.inner.list().await
    }
    async fn watch(&self, name: Option<&str>) -> Result<Box<dyn Watcher>> {
        self.inner.watch(name).await
    }
}
