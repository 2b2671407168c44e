//! A TCP proxy before one node or a registry, which others take for it: how tests learn what that
//! costs its callers which answers late, not at all, or what is no answer.
//!
//! It listens before the node is there, so that the node can advertise it.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// What becomes of what the node says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is passed on.
    Open,
    /// Each byte comes so much later.
    Late(Duration),
    /// It does not come, and no connection ends; later it does.
    Silent,
    /// In its place comes this, to whatever is asked; the node hears nothing more.
    Garbage(Garbage),
}

/// What is no answer, whatever the question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Garbage {
    /// Bytes that mean nothing.
    Noise,
    /// Half the head of an HTTP answer, and then the end.
    HalfHead,
    /// The greeting of a mail server.
    Foreign,
}

impl Garbage {
    /// Each of them.
    pub const ALL: [Self; 3] = [Self::Noise, Self::HalfHead, Self::Foreign];

    /// Its bytes.
    pub fn bytes(self) -> Vec<u8> {
        match self {
            // The same ones each time, so that a run can be told from its log; none is a letter.
            Self::Noise => (0..509_u32)
                .map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 | 0x80)
                .collect(),
            Self::HalfHead => b"HTTP/1.1 200 OK\r\nContent-Type: applica".to_vec(),
            Self::Foreign => b"220 mail.example.com ESMTP ready\r\n".to_vec(),
        }
    }
}

/// Passes connections on to a node in some way. Ended when it is dropped.
#[derive(Debug)]
pub struct Gate {
    address: String,
    /// Where the node is, once it is known, and the way there.
    state: Arc<watch::Sender<(Option<String>, Way)>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Gate {
    /// A gate that leads nowhere yet, on a thread of its own and on a free port of loopback.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub fn new() -> Self {
        Self::at("127.0.0.1")
    }

    /// As [`new`](Gate::new), on a free port of another address.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub fn at(host: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind((host, 0)))
            .expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(watch::Sender::new((None, Way::Open)));
        let (stop, stopped) = oneshot::channel();
        let its = state.clone();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = accept(listener, its) => {}
                }
            });
        });
        Self {
            address,
            state,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// From now on it leads to the node at `target`.
    pub fn leads_to(&self, target: &str) {
        let target = target.to_owned();
        self.state.send_modify(|(to, _)| *to = Some(target));
    }

    /// Changes the way, also of connections that are open.
    pub fn set(&self, way: Way) {
        self.state.send_modify(|(_, now)| *now = way);
    }
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // Whether it panicked is of no interest any more.
            let _ = thread.join();
        }
    }
}

type State = watch::Receiver<(Option<String>, Way)>;

async fn accept(listener: TcpListener, state: Arc<watch::Sender<(Option<String>, Way)>>) {
    while let Ok((client, _)) = listener.accept().await {
        let state = state.subscribe();
        tokio::spawn(async move {
            // A connection that cannot be passed on is closed, as by a node that is not there.
            let _ = pass(client, state).await;
        });
    }
}

