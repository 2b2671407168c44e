//! TCP, and with it name resolution; and Unix sockets, where an address names one.

use std::io::ErrorKind;

use async_trait::async_trait;

#[cfg(unix)]
use super::is_unix;
use super::{Connection, Listener, Transport};
use crate::error::{Error, Result, id};

/// TCP with `TCP_NODELAY`; what Go Micro calls the transport `http` runs on it. An address `unix:/path` is
/// [`Unix`](super::Unix)'s.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

#[async_trait]
impl Transport for Tcp {
    fn name(&self) -> &str {
        "http"
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that dials and resolves"
    )]
    async fn dial(&self, address: &str) -> Result<Connection> {
        #[cfg(unix)]
        if is_unix(address) {
            return super::Unix.dial(address).await;
        }
        let failed = |error: std::io::Error| {
            Error::internal(
                id::CLIENT,
                format!("connection error: dial tcp {address}: {error}"),
            )
            .with_source(error)
            .unprocessed()
        };
        let socket = tokio::net::TcpStream::connect(address)
            .await
            .map_err(failed)?;
        socket.set_nodelay(true).map_err(failed)?;
        let local = socket.local_addr().map_err(failed)?.to_string();
        Ok(Connection::new(socket, address.to_owned(), local))
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that listens")]
    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        #[cfg(unix)]
        if is_unix(address) {
            return super::Unix.listen(address).await;
        }
        // Go Micro writes `:8080` for every interface.
        let spelled = match address.strip_prefix(':') {
            Some(port) => format!("[::]:{port}"),
            None => address.to_owned(),
        };
        let failed = |error: std::io::Error| {
            Error::internal(id::SERVER, format!("cannot listen on {address}: {error}"))
                .with_source(error)
        };
        let listener = match tokio::net::TcpListener::bind(&spelled).await {
            // A machine without IPv6 has no `[::]`.
            Err(_) if spelled.starts_with("[::]:") => {
                tokio::net::TcpListener::bind(spelled.replacen("[::]", "0.0.0.0", 1)).await
            }
            bound => bound,
        }
        .map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?.to_string();
        Ok(Box::new(TcpListener {
            listener,
            address,
            #[cfg(unix)]
            spare: super::spare::Spare::new(),
        }))
    }
}

fn is_the_peers(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectionAborted | ErrorKind::ConnectionReset | ErrorKind::Interrupted
    )
}

#[derive(Debug)]
struct TcpListener {
    listener: tokio::net::TcpListener,
    address: String,
    #[cfg(unix)]
    spare: super::spare::Spare,
}

#[async_trait]
impl Listener for TcpListener {
    fn address(&self) -> &str {
        &self.address
    }

    async fn accept(&mut self) -> Result<Connection> {
        loop {
            let (socket, peer) = match self.listener.accept().await {
                Ok(accepted) => accepted,
                // The peer was gone before it was accepted: that holds up nobody else.
                Err(error) if is_the_peers(error.kind()) => continue,
                Err(error) => {
                    #[cfg(unix)]
                    {
                        let listener = &self.listener;
                        self.spare
                            .turn_away(&error, |task| listener.poll_accept(task))
                            .await;
                    }
                    return Err(error.into());
                }
            };
            #[cfg(unix)]
            self.spare.keep();
            let (Ok(()), Ok(local)) = (socket.set_nodelay(true), socket.local_addr()) else {
                continue;
            };
            return Ok(Connection::new(socket, peer.to_string(), local.to_string()));
        }
    }
}
