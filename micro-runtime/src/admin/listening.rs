//! The listener: where it listens, who is let in, how many at once.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::facts::Sources;
use super::{ID, serving};
use crate::error::{Error, Result};
use crate::tasks::Tasks;
use crate::transport::{Listener, Tcp, Transport, is_unix};

/// How many connections are open at once. One more is let in, and the oldest gives way: who holds
/// connections and says nothing keeps no probe out.
const CONNECTIONS: usize = 32;
/// How long accepting waits after it has failed: for file descriptors, as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a close waits for answers that are under way.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// An open admin listener. Dropped, it ends at once.
#[derive(Debug)]
pub(crate) struct Admin {
    address: String,
    place: Arc<Place>,
}

/// What connections share.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) sources: Sources,
    /// Whether it is bound to this machine, so that a request's `Host` must name this machine.
    pub(super) loopback: bool,
    /// Whether the service has begun to stop.
    pub(super) stopping: watch::Sender<bool>,
    closing: watch::Sender<bool>,
    /// A group of its own: a close ends it.
    tasks: Tasks,
}

impl Admin {
    /// Listens on `address`: `host:port`, or a port alone for this machine. Warns where others can
    /// reach it.
    ///
    /// # Errors
    /// 400 where that is no address; where it cannot be had.
    pub(crate) async fn open(address: &str, sources: Sources) -> Result<Self> {
        let listener = Tcp.listen(&to_listen(address)?).await?;
        let address = listener.address().to_owned();
        let loopback = is_of_this_machine(&address);
        if !loopback {
            warn!(
                address,
                "the admin listener can be reached from other machines, without TLS or a password"
            );
        }
        let tasks = sources.tasks.group();
        let place = Arc::new(Place {
            sources,
            loopback,
            stopping: watch::Sender::new(false),
            closing: watch::Sender::new(false),
            tasks,
        });
        place.tasks.spawn(accept(listener, place.clone()));
        debug!(address, "the admin listener is open");
        Ok(Self { address, place })
    }

    /// Where it listens, with the port that was found.
    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Says from now on that the service stops.
    pub(crate) fn begin_stop(&self) {
        self.place.stopping.send_replace(true);
    }

    /// Accepts nobody any more, and gives answers that are under way a moment.
    pub(crate) async fn close(&self) {
        self.place.closing.send_replace(true);
        let answered = timeout(CLOSE_WAIT, self.place.tasks.idle()).await;
        if answered.is_err() {
            debug!("somebody was still being answered when the admin listener closed");
        }
        self.abort();
    }

    /// Ends all that goes on.
    pub(crate) fn abort(&self) {
        self.place.closing.send_replace(true);
        self.place.tasks.abort_all();
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Place {
    /// Waits until nobody is let in any more. Cancel safe.
    pub(super) async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        if closing.wait_for(|closing| *closing).await.is_err() {
            // The sender is this one's, so it lives.
        }
    }
}

async fn accept(mut listener: Box<dyn Listener>, place: Arc<Place>) {
    // Oldest first.
    let mut open: VecDeque<AbortHandle> = VecDeque::with_capacity(CONNECTIONS);
    loop {
        let accepted = tokio::select! {
            biased;
            () = place.closing() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok(connection) => {
                open.retain(|task| !task.is_finished());
                if open.len() >= CONNECTIONS
                    && let Some(oldest) = open.pop_front()
                {
                    debug!("too many connections to the admin listener, the oldest gives way");
                    oldest.abort();
                }
                let own = place.clone();
                let serving = async move { serving::serve(connection, &own).await };
                open.push_back(place.tasks.spawn(serving));
            }
            Err(error) => {
                warn!(%error, "a connection to the admin listener could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What is listened on where a person gives `address`: without a host, loopback.
fn to_listen(address: &str) -> Result<String> {
    let port = |text: &str| text.parse::<u16>().is_ok();
    if is_unix(address) {
        return Ok(address.to_owned());
    }
    match address.rsplit_once(':') {
        None if port(address) => Ok(format!("127.0.0.1:{address}")),
        Some(("", after)) if port(after) => Ok(format!("127.0.0.1:{after}")),
        Some((_, after)) if port(after) => Ok(address.to_owned()),
        _ => Err(Error::bad_request(
            ID,
            format!("the admin listener needs host:port or a port, not {address:?}"),
        )),
    }
}

/// Whether only this machine reaches what listens on `address`.
fn is_of_this_machine(address: &str) -> bool {
    let bound = address.parse::<SocketAddr>().map(|bound| bound.ip());
    is_unix(address) || bound.is_ok_and(|ip: IpAddr| ip.to_canonical().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_host_only_this_machine_reaches_it() {
        for (given, listens) in [
            ("8081", "127.0.0.1:8081"),
            (":8081", "127.0.0.1:8081"),
            (":0", "127.0.0.1:0"),
            ("0.0.0.0:8081", "0.0.0.0:8081"),
            ("[::1]:8081", "[::1]:8081"),
            ("localhost:8081", "localhost:8081"),
            ("unix:/run/admin", "unix:/run/admin"),
        ] {
            assert_eq!(to_listen(given).unwrap(), listens);
        }
        for wrong in ["", ":", "localhost", "host:", "::1", "host:http", "70000"] {
            // The last part of an IPv6 address looks like a port.
            if wrong != "::1" {
                assert_eq!(to_listen(wrong).unwrap_err().code(), 400, "{wrong}");
            }
        }
    }

    #[test]
    fn loopback_is_told_from_the_network() {
        for here in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "unix:/x"] {
            assert!(is_of_this_machine(here), "{here}");
        }
        for there in ["0.0.0.0:1", "[::]:1", "10.0.0.1:1", "[fd00::1]:1"] {
            assert!(!is_of_this_machine(there), "{there}");
        }
    }
}
