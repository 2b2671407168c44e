//! The calls that are being served.

use serde::Serialize;
use tokio::time::Instant;

use super::{Sources, ms};
use crate::router::Running;

/// How many calls are told of, the oldest.
const TOLD: usize = 1_000;

/// What `/calls` tells.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Calls {
    pub(in crate::admin) running: usize,
    pub(in crate::admin) calls: Vec<Call>,
    pub(in crate::admin) left_out: u64,
}

/// A call that is being served.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Call {
    pub(in crate::admin) endpoint: String,
    pub(in crate::admin) path: String,
    pub(in crate::admin) stream: bool,
    pub(in crate::admin) peer: String,
    pub(in crate::admin) protocol: &'static str,
    pub(in crate::admin) secure: bool,
    pub(in crate::admin) age_ms: f64,
    pub(in crate::admin) deadline_left_ms: Option<f64>,
}

pub(in crate::admin) fn calls(sources: &Sources) -> Calls {
    let (mut listed, unlisted) = sources.core.listed();
    let more = listed.len().saturating_sub(TOLD);
    listed.truncate(TOLD);
    let now = Instant::now();
    Calls {
        running: sources.core.running(),
        calls: listed.iter().map(|running| call(running, now)).collect(),
        left_out: unlisted + u64::try_from(more).unwrap_or_default(),
    }
}

fn call(running: &Running, now: Instant) -> Call {
    let Running { method, cx, began } = running;
    let peer = cx.peer();
    let left = |deadline: Instant| ms(deadline.saturating_duration_since(now));
    Call {
        endpoint: method.endpoint.to_string(),
        path: method.path.to_string(),
        stream: method.kind.is_stream(),
        peer: peer
            .map(|peer| peer.address.to_string())
            .unwrap_or_default(),
        protocol: peer.map_or("", |peer| peer.protocol),
        secure: peer.is_some_and(|peer| peer.secure),
        age_ms: ms(now.saturating_duration_since(*began)),
        deadline_left_ms: cx.deadline().map(left),
    }
}
