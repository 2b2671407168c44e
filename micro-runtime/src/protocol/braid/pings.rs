//! Pings of a peer, which are answered, but not without end.

use std::time::Duration;

use tokio::time::Instant;

use super::fault::Fault;

/// How many are taken in how much time: far more than anyone needs who asks whether we are there.
const MOST: u32 = 1000;
const SPAN: Duration = Duration::from_secs(10);

/// Counts them.
#[derive(Debug, Default)]
pub(super) struct Pings {
    since: Option<Instant>,
    count: u32,
}

impl Pings {
    /// Takes one more.
    pub(super) fn count(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        match self.since {
            Some(since) if now.saturating_duration_since(since) < SPAN => self.count += 1,
            _ => (self.since, self.count) = (Some(now), 1),
        }
        match self.count > MOST {
            true => Err(Fault::Pings),
            false => Ok(()),
        }
    }
}
