//! Asks Consul's agents: one after the other until one answers.

use std::fmt::{self, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use tokio::time::Instant;

use super::options::{Options, Place};
use crate::error::{Error, Result};
use crate::http1::{Answer, Ask, Http};
use crate::registry::ID;
#[cfg(feature = "tls")]
use crate::transport::tls::TlsDial;

/// How long one agent may take for an answer that it need not wait for.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same, where another agent could be asked.
const PATIENCE_OF_SEVERAL: Duration = Duration::from_secs(2);
/// What an answer may hold: ten thousand nodes with their checks.
const MAX_BODY: usize = 64 << 20;
/// How much of an answer is shown in an error.
const SHOWN: usize = 200;

/// The agents that a registry asks.
pub(super) struct Agents {
    places: Vec<Place>,
    /// The one that answered last.
    current: AtomicUsize,
    plain: Http,
    secure: Option<Http>,
    /// Fields of every question; they hold secrets.
    headers: Vec<(&'static str, String)>,
    /// Parameters of every question.
    query: Vec<(&'static str, String)>,
}

/// A question to Consul.
#[derive(Clone, Debug)]
pub(super) struct Question {
    method: &'static str,
    target: String,
    body: Bytes,
    waits: Duration,
}

impl Question {
    /// `GET path`, and after it `last`, escaped.
    pub(super) fn get(path: &str, last: &str) -> Self {
        Self {
            method: "GET",
            target: format!("{path}{}", Escaped(last)),
            body: Bytes::new(),
            waits: Duration::ZERO,
        }
    }

    /// `PUT path`, and after it `last`, escaped.
    pub(super) fn put(path: &str, last: &str) -> Self {
        Self {
            method: "PUT",
            ..Self::get(path, last)
        }
    }

    /// With JSON as its body.
    pub(super) fn body(mut self, body: Bytes) -> Self {
        self.body = body;
        self
    }

    /// With one more parameter.
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        let mark = if self.target.contains('?') { '&' } else { '?' };
        let _ = write!(self.target, "{mark}{name}={}", Escaped(value));
        self
    }

    /// With so much more time: Consul waits with its answer.
    pub(super) fn waiting(mut self, waits: Duration) -> Self {
        self.waits = waits;
        self
    }
}

impl Agents {
    /// The agents that `options` name.
    ///
    /// # Errors
    /// 400 where an address or TLS is not usable.
    pub(super) fn new(options: &Options) -> Result<Self> {
        let places = options.places()?;
        let http = |transport| Http::new(ID, transport, MAX_BODY);
        let secure = if places.iter().any(|place| place.secure) {
            secure(options)?.map(http)
        } else {
            None
        };
        let mut headers = Vec::new();
        if let Some(token) = &options.token {
            headers.push(("X-Consul-Token", token.clone()));
        }
        if let Some((user, password)) = &options.auth {
            let encoded = STANDARD.encode(format!("{user}:{password}"));
            headers.push(("Authorization", format!("Basic {encoded}")));
        }
        let named = [("dc", &options.datacenter), ("ns", &options.namespace)];
        let query = named
            .into_iter()
            .filter_map(|(name, value)| Some((name, value.clone()?)))
            .collect();
        Ok(Self {
            places,
            current: AtomicUsize::new(0),
            plain: http(options.transport.clone()),
            secure,
            headers,
            query,
        })
    }

    /// Their addresses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = &str> {
        self.places.iter().map(|place| &*place.address)
    }

    /// The number of the agent that is asked first.
    pub(super) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    /// Asks the agent that answered last, and where it does not answer, the others. Any status is an
    /// answer. Gives the number of the one that answered.
    ///
    /// # Errors
    /// Where none has answered by `deadline`: that of the agent that was asked first.
    pub(super) async fn ask(&self, question: &Question, deadline: Instant) -> Result<Replied> {
        let first = self.current();
        let several = self.places.len() > 1;
        let mut failed = None;
        for number in (first..self.places.len()).chain(0..first) {
            let patience = if several {
                PATIENCE_OF_SEVERAL
            } else {
                PATIENCE
            };
            let until = deadline.min(Instant::now() + patience) + question.waits;
            match self.ask_one(number, question, until).await {
                Ok(replied) => {
                    self.current.store(number, Ordering::Relaxed);
                    return Ok(replied);
                }
                // Nobody could send it.
                Err(error) if error.code() == 400 => return Err(error),
                Err(error) => {
                    tracing::debug!(%error, "an agent of Consul does not answer");
                    failed.get_or_insert(error);
                }
            }
        }
        Err(failed.unwrap_or_else(|| Error::internal(ID, "consul registry: no agent is known")))
    }

    /// Asks the agent with this number, and no other, until `deadline`.
    pub(super) async fn ask_one(
        &self,
        number: usize,
        question: &Question,
        deadline: Instant,
    ) -> Result<Replied> {
        let place = self
            .places
            .get(number)
            .ok_or_else(|| Error::internal(ID, "consul registry: no such agent"))?;
        let http = match (&self.secure, place.secure) {
            (Some(secure), true) => secure,
            _ => &self.plain,
        };
        let mut headers: Vec<(&str, &str)> = Vec::with_capacity(self.headers.len() + 1);
        headers.extend(self.headers.iter().map(|(name, value)| (*name, &**value)));
        if !question.body.is_empty() {
            headers.push(("Content-Type", "application/json"));
        }
        let question = self
            .query
            .iter()
            .fold(question.clone(), |question, (name, value)| {
                question.with(name, value)
            });
        let ask = Ask {
            method: question.method,
            address: &place.address,
            target: &question.target,
            headers: &headers,
            body: question.body.clone(),
            // A question may be asked twice, since it sets or reads what is; but one that waits for a
            // change must not wait for it at an agent that has started anew.
            repeatable: question.waits.is_zero(),
        };
        let scheme = if place.secure { "https" } else { "http" };
        match http.ask(&ask, deadline).await {
            Ok(answer) => Ok(Replied {
                what: format!("{} {scheme}://{}{}", ask.method, place.address, ask.target),
                number,
                answer,
            }),
            Err(error) if error.code() == 400 => Err(error),
            Err(error) => Err(self.unreachable(scheme, place, error)),
        }
    }

    fn unreachable(&self, scheme: &str, place: &Place, error: Error) -> Error {
        let text = format!(
            "no answer from Consul at {scheme}://{}: {}; does it run there? --registry_address or CONSUL_HTTP_ADDR names another place",
            place.address,
            error.detail(),
        );
        let told = match error.is_timeout() {
            true => Error::timeout(ID, text),
            false => Error::unavailable(ID, text),
        };
        told.with_source(error)
    }
}

/// What an agent answered.
#[derive(Debug)]
pub(super) struct Replied {
    what: String,
    /// The agent's number.
    pub(super) number: usize,
    answer: Answer,
}

impl Replied {
    pub(super) fn status(&self) -> u16 {
        self.answer.status
    }

    pub(super) fn is_good(&self) -> bool {
        (200..300).contains(&self.status())
    }

    pub(super) fn body(&self) -> &[u8] {
        self.answer.body()
    }

    /// The number of the state that was answered; nothing where there is none above zero.
    pub(super) fn index(&self) -> Option<u64> {
        let index = self.answer.header("X-Consul-Index")?.parse().ok()?;
        Some(index).filter(|index| *index > 0)
    }

    /// The answer if its status is good.
    ///
    /// # Errors
    /// Else what is wrong, and what to do.
    pub(super) fn good(self) -> Result<Self> {
        if self.is_good() {
            Ok(self)
        } else {
            Err(self.refused())
        }
    }

    /// That the status is not good.
    pub(super) fn refused(&self) -> Error {
        let advice = match self.status() {
            401 | 407 => "; user and password are CONSUL_HTTP_AUTH",
            403 => {
                "; it wants a token that may do this: CONSUL_HTTP_TOKEN or CONSUL_HTTP_TOKEN_FILE"
            }
            429 => {
                "; it has too many connections or questions from here (limits.http_max_conns_per_client)"
            }
            300..=399 => "; is something else in its place?",
            _ => "",
        };
        let text = format!(
            "{} was answered with {} {}{advice}",
            self.what,
            self.status(),
            Shown(self.body()),
        );
        match self.status() {
            // Trying again would not help.
            400 => Error::bad_request(ID, text),
            401 | 407 => Error::unauthorized(ID, text),
            403 => Error::forbidden(ID, text),
            _ => Error::internal(ID, text),
        }
    }

    /// That the body is not what Consul writes.
    pub(super) fn nonsense(&self, why: impl fmt::Display) -> Error {
        Error::internal(
            ID,
            format!(
                "{} was not answered as Consul does ({why}): {}; is something else in its place?",
                self.what,
                Shown(self.body()),
            ),
        )
    }
}

#[cfg(feature = "tls")]
fn secure(options: &Options) -> Result<Option<Arc<dyn crate::transport::Transport>>> {
    match &options.tls {
        None => Ok(None),
        Some(tls) => {
            let dial = TlsDial::new(options.transport.clone(), tls, &["http/1.1"])?;
            Ok(Some(Arc::new(dial)))
        }
    }
}

#[cfg(not(feature = "tls"))]
fn secure(_: &Options) -> Result<Option<Arc<dyn crate::transport::Transport>>> {
    Ok(None)
}

impl fmt::Debug for Agents {
    /// Without what is secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents")
            .field("places", &self.places)
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}

/// The time by which something that takes several questions must be done.
///
/// It is below the ten seconds that services give their registry, so that they are told why.
pub(super) fn deadline() -> Instant {
    Instant::now() + Duration::from_secs(8)
}

/// Text as it may stand in a path's part or in a query (RFC 3986 section 2.3).
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for byte in self.0.bytes() {
            match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                    f.write_char(byte.into())?;
                }
                byte => write!(f, "%{byte:02X}")?,
            }
        }
        Ok(())
    }
}

/// The beginning of a body on one line.
struct Shown<'a>(&'a [u8]);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.0.get(..SHOWN).unwrap_or(self.0);
        let text = String::from_utf8_lossy(start);
        let words: Vec<_> = text.split_whitespace().collect();
        write!(f, "{:?}", words.join(" "))
    }
}
