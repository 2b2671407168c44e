//! Asks servers in turn until one knows, and follows names to what they mean.

use std::time::Duration;

use tokio::time::Instant;

use super::exchange;
use super::failure;
use super::options::DnsOptions;
use super::servers::Servers;
use crate::error::{Error, Result};
use crate::registry::dns_message::{Data, Message, Name, Question, Record, kind, rcode};
use crate::tasks::{Tasks, after};

/// How many names may stand for one another in an answer, and how often the rest is asked for.
const MAX_ALIASES: usize = 16;
const MAX_QUESTIONS: usize = 4;
/// For how long it holds that a name is not there, where the server does not tell.
const UNTOLD: u32 = 5;

/// Asks name servers.
#[derive(Debug)]
pub(super) struct Resolver {
    options: DnsOptions,
    servers: Servers,
    tasks: Tasks,
}

/// What is known of a name.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// The records that were asked for; none where the name has none or is not there.
    pub(super) records: Vec<Data>,
    /// What the server told beside them.
    pub(super) beside: Vec<Record>,
    /// For how many seconds it holds.
    pub(super) ttl: u32,
}

impl Resolver {
    pub(super) fn new(options: DnsOptions, tasks: &Tasks) -> Self {
        Self {
            servers: Servers::new(&options),
            options,
            tasks: tasks.clone(),
        }
    }

    pub(super) fn options(&self) -> &DnsOptions {
        &self.options
    }

    /// The records of this type that `name` has, or the names that it stands for.
    ///
    /// # Errors
    /// Where no server knows, or names lead in circles. That a name is not there is an answer.
    pub(super) async fn records(&self, name: &Name, kind: u16) -> Result<Answer> {
        let mut name = name.clone();
        let mut ttl = u32::MAX;
        for _ in 0..MAX_QUESTIONS {
            let message = self.ask(&Question::new(name.clone(), kind)).await?;
            match Chase::of(&message, &name, kind)? {
                Chase {
                    records, ttl: own, ..
                } if !records.is_empty() => {
                    return Ok(Answer {
                        records,
                        ttl: ttl.min(own),
                        beside: message.additionals,
                    });
                }
                // The server leaves it to us to ask on.
                Chase {
                    end: Some(end),
                    ttl: own,
                    ..
                } if message.rcode() == rcode::SUCCESS => {
                    ttl = ttl.min(own);
                    name = end;
                }
                Chase { ttl: own, .. } => {
                    return Ok(Answer {
                        ttl: ttl.min(own).min(absent(&message)),
                        ..Answer::default()
                    });
                }
            }
        }
        Err(failure(format!("{name:?} leads from name to name")))
    }

    /// The first answer that says that a name has something, or that it is not there.
    async fn ask(&self, question: &Question) -> Result<Message> {
        let mut last: Option<Error> = None;
        for _ in 0..self.options.attempts.max(1) {
            for (place, server) in self.servers.all(&self.options.resolv_conf) {
                let deadline = after(self.timeout());
                let error = match exchange::ask(server, question, &self.tasks, deadline).await {
                    Ok(answer) => match answer.rcode() {
                        rcode::SUCCESS | rcode::NO_NAME => {
                            self.servers.answered(place);
                            return Ok(answer);
                        }
                        other => failure(format!(
                            "the name server {server} fails with code {other} for {:?}",
                            question.name
                        )),
                    },
                    Err(error) => error,
                };
                tracing::debug!(%server, %error, "another name server is asked");
                last = Some(error);
            }
        }
        Err(last.unwrap_or_else(|| failure("there are no name servers")))
    }

    fn timeout(&self) -> Duration {
        self.options.timeout.max(Duration::from_millis(1))
    }
}

/// What an answer says about a name, whatever names it goes through.
#[derive(Debug)]
struct Chase {
    records: Vec<Data>,
    /// The last name, where it is another one.
    end: Option<Name>,
    ttl: u32,
}

impl Chase {
    fn of(message: &Message, name: &Name, kind: u16) -> Result<Self> {
        let mut chase = Self {
            records: Vec::new(),
            end: None,
            ttl: u32::MAX,
        };
        for _ in 0..MAX_ALIASES {
            let now = chase.end.as_ref().unwrap_or(name).clone();
            let of_name = || {
                let answers = message.answers.iter();
                answers.filter(|record| record.is_internet() && record.name == now)
            };
            for record in of_name().filter(|record| kind_of(&record.data) == kind) {
                chase.records.push(record.data.clone());
                chase.ttl = chase.ttl.min(seconds(record));
            }
            if !chase.records.is_empty() {
                return Ok(chase);
            }
            let alias = of_name().find_map(|record| match &record.data {
                Data::Cname(to) => Some((to.clone(), seconds(record))),
                _ => None,
            });
            let Some((to, ttl)) = alias else {
                return Ok(chase);
            };
            chase.ttl = chase.ttl.min(ttl);
            chase.end = Some(to);
        }
        Err(failure(format!("{name:?} leads from name to name")))
    }
}

/// For how many seconds a record holds; what is above 31 bits counts as nothing (RFC 2181).
pub(super) fn seconds(record: &Record) -> u32 {
    i32::try_from(record.ttl).map_or(0, |_| record.ttl)
}

/// For how many seconds it holds that something is not there (RFC 2308).
fn absent(message: &Message) -> u32 {
    let told = message
        .authorities
        .iter()
        .find_map(|record| match record.data {
            Data::Soa(least) => Some(least.min(seconds(record))),
            _ => None,
        });
    told.unwrap_or(UNTOLD)
}

fn kind_of(data: &Data) -> u16 {
    match data {
        Data::A(_) => kind::A,
        Data::Aaaa(_) => kind::AAAA,
        Data::Srv { .. } => kind::SRV,
        Data::Cname(_) => kind::CNAME,
        _ => 0,
    }
}

/// How long an answer of `ttl` seconds holds: [`Instant`] it ends, within these bounds.
pub(super) fn until(ttl: u32, bounds: (u64, u64)) -> Instant {
    let ttl = u64::from(ttl).clamp(bounds.0, bounds.1);
    after(Duration::from_secs(ttl))
}
