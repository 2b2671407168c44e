//! From a service's name to addresses.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::failure;
use super::options::parsed_port;
use super::resolver::{Answer, Resolver, seconds};
use crate::error::{Error, Result};
use crate::registry::dns_message::{BadName, Data, Name, Record, kind};
use crate::tasks::after;

/// How many hosts of a service are looked up, and how many at once.
const MAX_HOSTS: usize = 1024;
const AT_ONCE: usize = 16;
/// How long all questions about a service may take, unless three servers that do not answer take
/// longer.
const WHOLE: Duration = Duration::from_secs(10);

/// Where a service is.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) places: BTreeSet<SocketAddr>,
    /// For how many seconds that holds.
    pub(super) ttl: u32,
    /// Whether some hosts could not be looked up, so that more may be there.
    pub(super) partial: bool,
}

/// A service's names in DNS.
#[derive(Debug, PartialEq)]
pub(super) enum Names {
    /// A host whose port the caller knows: `host:port`.
    Host(Name, u16),
    /// SRV records, and a host with the same name where its port is known.
    Service {
        srv: Name,
        host: Option<(Name, u16)>,
    },
}

impl Names {
    pub(super) fn of(service: &str, domain: &str, port: Option<u16>) -> Result<Self, BadName> {
        if let Some((host, port)) = service.rsplit_once(':')
            && let Ok(port) = parsed_port(port)
        {
            return Ok(Self::Host(Name::parse(host)?, port));
        }
        let below = |name: String| Name::parse(format!("{name}.{domain}").trim_end_matches('.'));
        let host = || below(service.to_owned());
        Ok(Self::Service {
            srv: below(format!("_{service}._tcp"))?,
            host: port.map(|port| Ok((host()?, port))).transpose()?,
        })
    }
}

/// Looks a service up.
///
/// # Errors
/// Where no server knows, or none in time. That nothing has the name is no error.
pub(super) async fn lookup(resolver: &Resolver, names: &Names) -> Result<Found> {
    let timeout = resolver.options().timeout;
    let deadline = after(WHOLE.max(timeout.saturating_mul(3)));
    let late = || Err(failure("the name servers do not answer in time"));
    let found = timeout_at(deadline, first(resolver, names)).await;
    match found.unwrap_or_else(|_| late())? {
        First::Found(found) => Ok(found),
        First::Hosts(answer) => hosts(resolver, answer, deadline).await,
    }
}

/// What the first questions tell.
enum First {
    Found(Found),
    /// Hosts that are to be looked up.
    Hosts(Answer),
}

async fn first(resolver: &Resolver, names: &Names) -> Result<First> {
    let found = match names {
        Names::Host(host, port) => addresses(resolver, host, *port, &[]).await,
        Names::Service { srv, host } => {
            let answer = resolver.records(srv, kind::SRV).await?;
            match host {
                Some((host, port)) if answer.records.is_empty() => {
                    addresses(resolver, host, *port, &[]).await
                }
                _ => return Ok(First::Hosts(answer)),
            }
        }
    };
    found.map(First::Found)
}

/// The addresses of the hosts of an answer, as far as they are known by `deadline`.
async fn hosts(resolver: &Resolver, answer: Answer, deadline: Instant) -> Result<Found> {
    let mut found = Found {
        ttl: answer.ttl,
        ..Found::default()
    };
    let hosts = of_least_priority(&answer.records);
    let mut failed: Option<Error> = None;
    let beside = &*answer.beside;
    for some in hosts.chunks(AT_ONCE) {
        // Those that come after the deadline still find what was told beside the records.
        let lookups = some.iter().map(async |(host, port)| {
            let found = timeout_at(deadline, addresses(resolver, host, *port, beside)).await;
            found.unwrap_or_else(|_| Err(failure(format!("{host:?} is not found in time"))))
        });
        for host in all(lookups).await {
            match host {
                Ok(host) => {
                    found.ttl = found.ttl.min(host.ttl);
                    found.places.extend(host.places);
                }
                Err(error) => failed = Some(error),
            }
        }
    }
    match failed {
        // A host that nobody knows does not take the others away.
        Some(error) if found.places.is_empty() => Err(error),
        failed => {
            found.partial = failed.is_some();
            Ok(found)
        }
    }
}

/// Hosts and ports of the records that are to be used before all others (RFC 2782). Weights do not
/// count: a selector chooses.
fn of_least_priority(records: &[Data]) -> Vec<(Name, u16)> {
    let places = || {
        records.iter().filter_map(|record| match record {
            Data::Srv {
                priority,
                port,
                target,
                ..
            // The empty name says that there is decidedly no such service.
            } if *port != 0 && *target != Name::default() => Some((*priority, target, *port)),
            _ => None,
        })
    };
    let least = places().map(|(priority, ..)| priority).min();
    let of_least = places().filter(|(priority, ..)| Some(*priority) == least);
    let hosts: BTreeSet<_> = of_least
        .map(|(_, host, port)| (host.clone(), port))
        .collect();
    hosts.into_iter().take(MAX_HOSTS).collect()
}

/// A host's IPv4 addresses, or those of IPv6 where it has no others: with both, one host would be
/// two nodes.
async fn addresses(
    resolver: &Resolver,
    host: &Name,
    port: u16,
    beside: &[Record],
) -> Result<Found> {
    let mut ttl = u32::MAX;
    for kind in [kind::A, kind::AAAA] {
        let told = beside
            .iter()
            .filter(|record| record.is_internet() && record.name == *host);
        let told: Vec<_> = told
            .filter_map(|record| Some((ip(&record.data, kind)?, seconds(record))))
            .collect();
        let (ips, own): (Vec<_>, _) = if told.is_empty() {
            let answer = resolver.records(host, kind).await?;
            let ips = answer.records.iter().filter_map(|data| ip(data, kind));
            (ips.collect(), answer.ttl)
        } else {
            let least = told.iter().map(|(_, ttl)| *ttl).min();
            (
                told.into_iter().map(|(ip, _)| ip).collect(),
                least.unwrap_or_default(),
            )
        };
        // That there are none of the other kind holds for its time, too.
        ttl = ttl.min(own);
        if !ips.is_empty() {
            return Ok(Found {
                places: ips
                    .into_iter()
                    .map(|ip| SocketAddr::new(ip, port))
                    .collect(),
                ttl: own,
                partial: false,
            });
        }
    }
    Ok(Found {
        ttl,
        ..Found::default()
    })
}

fn ip(data: &Data, kind: u16) -> Option<IpAddr> {
    match (data, kind) {
        (Data::A(ip), kind::A) => Some((*ip).into()),
        (Data::Aaaa(ip), kind::AAAA) => Some((*ip).into()),
        _ => None,
    }
}

/// Waits for all, which go on side by side.
async fn all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<Pin<Box<F>>> = futures.map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = running.iter().map(|_| None).collect();
    poll_fn(|task| {
        let mut pending = false;
        let waited_for = running.iter_mut().zip(&mut outputs);
        for (future, output) in waited_for.filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(task) {
                Poll::Ready(ready) => *output = Some(ready),
                Poll::Pending => pending = true,
            }
        }
        if pending {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}
