//! Who is asked.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::options::{DnsOptions, PORT};

/// How many servers of a file are asked; the C library takes as many.
const MAX_SERVERS: usize = 3;
/// How often the file is read, which is small and read inline.
const FRESH: Duration = Duration::from_secs(10);

/// The name servers, given or the system's.
#[derive(Debug)]
pub(super) struct Servers {
    /// Where given, they stay.
    given: Vec<SocketAddr>,
    read: Mutex<Option<(Instant, Vec<SocketAddr>)>>,
    /// The place of the one that answered last, which is asked first.
    good: AtomicUsize,
}

impl Servers {
    pub(super) fn new(options: &DnsOptions) -> Self {
        Self {
            given: options.servers.clone(),
            read: Mutex::default(),
            good: AtomicUsize::new(0),
        }
    }

    /// All servers with their places, the one that answered last first.
    pub(super) fn all(&self, file: &Path) -> Vec<(usize, SocketAddr)> {
        let servers = if self.given.is_empty() {
            self.of_file(file)
        } else {
            self.given.clone()
        };
        let mut servers: Vec<_> = servers.into_iter().enumerate().collect();
        let good = self.good.load(Ordering::Relaxed);
        if good < servers.len() {
            servers.rotate_left(good);
        }
        servers
    }

    /// Notes that the server at `place` answered.
    pub(super) fn answered(&self, place: usize) {
        self.good.store(place, Ordering::Relaxed);
    }

    fn of_file(&self, file: &Path) -> Vec<SocketAddr> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        match &*read {
            Some((at, servers)) if at.elapsed() < FRESH => servers.clone(),
            _ => {
                let servers = parse(&fs::read_to_string(file).unwrap_or_default());
                *read = Some((Instant::now(), servers.clone()));
                servers
            }
        }
    }
}

/// The servers of a `resolv.conf`; this machine where it names none, as in the C library.
fn parse(text: &str) -> Vec<SocketAddr> {
    let mut servers: Vec<_> = text.lines().filter_map(server).collect();
    servers.truncate(MAX_SERVERS);
    if servers.is_empty() {
        servers.push(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), PORT));
    }
    servers
}

fn server(line: &str) -> Option<SocketAddr> {
    let mut words = line.split_whitespace();
    let address = words.next().filter(|word| *word == "nameserver");
    let address: IpAddr = address.and(words.next())?.parse().ok()?;
    Some(SocketAddr::new(address, PORT))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_of_a_file_are_its_first_three() {
        let text = "# nameserver 9.9.9.9\nsearch example.org\nnameserver 10.0.0.1\n\
            nameserver\tfd00::1 \n nameserver x\nnameserver 10.0.0.2 # two\nnameserver 10.0.0.3\n";
        let servers: Vec<_> = parse(text).iter().map(ToString::to_string).collect();
        assert_eq!(servers, ["10.0.0.1:53", "[fd00::1]:53", "10.0.0.2:53"]);
        assert_eq!(parse("")[0].to_string(), "127.0.0.1:53");
    }

    #[test]
    fn who_answered_last_is_asked_first() {
        let options = DnsOptions::default().servers(&["10.0.0.1", "10.0.0.2"]);
        let servers = Servers::new(&options.expect("addresses"));
        let first = || servers.all(Path::new(""))[0].1.to_string();
        assert_eq!(first(), "10.0.0.1:53");
        servers.answered(1);
        assert_eq!(first(), "10.0.0.2:53");
        assert_eq!(servers.all(Path::new(""))[1].0, 0);
    }
}
