//! Connections within a process: for tests, for simulation, and for services that live together.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use async_trait::async_trait;
use tokio::sync::mpsc;

use super::{Connection, Listener, Transport};
use crate::error::{Error, Result, id};

/// How many bytes a direction holds before its writer waits.
const PIPE: usize = 64 * 1024;
/// How many connections wait to be accepted.
const BACKLOG: usize = 128;

/// A network inside the process. Clones are the same network; two `Memory::new()` do not meet.
#[derive(Clone, Debug, Default)]
pub struct Memory(Arc<Network>);

#[derive(Debug, Default)]
struct Network {
    listeners: Mutex<BTreeMap<String, mpsc::Sender<Connection>>>,
    next: AtomicU64,
}

impl Memory {
    /// A new, empty network.
    pub fn new() -> Self {
        Self::default()
    }
}

#[async_trait]
impl Transport for Memory {
    fn name(&self) -> &str {
        "memory"
    }

    async fn dial(&self, address: &str) -> Result<Connection> {
        let refused = || {
            Error::internal(
                id::CLIENT,
                format!("connection error: nobody listens on {address} in memory"),
            )
            .unprocessed()
        };
        let listener = self
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(address)
            .cloned()
            .ok_or_else(refused)?;
        let (ours, theirs) = tokio::io::duplex(PIPE);
        let local = format!(
            "memory-client-{}",
            self.0.next.fetch_add(1, Ordering::Relaxed)
        );
        listener
            .send(Connection::new(theirs, local.clone(), address.to_owned()))
            .await
            .map_err(|_| refused())?;
        Ok(Connection::new(ours, address.to_owned(), local))
    }

    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        let mut listeners = self
            .0
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // An address of a network has a port; port 0 asks for a free one here too.
        let address = if address.is_empty() || address.ends_with(":0") {
            format!("memory-{}", self.0.next.fetch_add(1, Ordering::Relaxed))
        } else {
            address.to_owned()
        };
        if listeners
            .get(&address)
            .is_some_and(|listener| !listener.is_closed())
        {
            return Err(Error::internal(
                id::SERVER,
                format!("cannot listen on {address} in memory: it is taken"),
            ));
        }
        let (accept, accepted) = mpsc::channel(BACKLOG);
        listeners.insert(address.clone(), accept);
        Ok(Box::new(MemoryListener {
            network: Arc::downgrade(&self.0),
            address,
            accepted,
        }))
    }
}

#[derive(Debug)]
struct MemoryListener {
    network: Weak<Network>,
    address: String,
    accepted: mpsc::Receiver<Connection>,
}

#[async_trait]
impl Listener for MemoryListener {
    fn address(&self) -> &str {
        &self.address
    }

    async fn accept(&mut self) -> Result<Connection> {
        match self.accepted.recv().await {
            Some(connection) => Ok(connection),
            // The network itself is gone, and with it everyone who could dial.
            None => std::future::pending().await,
        }
    }
}

impl Drop for MemoryListener {
    fn drop(&mut self) {
        self.accepted.close();
        let Some(network) = self.network.upgrade() else {
            return;
        };
        let mut listeners = network
            .listeners
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // Another one may have taken the address since.
        if listeners
            .get(&self.address)
            .is_some_and(|listener| listener.is_closed())
        {
            listeners.remove(&self.address);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_address_is_free_again_when_its_listener_is_gone() {
        let network = Memory::new();
        let listener = network.listen("a").await.unwrap();
        assert!(network.listen("a").await.is_err());
        drop(listener);
        assert!(network.dial("a").await.is_err_and(|e| e.is_unprocessed()));
        assert!(network.0.listeners.lock().unwrap().is_empty());
        network.listen("a").await.unwrap();
    }
}
