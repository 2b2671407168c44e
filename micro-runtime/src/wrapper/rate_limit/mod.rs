//! Rate limits: so many calls in so much time, of all, of each method or of each caller.
//!
//! One stands around a client's calls or around a server's handlers. What is too many is refused with
//! 429, or waits where it is told to, but never beyond the call's deadline. A refusal is
//! [unprocessed](crate::Error::is_unprocessed), so that a caller may try another node, and says when to
//! come again: `Retry-After` in its metadata, in seconds, on protocols that carry an error's metadata.
//!
//! ```
//! use std::time::Duration;
//! use micro_runtime::{Service, wrapper::RateLimit};
//!
//! let service = Service::new("greeter")
//!     // Each caller has 100 calls a second, and 20 at once.
//!     .wrap_handler(RateLimit::token_bucket(100, 20).per_caller())
//!     // What we call gets no more than 50 a second, evenly.
//!     .wrap_call(RateLimit::leaky_bucket(50).wait_up_to(Duration::from_millis(500)));
//! # let _ = service;
//! ```

mod bucket;

use std::fmt;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::{Instant, sleep_until};

use super::keyed::Keyed;
use super::refuse;
use crate::call::{Inspected, Next, Reply, Request, Standing, Wrapper};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::metadata::{Metadata, Text};

use bucket::{Bucket, Pace, nanos};

/// A limit of calls in a time; see the [module](self).
///
/// A handle: clones share what was used up.
#[derive(Clone)]
pub struct RateLimit {
    rate: u32,
    per: Duration,
    /// So many go at once.
    at_once: u32,
    begins_full: bool,
    /// How long a call may wait; `None` for as long as it has.
    longest: Option<Duration>,
    per_method: bool,
    caller: Caller,
    used: Arc<Used>,
}

type Own = dyn Fn(&Request) -> Option<Text> + Send + Sync;

/// Whose calls are counted together.
#[derive(Clone)]
enum Caller {
    All,
    Address,
    Metadata(Text),
    Own(Arc<Own>),
}

/// What is used up.
struct Used {
    origin: Instant,
    of_all: Arc<Bucket>,
    by_key: Keyed<Bucket>,
    refused: AtomicU64,
}

impl Used {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self {
            origin: Instant::now(),
            of_all: Arc::default(),
            by_key: Keyed::new(most),
            refused: AtomicU64::new(0),
        })
    }
}

impl RateLimit {
    /// `rate` calls a second in the long run, and `burst` at once after a rest: refuses the others.
    /// Both are at least 1.
    pub fn token_bucket(rate: u32, burst: u32) -> Self {
        Self::new(rate, burst, true, Some(Duration::ZERO))
    }

    /// `rate` calls a second, at least 1, evenly: the others wait for their turn. As uber's ratelimit: of
    /// the time in which nobody called, 10 calls may be made up for.
    pub fn leaky_bucket(rate: u32) -> Self {
        Self::new(rate, UBERS_SLACK + 1, false, None)
    }

    fn new(rate: u32, at_once: u32, begins_full: bool, longest: Option<Duration>) -> Self {
        Self {
            rate,
            per: Duration::from_secs(1),
            at_once,
            begins_full,
            longest,
            per_method: false,
            caller: Caller::All,
            used: Used::new(MOST),
        }
    }

    /// The rate is of this time, in place of a second.
    #[must_use]
    pub fn per(mut self, time: Duration) -> Self {
        self.per = time;
        self
    }

    /// So many calls of the time in which nobody called may be made up for; 0 keeps all apart. A token
    /// bucket has one more at once.
    #[must_use]
    pub fn slack(mut self, calls: u32) -> Self {
        self.at_once = calls.saturating_add(1);
        self
    }

    /// Calls wait for their turn, as long as their deadline lets them and 30 s at most; those that would
    /// have to wait longer are refused at once. The turn of one that its caller gives up is the next
    /// one's, where nobody has come in between.
    #[must_use]
    pub fn wait(mut self) -> Self {
        self.longest = None;
        self
    }

    /// As [`wait`](Self::wait), and no longer than this: those that would have to are refused at once.
    #[must_use]
    pub fn wait_up_to(mut self, longest: Duration) -> Self {
        self.longest = Some(longest);
        self
    }

    /// Calls do not wait: too many are refused.
    #[must_use]
    pub fn refuse(self) -> Self {
        self.wait_up_to(Duration::ZERO)
    }

    /// Counts each method's calls apart; on a client, each service's methods.
    #[must_use]
    pub fn per_method(mut self) -> Self {
        self.per_method = true;
        self
    }

    /// On a server, counts each caller's calls apart, by its address without the port. Behind a proxy
    /// all have the proxy's.
    #[must_use]
    pub fn per_caller(mut self) -> Self {
        self.caller = Caller::Address;
        self
    }

    /// Counts calls apart by what their metadata has as `key`; those without it are counted together.
    /// Who may write there what it likes escapes the limit.
    #[must_use]
    pub fn per_metadata(mut self, key: impl Into<Text>) -> Self {
        self.caller = Caller::Metadata(key.into());
        self
    }

    /// Counts calls apart by what a function says of them; where it says nothing, a call is not limited.
    #[must_use]
    pub fn by(mut self, caller: impl Fn(&Request) -> Option<Text> + Send + Sync + 'static) -> Self {
        self.caller = Caller::Own(Arc::new(caller));
        self
    }