/// Passes bytes both ways until one side ends.
async fn pass(mut client: TcpStream, mut state: State) -> io::Result<()> {
    let (target, way) = state.borrow().clone();
    if let Way::Garbage(garbage) = way {
        return if client.read(&mut [0; 4096]).await? == 0 {
            Ok(())
        } else {
            garble(client, garbage).await
        };
    }
    let Some(target) = target else { return Ok(()) };
    let mut server = TcpStream::connect(&target).await?;
    let (mut from_client, mut from_server) = ([0; 4096], [0; 4096]);
    // What the node has said and the client not heard, with the time when it was said; the end of
    // the connection is no bytes.
    let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut over = false;
    loop {
        let now = Instant::now();
        let way = state.borrow_and_update().1;
        let due = match (held.front(), way) {
            (None, _) | (Some(_), Way::Silent) => None,
            (Some(_), Way::Open) => Some(now),
            (Some((said, _)), Way::Late(time)) => Some(*said + time),
            // What it has said until now is lost.
            (Some(_), Way::Garbage(garbage)) => return garble(client, garbage).await,
        };
        if due.is_some_and(|due| due <= now) {
            match held.pop_front() {
                Some((_, bytes)) if !bytes.is_empty() => client.write_all(&bytes).await?,
                _ => return Ok(()),
            }
            continue;
        }
        tokio::select! {
            biased;
            changed = state.changed() => if changed.is_err() {
                return Ok(());
            },
            () = sleep_until(due.unwrap_or(now)), if due.is_some() => {}
            read = server.read(&mut from_server), if !over => {
                let read = read.unwrap_or(0);
                over = read == 0;
                held.push_back((Instant::now(), from_server[..read].to_vec()));
            }
            read = client.read(&mut from_client) => {
                let read = read?;
                if read == 0 {
                    return Ok(());
                }
                let way = state.borrow().1;
                if let Way::Garbage(garbage) = way {
                    return garble(client, garbage).await;
                }
                server.write_all(&from_client[..read]).await?;
            }
        }
    }
}

/// Says what is no answer, and nothing to what is asked after it.
async fn garble(mut client: TcpStream, garbage: Garbage) -> io::Result<()> {
    client.write_all(&garbage.bytes()).await?;
    if garbage == Garbage::HalfHead {
        return client.shutdown().await;
    }
    while client.read(&mut [0; 4096]).await? > 0 {}
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// A server that says back what it hears.
    fn echo() -> String {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = server.local_addr().unwrap().to_string();
        thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                thread::spawn(move || {
                    let mut bytes = [0; 64];
                    while let Ok(read @ 1..) = stream.read(&mut bytes) {
                        stream.write_all(&bytes[..read]).unwrap();
                    }
                });
            }
        });
        address
    }

    fn dial(gate: &Gate) -> std::net::TcpStream {
        let stream = std::net::TcpStream::connect(gate.address()).unwrap();
        let limit = Duration::from_secs(10);
        stream.set_read_timeout(Some(limit)).unwrap();
        stream
    }

    fn asked(stream: &mut std::net::TcpStream, wanted: &[u8]) -> Duration {
        let begun = std::time::Instant::now();
        stream.write_all(b"ping").unwrap();
        let mut answer = vec![0; wanted.len()];
        stream.read_exact(&mut answer).unwrap();
        assert_eq!(answer, wanted);
        begun.elapsed()
    }

    #[test]
    fn an_open_connection_changes_with_the_gate() {
        let gate = Gate::new();
        gate.leads_to(&echo());
        let mut stream = dial(&gate);
        let later = Duration::from_millis(250);
        asked(&mut stream, b"ping");
        gate.set(Way::Late(later));
        assert!(asked(&mut stream, b"ping") >= later);
        gate.set(Way::Silent);
        stream.write_all(b"ping").unwrap();
        stream.set_read_timeout(Some(later)).unwrap();
        assert!(stream.read(&mut [0; 1]).is_err());
        gate.set(Way::Open);
        stream.set_read_timeout(Some(later * 40)).unwrap();
        stream.read_exact(&mut [0; 4]).unwrap();
        for garbage in Garbage::ALL {
            gate.set(Way::Open);
            let mut stream = dial(&gate);
            asked(&mut stream, b"ping");
            gate.set(Way::Garbage(garbage));
            asked(&mut stream, &garbage.bytes());
            asked(&mut dial(&gate), &garbage.bytes());
        }
        gate.set(Way::Open);
        asked(&mut dial(&gate), b"ping");
    }

    #[test]
    fn a_gate_that_leads_nowhere_closes_connections() {
        let mut stream = dial(&Gate::new());
        assert!(matches!(stream.read(&mut [0; 1]), Ok(0) | Err(_)));
    }
}
