//! A server that takes one call and no other.

use tokio::sync::watch;

/// Whether the one call was taken.
#[derive(Debug, Default)]
pub(crate) struct Once(watch::Sender<bool>);

impl Once {
    /// Takes it; `false` where it was taken before.
    pub(crate) fn take(&self) -> bool {
        self.0
            .send_if_modified(|taken| !std::mem::replace(taken, true))
    }

    /// Waits until it is taken. Cancel safe.
    pub(crate) async fn taken(&self) {
        if self.0.subscribe().wait_for(|taken| *taken).await.is_err() {
            // The sender is this one, so it lives.
        }
    }
}
