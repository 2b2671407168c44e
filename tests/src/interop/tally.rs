//! Counts calls: how a test learns how often a handler has run.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use micro_runtime::{Context, Result};

use crate::proto::tally::{AddRequest, AddResponse, ReadRequest, ReadResponse, Tally};

/// Serves `proto/tally.proto`.
#[derive(Default)]
pub(super) struct Counter(Mutex<BTreeMap<String, u64>>);

impl Counter {
    fn count(&self, key: String) -> AddResponse {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(key).or_default();
        *count += 1;
        AddResponse { count: *count }
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
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(ReadResponse {
            count: counts.get(&request.key).copied().unwrap_or_default(),
        })
    }
}
