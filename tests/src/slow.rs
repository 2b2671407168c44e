//! A TCP proxy that takes its time: how tests learn what becomes of a client whose server is slow.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How fast answers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// As the server is.
    AtOnce,
    /// Each byte of an answer comes so much later.
    After(Duration),
    /// No answer comes, and no connection ends.
    Never,
}

/// Passes connections on to a server, at a pace. Ended when it is dropped.
#[derive(Debug)]
pub struct Slow {
    address: String,
    pace: Arc<watch::Sender<Pace>>,
    stop: Option<tokio::sync::oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Slow {
    /// A proxy before the server at `target`, on a thread of its own; at first it adds nothing.
    ///
    /// # Panics
    /// Where it cannot listen.
    pub fn before(target: &str) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let listener = runtime
            .block_on(TcpListener::bind("127.0.0.1:0"))
            .expect("a free port");
        let address = listener.local_addr().expect("an address").to_string();
        let pace = Arc::new(watch::Sender::new(Pace::AtOnce));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (target, its) = (target.to_owned(), pace.clone());
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    biased;
                    _ = stopped => {}
                    () = accept(listener, target, its) => {}
                }
            });
        });
        Self {
            address,
            pace,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Answers come at another pace from now on, also those that are under way.
    pub fn set(&self, pace: Pace) {
        self.pace.send_replace(pace);
    }
}

impl Drop for Slow {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            // Whether it panicked is of no interest any more.
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, target: String, pace: Arc<watch::Sender<Pace>>) {
    while let Ok((client, _)) = listener.accept().await {
        let (target, pace) = (target.clone(), pace.subscribe());
        tokio::spawn(async move {
            // A connection that cannot be passed on is closed, as by a server that is not there.
            if let Ok(server) = TcpStream::connect(&target).await {
                let _ = pass(client, server, pace).await;
            }
        });
    }
}

/// Passes bytes both ways until one side ends.
async fn pass(
    mut client: TcpStream,
    mut server: TcpStream,
    mut pace: watch::Receiver<Pace>,
) -> io::Result<()> {
    let (mut from_client, mut from_server) = ([0; 4096], [0; 4096]);
    // What the server has said and the client not heard, with the time when it was said; the end of
    // the connection is no bytes.
    let mut held: VecDeque<(Instant, Vec<u8>)> = VecDeque::new();
    let mut over = false;
    loop {
        let now = Instant::now();
        let due = match (held.front(), *pace.borrow_and_update()) {
            (None, _) | (Some(_), Pace::Never) => None,
            (Some(_), Pace::AtOnce) => Some(now),
            (Some((said, _)), Pace::After(time)) => Some(*said + time),
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
            changed = pace.changed() => if changed.is_err() {
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
                server.write_all(&from_client[..read]).await?;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    /// How long an answer takes.
    fn answered(proxy: &Slow) -> Option<Duration> {
        let mut stream = std::net::TcpStream::connect(proxy.address()).unwrap();
        let limit = Duration::from_millis(600);
        stream.set_read_timeout(Some(limit)).unwrap();
        let asked = std::time::Instant::now();
        stream.write_all(b"ping").unwrap();
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).ok()?;
        assert_eq!(&answer, b"ping");
        Some(asked.elapsed())
    }

    #[test]
    fn answers_come_at_the_pace_that_was_set() {
        let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Slow::before(&server.local_addr().unwrap().to_string());
        thread::spawn(move || {
            for stream in server.incoming() {
                let mut stream = stream.unwrap();
                let mut asked = [0; 4];
                if stream.read_exact(&mut asked).is_ok() {
                    let _ = stream.write_all(&asked);
                }
            }
        });
        let later = Duration::from_millis(250);
        assert!(answered(&proxy).unwrap() < later);
        proxy.set(Pace::After(later));
        assert!(answered(&proxy).unwrap() >= later);
        proxy.set(Pace::Never);
        assert_eq!(answered(&proxy), None);
        proxy.set(Pace::AtOnce);
        assert!(answered(&proxy).unwrap() < later);
    }
}
