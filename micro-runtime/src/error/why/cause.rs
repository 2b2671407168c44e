//! In which way a try failed.

use std::fmt::{self, Display};
use std::io;

use crate::error::{Error, id};

/// In which way a try failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Cause {
    /// No connection could be made: nothing listens there, or nothing answers there.
    Unreachable,
    /// The connection was lost before the answer was there.
    Lost,
    /// No answer came in the time of the try.
    Silent,
    /// What came was no answer.
    Garbled,
    /// The node took no more calls, or refused this one before it reached a handler, and the error is
    /// [unprocessed](Error::is_unprocessed). Where it is not, somebody on the way has refused, a proxy
    /// with 429 or 503, and the call may have run.
    Refused,
    /// The node has answered with an error.
    Answered,
    /// The client itself could not.
    Own,
    /// The try was given up, since another one has answered or the caller went.
    GivenUp,
}

impl Cause {
    /// What `error` tells of it: whoever made the error has said so ([`Error::caused_by`]), or its id
    /// and code do.
    pub fn of(error: &Error) -> Self {
        let unprocessed = error.is_unprocessed();
        match (error.cause_told(), error.id(), error.code()) {
            (Some(Self::Answered), ..) if unprocessed => Self::Refused,
            (Some(told), ..) => told,
            (None, id::CLIENT, 408) => Self::Silent,
            // Of the call itself: no node would have taken it.
            (None, id::CLIENT, 400..=499) => Self::Own,
            (None, id::CLIENT, _) if unprocessed => Self::Unreachable,
            (None, id::CLIENT | id::CLIENT_CODEC, _) => Self::Own,
            (None, id::CLIENT_TRANSPORT, _) => Self::Lost,
            (None, ..) if unprocessed => Self::Refused,
            (None, ..) => Self::Answered,
        }
    }

    /// What the end of a connection tells.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            // What came was not what the connection carries: TLS that is broken, or is there or not.
            io::ErrorKind::InvalidData => Self::Garbled,
            // The peer does not take this client, whatever it sends.
            io::ErrorKind::PermissionDenied => Self::Own,
            io::ErrorKind::TimedOut => Self::Silent,
            _ => Self::Lost,
        }
    }

    /// The cause in one word, as data forms name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Lost => "lost",
            Self::Silent => "silent",
            Self::Garbled => "garbled",
            Self::Refused => "refused",
            Self::Answered => "answered",
            Self::Own => "own",
            Self::GivenUp => "given_up",
        }
    }

    /// What to look at where the last try of a call has failed so; empty where the node's own words
    /// say it.
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Unreachable => {
                "is the node running, and can its address be reached from this machine?"
            }
            Self::Lost => {
                "did the node stop or crash? a call that may have run is sent again only if it is idempotent"
            }
            Self::Silent => "is the node overloaded, stopped or cut off, or the time too short?",
            Self::Garbled => {
                "does this address belong to the node, and do both ends speak the same?"
            }
            Self::Refused => {
                "is the node, or a proxy before it, stopping or at a limit of its own?"
            }
            Self::Own => "this client's settings or the message are at fault, not the node",
            Self::Answered | Self::GivenUp => "",
        }
    }
}

impl Display for Cause {
    /// For a person, as what was seen of the node: `could not be reached`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unreachable => "could not be reached",
            Self::Lost => "the connection was lost",
            Self::Silent => "did not answer in time",
            Self::Garbled => "what came was no answer",
            Self::Refused => "did not take the call",
            Self::Answered => "answered with an error",
            Self::Own => "could not be called by this client",
            Self::GivenUp => "was given up",
        })
    }
}
