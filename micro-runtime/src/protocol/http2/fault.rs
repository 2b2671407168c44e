//! Why a stream or a connection failed.

use std::fmt;

use h2::Reason;

use crate::error::why::Cause;
use crate::http1::Malformed;

/// Why a stream or a connection failed, as far as it matters to calls.
#[derive(Debug)]
pub(in crate::protocol) enum Fault {
    /// The peer has reset the stream, for this reason.
    Reset(u32),
    /// The peer certainly has not taken the stream: it refused it, or goes away and said so.
    Untaken(h2::Error),
    /// The connection is lost, or one end broke the protocol.
    Broken(h2::Error),
    /// The peer did not answer a ping.
    Silent,
    /// The peer has sent nothing but what carries nothing.
    Flood,
    /// The stream was ended before.
    Over,
    /// The peer has closed its connection.
    Closed,
    /// What came is no body of HTTP/1.1.
    Malformed(Malformed),
    /// A connection of HTTP/1.1 is lost, or what came is no answer.
    Lost {
        words: String,
        /// Whether the peer certainly has nothing of the request.
        untaken: bool,
        cause: Cause,
    },
}

impl Fault {
    /// As gRPC reads the reason of a reset; `None` where the stream was not reset.
    pub(in crate::protocol) fn reset(&self) -> Option<u32> {
        match self {
            Self::Reset(reason) => Some(*reason),
            _ => None,
        }
    }

    pub(in crate::protocol) fn is_untaken(&self) -> bool {
        matches!(self, Self::Untaken(_) | Self::Lost { untaken: true, .. })
    }

    /// Whether the peer has not taken the stream since the connection takes no more: another one may.
    pub(in crate::protocol) fn is_sent_away(&self) -> bool {
        matches!(self, Self::Untaken(error) if error.is_go_away())
    }

    /// A connection of HTTP/1.1 is lost, in these words.
    pub(in crate::protocol) fn lost(words: impl fmt::Display) -> Self {
        Self::Lost {
            words: words.to_string(),
            untaken: false,
            cause: Cause::Lost,
        }
    }

    /// What came is no answer, in these words.
    pub(in crate::protocol) fn garbled(words: impl fmt::Display) -> Self {
        Self::Lost {
            words: words.to_string(),
            untaken: false,
            cause: Cause::Garbled,
        }
    }

    /// In which way a call fails by it.
    pub(in crate::protocol) fn cause(&self) -> Cause {
        match self {
            // The one end speaks TLS and the other does not, as our own servers say it.
            Self::Untaken(error) if error.reason() == Some(Reason::INADEQUATE_SECURITY) => {
                Cause::Garbled
            }
            Self::Untaken(_) => Cause::Refused,
            Self::Broken(error) => match error.get_io() {
                Some(error) => Cause::of_io(error),
                // The library has ended the connection itself, by what it read.
                None if error.is_library() => Cause::Garbled,
                None => Cause::Lost,
            },
            Self::Silent => Cause::Silent,
            Self::Flood => Cause::Garbled,
            Self::Malformed(malformed) => malformed.cause(),
            Self::Lost { cause, .. } => *cause,
            Self::Reset(_) | Self::Over | Self::Closed => Cause::Lost,
        }
    }
}

impl From<h2::Error> for Fault {
    fn from(error: h2::Error) -> Self {
        // Of a stream that the peer has taken, a GOAWAY says nothing: it goes on.
        let refused = error.is_reset() && error.reason() == Some(Reason::REFUSED_STREAM);
        match error.reason() {
            _ if error.is_remote() && (refused || error.is_go_away()) => Self::Untaken(error),
            Some(reason) if error.is_remote() => Self::Reset(reason.into()),
            _ => Self::Broken(error),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reset(reason) => {
                write!(
                    f,
                    "the peer has reset the stream: {}",
                    Reason::from(*reason)
                )
            }
            Self::Untaken(error) | Self::Broken(error) => write!(f, "http2: {error}"),
            Self::Silent => f.write_str("the peer does not answer: its connection is given up"),
            Self::Flood => f.write_str("the peer floods the connection with empty frames"),
            Self::Over => f.write_str("the stream has ended"),
            Self::Closed => f.write_str("the peer has closed the connection"),
            Self::Malformed(malformed) => write!(f, "http1: {malformed}"),
            Self::Lost { words, .. } => write!(f, "http1: {words}"),
        }
    }
}
