//! Counts calls: how a test learns how often a handler has run.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use micro_runtime::{Context, Result};

use crate::proto::tally::{AddRequest, AddResponse, ReadRequest, ReadResponse, Tally};

/// Serves `proto/tally.proto`.
pub(super) struct Counter {
    counts: Mutex<BTreeMap<String, u64>>,
    trace: bool,
}

impl Counter {
    /// A tally of nothing; `trace` prints each call.
    pub(super) fn new(trace: bool) -> Self {
        Self {
            counts: Mutex::default(),
            trace,
        }
    }

    fn count(&self, key: String) -> AddResponse {
        if self.trace {
            println!("RAN {key}");
        }
        let mut counts = self.lock();
        let count = counts.entry(key).or_default();
        *count += 1;
        AddResponse { count: *count }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tally for Counter {
    async fn add(&self, _cx: &Context, request: AddRequest) -> Result<AddResponse> {
        Ok(self.count(request.key))
    }

    async fn touch(&self, _cx: &Context, request: AddRequest) -> Result<AddResponse> {
        Ok(self.count(request.key))
    }

    async fn read(&self, _cx: &Context, request: ReadRequest) -> Result<ReadResponse> {
        Ok(ReadResponse {
            count: self.lock().get(&request.key).copied().unwrap_or_default(),
        })
    }
}
