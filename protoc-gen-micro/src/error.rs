//! What can go wrong, with the place where it did.

use std::fmt;

/// A failure to generate, worded for the person who wrote the `.proto` file or the options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    place: Option<Place>,
    message: String,
}

/// `Result` with our [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Where in a `.proto` file; lines and columns count from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file as the descriptor names it.
    pub file: String,
    /// Line and column, where the descriptor tells them.
    pub position: Option<(u32, u32)>,
}

impl Error {
    /// A failure that belongs to no place in a file.
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            place: None,
            message: message.into(),
        }
    }

    /// A failure at a place.
    pub fn at(place: Place, message: impl Into<String>) -> Self {
        Self {
            place: Some(place),
            message: message.into(),
        }
    }

    /// Where it happened.
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.place {
            None => f.write_str(&self.message),
            Some(place) => write!(f, "{place}: {}", self.message),
        }
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        match self.position {
            None => Ok(()),
            Some((line, column)) => write!(f, ":{line}:{column}"),
        }
    }
}
