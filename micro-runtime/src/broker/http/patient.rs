//! Connecting with a time limit of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::timeout;

use crate::broker::ID;
use crate::error::{Error, Result};
use crate::transport::{Connection, Listener, Transport};

/// Dials with a time limit, so that a host that swallows everything is told from one that is slow.
#[derive(Debug)]
pub(super) struct Patient {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) patience: Duration,
}

#[async_trait]
impl Transport for Patient {
    fn name(&self) -> &str {
        self.inner.name()
    }

    async fn dial(&self, address: &str) -> Result<Connection> {
        match timeout(self.patience, self.inner.dial(address)).await {
            Ok(dialled) => dialled,
            Err(_) => {
                let words = format!("connection error: {address} did not answer in time");
                Err(Error::timeout(ID, words).unprocessed())
            }
        }
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.inner.listen(address).await
    }
}
