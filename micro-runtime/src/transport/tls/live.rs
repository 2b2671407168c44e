//! A configuration that follows the files it is made of.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::error::Result;

/// How often files are looked at, at most: when a connection is made.
pub(super) const LOOK: Duration = Duration::from_secs(10);

/// What a configuration is made of.
pub(super) trait Material: Clone + PartialEq + Send + Sync + 'static {
    /// What it makes.
    type Config: Send + Sync;

    /// Whether any of it is in files.
    fn is_in_files(&self) -> bool;

    /// The same, as the files have it now.
    fn read_again(&self) -> Result<Self>;

    /// The configuration.
    fn config(&self) -> Result<Self::Config>;
}

/// The configuration of the moment.
///
/// There is no task that watches: who makes a connection looks whether it is time to look, so that
/// nothing runs where nothing connects, and nothing is left to be stopped.
pub(super) struct Live<M: Material> {
    current: ArcSwapOption<M::Config>,
    state: Mutex<State<M>>,
    every: Duration,
}

struct State<M> {
    /// What the current configuration is made of.
    used: M,
    looked: Instant,
    /// What was wrong when it was last looked, told once.
    wrong: Option<String>,
}

impl<M: Material> Live<M> {
    pub(super) fn new(used: M, every: Duration) -> Self {
        Self {
            current: ArcSwapOption::empty(),
            state: Mutex::new(State {
                used,
                looked: Instant::now(),
                wrong: None,
            }),
            every,
        }
    }

    /// What it was made of, and how often files are looked at.
    pub(super) fn parts(&self) -> (M, Duration) {
        (self.lock().used.clone(), self.every)
    }

    /// The configuration for a connection that is made now.
    ///
    /// # Errors
    /// Where none could be made yet. What goes wrong later is logged, and the last good one serves on.
    pub(super) fn config(&self) -> Result<Arc<M::Config>> {
        if let Some(current) = self.current.load_full() {
            // Who comes while somebody else looks does not wait for that.
            let Ok(mut state) = self.state.try_lock() else {
                return Ok(current);
            };
            if !state.used.is_in_files() || state.looked.elapsed() < self.every {
                return Ok(current);
            }
            self.look(&mut state);
            return Ok(self.current.load_full().unwrap_or(current));
        }
        let mut state = self.lock();
        if let Some(current) = self.current.load_full() {
            return Ok(current);
        }
        let config = Arc::new(state.used.config()?);
        self.current.store(Some(config.clone()));
        state.looked = Instant::now();
        Ok(config)
    }

    /// Reads the files now; says whether anything was new.
    ///
    /// # Errors
    /// Where they are of no use: then the last good ones serve on.
    pub(super) fn reload(&self) -> Result<bool> {
        self.renew(&mut self.lock())
    }

    fn look(&self, state: &mut State<M>) {
        match self.renew(state) {
            Ok(false) => {}
            Ok(true) => info!("TLS certificates were renewed"),
            Err(error) => {
                let wrong = error.detail().to_owned();
                if state.wrong.as_ref() != Some(&wrong) {
                    warn!(error = %wrong, "new TLS certificates are of no use, the last good ones serve on");
                    state.wrong = Some(wrong);
                }
            }
        }
    }

    fn renew(&self, state: &mut State<M>) -> Result<bool> {
        state.looked = Instant::now();
        let fresh = state.used.read_again()?;
        if fresh == state.used {
            state.wrong = None;
            return Ok(false);
        }
        self.current.store(Some(Arc::new(fresh.config()?)));
        state.used = fresh;
        state.wrong = None;
        Ok(true)
    }

    fn lock(&self) -> MutexGuard<'_, State<M>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<M: Material + fmt::Debug> fmt::Debug for Live<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock().used.fmt(f)
    }
}
