//! A TCP proxy that cuts a connection after a number of bytes: how tests learn what a client makes
//! of a call that was broken off at that place.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long the server may take to let go of a connection that was cut.
const LETTING_GO: Duration = Duration::from_secs(10);

/// Where a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// The bytes of which side are counted.
    pub side: Side,
    /// How many of them pass.
    pub after: usize,
    /// How the client is told.
    pub how: How,
}

/// A direction of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client. The cut comes as soon as the bytes have passed.
    Request,
    /// From the server. The cut comes when the server has sent more than the bytes that pass.
    Reply,
}

/// How a connection ends for the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// As from a peer that closes it.
    Close,
    /// As from a peer that has crashed.
    Reset,
}

/// What passed on one connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes from the client.
    pub request: usize,
    /// Bytes from the server.
    pub reply: usize,
    /// Whether it was cut.
    pub cut: bool,
}

/// Passes connections on to a server; cuts the first one if it is asked to.
#[derive(Debug)]
pub struct Proxy {
    address: String,
    shared: Arc<Shared>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    target: String,
    /// What is to be cut, until it has been.
    plan: watch::Sender<Option<Cut>>,
    traffic: Mutex<Vec<Traffic>>,
    /// How many connections to the server are open.
    open: watch::Sender<usize>,
}

impl Proxy {
    /// A proxy before the server at `target`.
    ///
    /// # Errors
    /// Where it cannot listen.
    pub async fn before(target: &str) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let shared = Arc::new(Shared {
            target: target.to_owned(),
            plan: watch::Sender::new(None),
            traffic: Mutex::default(),
            open: watch::Sender::new(0),
        });
        Ok(Self {
            address: listener.local_addr()?.to_string(),
            accepting: tokio::spawn(accept(listener, shared.clone())),
            shared,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Cuts the first connection that comes to this place, whether it is open yet or not.
    pub fn cut(&self, cut: Cut) {
        self.shared.plan.send_replace(Some(cut));
    }

    /// What passed on each connection until now, in the order in which they were opened.
    pub fn traffic(&self) -> Vec<Traffic> {
        lock(&self.shared.traffic).clone()
    }

    /// Waits until the server has let go of all connections: then it does nothing more for them.
    ///
    /// # Errors
    /// Where it does not within ten seconds.
    pub async fn let_go(&self) -> Result<(), String> {
        let mut open = self.shared.open.subscribe();
        let none = timeout(LETTING_GO, open.wait_for(|open| *open == 0)).await;
        none.map(drop).map_err(|_| {
            format!(
                "the server keeps {} connections",
                *self.shared.open.borrow()
            )
        })
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((client, _)) = listener.accept().await {
        let number = {
            let mut traffic = lock(&shared.traffic);
            traffic.push(Traffic::default());
            traffic.len() - 1
        };
        let shared = shared.clone();
        shared.open.send_modify(|open| *open += 1);
        tokio::spawn(async move {
            // A connection that cannot be passed on is closed, as by a server that is not there.
            if let Ok(server) = TcpStream::connect(&shared.target).await {
                let _ = pass(client, server, number, &shared).await;
            }
            shared.open.send_modify(|open| *open -= 1);
        });
    }
}

/// Passes bytes both ways until one side ends or the cut comes.
async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    number: usize,
    shared: &Shared,
) -> io::Result<()> {
    let (mut from_client, mut from_server) = ([0; 4096], [0; 4096]);
    let mut plans = shared.plan.subscribe();
    let how = loop {
        let passed = lock(&shared.traffic)[number];
        let plan = *plans.borrow_and_update();
        let room = match plan {
            Some(Cut {
                side: Side::Request,
                after,
                how,
            }) => {
                if passed.request >= after {
                    break Some(how);
                }
                (after - passed.request).min(from_client.len())
            }
            _ => from_client.len(),
        };
        tokio::select! {
            biased;
            // A plan may be made while the connection is open.
            _ = plans.changed() => {}
            read = server.read(&mut from_server) => {
                let read = read?;
                if read == 0 {
                    break None;
                }
                let allowed = match plan {
                    Some(Cut { side: Side::Reply, after, .. }) => after.saturating_sub(passed.reply).min(read),
                    _ => read,
                };
                // Counted first: the client may be done as soon as it has the bytes.
                lock(&shared.traffic)[number].reply += allowed;
                client.write_all(&from_server[..allowed]).await?;
                if allowed < read {
                    break plan.map(|cut| cut.how);
                }
            }
            read = client.read(&mut from_client[..room]) => {
                let read = read?;
                if read == 0 {
                    break None;
                }
                lock(&shared.traffic)[number].request += read;
                server.write_all(&from_client[..read]).await?;
            }
        }
    };
    if let Some(how) = how {
        shared.plan.send_replace(None);
        lock(&shared.traffic)[number].cut = true;
        if how == How::Reset {
            client.set_zero_linger()?;
        }
    }
    drop(client);
    server.shutdown().await?;
    while server.read(&mut from_server).await? > 0 {}
    Ok(())
}
