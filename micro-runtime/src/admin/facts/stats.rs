//! Calls by method, and the process.

use std::sync::atomic::Ordering;

use serde::Serialize;
use tokio::time::Instant;

use super::{About, Sources, ms};
use crate::router::Latency;
use crate::server::Process;

/// What `/stats` tells.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Stats<'a> {
    pub(in crate::admin) service: &'a About,
    pub(in crate::admin) uptime_ms: f64,
    pub(in crate::admin) memory_bytes: u64,
    pub(in crate::admin) threads: u64,
    pub(in crate::admin) tasks: usize,
    pub(in crate::admin) connections: usize,
    pub(in crate::admin) calls: Totals,
    pub(in crate::admin) events: Totals,
    pub(in crate::admin) methods: Vec<Method>,
}

/// All calls, or all events.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Totals {
    pub(in crate::admin) running: usize,
    pub(in crate::admin) started: u64,
    pub(in crate::admin) failed: u64,
}

/// The calls of one method.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Method {
    pub(in crate::admin) service: &'static str,
    pub(in crate::admin) method: String,
    pub(in crate::admin) running: u64,
    pub(in crate::admin) started: u64,
    pub(in crate::admin) failed: u64,
    pub(in crate::admin) given_up: u64,
    pub(in crate::admin) latency: Times,
}

/// How long calls took that ended lately.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Times {
    pub(in crate::admin) count: u64,
    pub(in crate::admin) p50_ms: f64,
    pub(in crate::admin) p90_ms: f64,
    pub(in crate::admin) p99_ms: f64,
    pub(in crate::admin) max_ms: f64,
}

impl From<Latency> for Times {
    fn from(latency: Latency) -> Self {
        Self {
            count: latency.count,
            p50_ms: ms(latency.p50),
            p90_ms: ms(latency.p90),
            p99_ms: ms(latency.p99),
            max_ms: ms(latency.max),
        }
    }
}

pub(in crate::admin) fn stats(sources: &Sources) -> Stats<'_> {
    let process = Process::read();
    let now = sources.tasks.now();
    let uptime = now.duration_since(sources.about.started);
    let (started, failed) = sources.core.totals();
    let events = sources.events.counters();
    let (events_started, events_failed) = events.totals();
    let methods = sources.core.counted(Instant::now());
    Stats {
        service: &sources.about,
        uptime_ms: ms(uptime.unwrap_or_default()),
        memory_bytes: process.memory,
        threads: process.threads,
        tasks: sources.tasks.running() + sources.core.tasks().running(),
        connections: sources.connections.load(Ordering::Relaxed),
        calls: Totals {
            running: sources.core.running(),
            started,
            failed,
        },
        events: Totals {
            running: events.running(),
            started: events_started,
            failed: events_failed,
        },
        methods: methods
            .map(|(service, method, counted)| Method {
                service,
                method: method.name().to_owned(),
                running: counted.running,
                started: counted.started,
                failed: counted.failed,
                given_up: counted.given_up,
                latency: counted.latency.into(),
            })
            .collect(),
    }
}