    /// Remembers at most so many callers or methods, and forgets the longest unused, whose next call
    /// is then like a first one; 10,000.
    #[must_use]
    pub fn most(mut self, callers: usize) -> Self {
        self.used = Used::new(callers);
        self
    }

    /// Takes the call's turn; gives it, where it is not now.
    fn take(
        &self,
        request: &Request,
        serves: bool,
        now: Instant,
    ) -> Result<Option<Turn>, Duration> {
        let used = &*self.used;
        let pace = Pace::new(self.rate, self.per, self.at_once, self.begins_full);
        let left = request
            .cx
            .deadline()
            .map(|deadline| deadline.saturating_duration_since(now));
        let longest = self.longest.unwrap_or(LONGEST_WAIT);
        let longest = nanos(left.map_or(longest, |left| left.min(longest)));
        let at = nanos(now.saturating_duration_since(used.origin));
        let own;
        let caller = match &self.caller {
            // On a server that is what the caller has written, and there is one service.
            Caller::All if serves => "",
            Caller::All => &*request.service,
            Caller::Address => address(&request.cx),
            Caller::Metadata(key) => request.cx.metadata().get(key).unwrap_or_default(),
            Caller::Own(name) => match name(request) {
                None => return Ok(None),
                Some(name) => {
                    own = name;
                    &own
                }
            },
        };
        let digest;
        let caller = match caller.len() {
            ..=LONGEST_KEY => caller,
            _ => {
                let mut hasher = DefaultHasher::new();
                caller.hash(&mut hasher);
                digest = format!("{:016x}", hasher.finish());
                &digest
            }
        };
        let of_key;
        let bucket = match (&self.caller, self.per_method) {
            (Caller::All, false) => &used.of_all,
            (_, per_method) => {
                // The path has the package too, which two services of one name differ in.
                let method = if per_method {
                    &*request.method.path
                } else {
                    ""
                };
                of_key = used.by_key.get(caller, method, Bucket::default);
                &of_key
            }
        };
        match bucket.take(pace, at, longest) {
            Ok(0) => Ok(None),
            Ok(wait) => Ok(Some(Turn {
                at: now + time(wait),
                place: at.saturating_add(wait),
                period: pace.period,
                bucket: Some(bucket.clone()),
            })),
            Err(wait) => Err(time(wait)),
        }
    }

    fn refused(&self, request: &Request, id: &'static str, wait: Duration) -> Error {
        self.used.refused.fetch_add(1, Ordering::Relaxed);
        // Go Micro's words.
        let error = Error::too_many_requests(id, "too many request");
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        let error = error.with_metadata(Metadata::from_iter([(
            "Retry-After",
            Text::from(seconds.to_string()),
        )]));
        let words = format!(
            "{} calls in {:?} have been made: the next may be in {wait:?}",
            self.rate, self.per
        );
        refuse(request, "rate limit", words, error)
    }
}

/// How long a call waits at most where nothing else is said: as long as calls may take.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
/// The longest key that is kept as it is, in bytes; of longer ones a hash is.
const LONGEST_KEY: usize = 128;

/// A turn that is waited for; given back where nobody has come after it and the call is given up.
struct Turn {
    at: Instant,
    place: i64,
    period: i64,
    /// `None` where it has come.
    bucket: Option<Arc<Bucket>>,
}

impl Turn {
    async fn come(mut self) {
        sleep_until(self.at).await;
        self.bucket = None;
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(bucket) = &self.bucket {
            bucket.give_back(self.place, self.period);
        }
    }
}

#[async_trait]
impl Wrapper for RateLimit {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        if next.is_asked(&request) {
            return next.run(request).await;
        }
        match self.take(&request, next.serves(), Instant::now()) {
            Ok(None) => next.run(request).await,
            Ok(Some(turn)) => {
                turn.come().await;
                next.run(request).await
            }
            Err(wait) => Err(self.refused(&request, next.id(), wait)),
        }
    }

    fn inspect(&self) -> Option<Inspected> {
        let used = &*self.used;
        let standing = Standing::new("", "on")
            .figure("keys", used.by_key.len())
            .figure("refused", used.refused.load(Ordering::Relaxed));
        let inspected = Inspected::new("rate limit")
            .setting("rate", self.rate)
            .setting("per", self.per)
            .setting("at_once", self.at_once);
        let inspected = match self.longest {
            None => inspected.setting("wait", "until the deadline"),
            Some(longest) => inspected.setting("wait", longest),
        };
        Some(inspected.standing(standing))
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimit")
            .field("rate", &self.rate)
            .field("per", &self.per)
            .field("at_once", &self.at_once)
            .field("longest", &self.longest)
            .field("per_method", &self.per_method)
            .field("keys", &self.used.by_key.len())
            .finish_non_exhaustive()
    }
}

/// The caller's address without its port, which each of its connections has another of.
fn address(cx: &Context) -> &str {
    let address = cx.peer().map_or("", |peer| &*peer.address);
    match address.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => address,
    }
}

fn time(nanos: i64) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(0))
}

/// What uber's ratelimit has where nothing else is said.
const UBERS_SLACK: u32 = 10;

/// How many callers are remembered where nothing else is said.
const MOST: usize = 10_000;
