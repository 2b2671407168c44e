//! Go Micro's Debug service: health and counters, served beside a service's own handlers; and what
//! these look like, which is ours.

mod generated;
mod schema;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::call::Dispatch;
use crate::context::Context;
use crate::error::Result;
use crate::router::CallCounters;
use crate::schema::Announcement;
use crate::tasks::Tasks;

use generated::debug::{
    Debug, DebugServer, HealthRequest, HealthResponse, SchemaRequest, SchemaResponse, StatsRequest,
    StatsResponse,
};

/// Serves `Debug.Health`, `Debug.Stats` with what `counters` count from now on, and `Debug.Schema` of
/// what is `announced`.
pub(crate) fn debug_service(
    counters: Arc<CallCounters>,
    tasks: Tasks,
    announced: Option<Announcement>,
) -> Arc<dyn Dispatch> {
    let started = tasks.now();
    Arc::new(DebugServer::new(Own {
        counters,
        tasks,
        started,
        announced,
    }))
}

struct Own {
    counters: Arc<CallCounters>,
    tasks: Tasks,
    started: SystemTime,
    announced: Option<Announcement>,
}

impl Debug for Own {
    async fn health(&self, _cx: &Context, _request: HealthRequest) -> Result<HealthResponse> {
        Ok(HealthResponse {
            status: "ok".to_owned(),
        })
    }

    async fn stats(&self, _cx: &Context, _request: StatsRequest) -> Result<StatsResponse> {
        let now = self.tasks.now();
        let (requests, errors) = self.counters.totals();
        let process = Process::read();
        Ok(StatsResponse {
            timestamp: unix(now),
            started: unix(self.started),
            uptime: now
                .duration_since(self.started)
                .unwrap_or_default()
                .as_secs(),
            memory: process.memory,
            threads: process.threads,
            // There is no garbage collection.
            gc: 0,
            requests,
            errors,
        })
    }

    async fn schema(&self, _cx: &Context, request: SchemaRequest) -> Result<SchemaResponse> {
        let file_descriptor_set = schema::set(self.announced.as_ref(), &request.services)?;
        Ok(SchemaResponse {
            file_descriptor_set,
        })
    }
}

/// What the system says of this process.
#[derive(Debug)]
pub(crate) struct Process {
    /// Bytes of memory that it has, 0 where that is not known.
    pub(crate) memory: u64,
    /// Its threads, 0 where that is not known.
    pub(crate) threads: u64,
}

impl Process {
    pub(crate) fn read() -> Self {
        let text = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            memory: status(&text, "VmRSS:") * 1024,
            threads: status(&text, "Threads:"),
        }
    }
}

fn unix(time: SystemTime) -> u64 {
    time.duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or(Duration::ZERO)
        .as_secs()
}

/// A number of Linux's `/proc/self/status` (proc_pid_status(5)); 0 elsewhere.
fn status(text: &str, key: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(key));
    line.and_then(|rest| rest.split_whitespace().next())
        .and_then(|number| number.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_kernels_numbers() {
        let text = "Name:\tx\nVmRSS:\t    4312 kB\nThreads:\t3\n";
        assert_eq!(
            (
                status(text, "VmRSS:"),
                status(text, "Threads:"),
                status(text, "Nope:")
            ),
            (4312, 3, 0)
        );
    }
}
