//! What a caller may ask for on one call.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::{Backoff, Hedge, Request, Wrapper};
use crate::error::Error;
use crate::error::why::Recorder;
use crate::metadata::Text;
use crate::selector::SelectOptions;

/// Options of one call; `None` means the client's setting.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CallOptions {
    /// The whole call with all its tries; of a stream, its opening. Go Micro's `RequestTimeout`, 30 s.
    /// `Duration::MAX` here and for the try is no deadline at all, and none is told to the server.
    pub timeout: Option<Duration>,
    /// One try. Go Micro's `ConnectionTimeout`, 5 s.
    pub attempt_timeout: Option<Duration>,
    /// Connecting. 5 s.
    pub dial_timeout: Option<Duration>,
    /// A stream's whole life, told to the server. Go Micro's `StreamTimeout`; none.
    pub stream_timeout: Option<Duration>,
    /// How long a stream may be without a message from the peer; none.
    pub idle_timeout: Option<Duration>,
    /// Tries after the first. 5.
    pub retries: Option<u32>,
    /// Which failures are tried again.
    pub retry: Option<Retry>,
    /// How long to wait before each try.
    pub backoff: Option<Backoff>,
    /// Whether another node is asked before the first has failed. Unary calls that do no harm when they
    /// run twice.
    pub hedge: Option<Hedge>,
    /// Declares that running the call twice does no harm.
    pub idempotent: bool,
    /// Nodes given by hand, in place of the registry's: `host:port`.
    pub addresses: Vec<Text>,
    /// Close the connection after the call; Go Micro's `ConnClose`.
    pub close_connection: bool,
    /// How a node is chosen.
    // Boxed, since few calls say anything of it, and all would carry its room.
    pub select: Option<Box<SelectOptions>>,
    /// How long a caching wrapper may answer from its cache; Go Micro's `WithCache`.
    pub cache: Option<Duration>,
    /// Wrappers of this call alone, inside the client's own.
    pub wrappers: Vec<Arc<dyn Wrapper>>,
    /// Where the call's decisions are noted, where somebody has asked for them.
    pub recorder: Option<Recorder>,
}

/// What a call says of its node where it says nothing.
static ANY: SelectOptions = SelectOptions {
    filters: Vec::new(),
    strategy: None,
    key: None,
    canary: None,
    locality: None,
    slow_start: None,
};

impl CallOptions {
    /// What the call says of how its node is chosen.
    pub(crate) fn selecting(&self) -> &SelectOptions {
        self.select.as_deref().unwrap_or(&ANY)
    }
}

/// What a [`Retry`] policy says of a failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryDecision {
    /// Give the error to the caller.
    Stop,
    /// Try another node.
    Again,
}

/// A retry policy of one's own: of the request, the number of the try (from 0) and its error.
pub type RetryPolicy = dyn Fn(&Request, u32, &Error) -> RetryDecision + Send + Sync;

/// Which failures are tried again.
#[derive(Clone, Default)]
#[non_exhaustive]
pub enum Retry {
    /// Where the request certainly was not processed; of idempotent methods also where no answer came:
    /// in the time of a try, on a connection that was lost, or only garbage. An error that a node has
    /// answered is an answer: who made it had tries of its own.
    #[default]
    Safe,
    /// As go-micro v4: whatever the method, on code 408. A call may then run twice.
    GoMicro,
    /// Never.
    Never,
    /// By a function of the request, the number of the try (from 0) and its error.
    Custom(Arc<RetryPolicy>),
}

impl fmt::Debug for Retry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Safe => "Safe",
            Self::GoMicro => "GoMicro",
            Self::Never => "Never",
            Self::Custom(_) => "Custom",
        })
    }
}
