//! What a wrapper tells of itself to a person who looks at a running service.

use std::time::Duration;

/// How a wrapper stands: its settings, and what it has come to for each key that it decides for.
///
/// ```
/// use micro_runtime::wrapper::{Inspected, Standing};
///
/// let open = Standing::new("go.micro.srv.greeter Say.Hello", "open").figure("failures", 20_u64);
/// let inspected = Inspected::new("breaker").setting("volume", 20_u64).standing(open);
/// assert_eq!(inspected.standings.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Inspected {
    /// What it is, in a word or two: `breaker`, `rate limit`.
    pub kind: &'static str,
    /// What it was made with, by name.
    pub settings: Vec<(&'static str, Figure)>,
    /// One for each key that it decides for, at most [`MAX_STANDINGS`].
    pub standings: Vec<Standing>,
}

/// How many standings are told of one wrapper.
pub const MAX_STANDINGS: usize = 256;

impl Inspected {
    /// Of a wrapper that is a `kind`, and tells nothing else yet.
    #[must_use]
    pub const fn new(kind: &'static str) -> Self {
        Self {
            kind,
            settings: Vec::new(),
            standings: Vec::new(),
        }
    }

    /// With one setting more.
    #[must_use]
    pub fn setting(mut self, name: &'static str, value: impl Into<Figure>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// With one standing more, where there is room for it.
    #[must_use]
    pub fn standing(mut self, standing: Standing) -> Self {
        if self.standings.len() < MAX_STANDINGS {
            self.standings.push(standing);
        }
        self
    }
}

/// What a wrapper has come to for one key.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Standing {
    /// What it is of: a service and an endpoint, a caller, or nothing where there is one for all.
    pub of: String,
    /// In one word: `closed`, `open`, `half-open`; of what has no states, `on`.
    pub state: &'static str,
    /// What it counts, by name.
    pub figures: Vec<(&'static str, Figure)>,
}

impl Standing {
    /// That of `of`, which is in `state`.
    #[must_use]
    pub fn new(of: impl Into<String>, state: &'static str) -> Self {
        let (of, figures) = (of.into(), Vec::new());
        Self { of, state, figures }
    }

    /// With one figure more.
    #[must_use]
    pub fn figure(mut self, name: &'static str, value: impl Into<Figure>) -> Self {
        self.figures.push((name, value.into()));
        self
    }
}

/// A value of a setting or a count.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Figure {
    /// So many.
    Count(u64),
    /// A number that is no count: a share, a rate in one second.
    Number(f64),
    /// So long.
    Time(Duration),
    /// A word.
    Text(String),
}

impl From<u64> for Figure {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<u32> for Figure {
    fn from(count: u32) -> Self {
        Self::Count(count.into())
    }
}

impl From<usize> for Figure {
    fn from(count: usize) -> Self {
        Self::Count(u64::try_from(count).unwrap_or(u64::MAX))
    }
}

impl From<f64> for Figure {
    fn from(number: f64) -> Self {
        Self::Number(number)
    }
}

impl From<Duration> for Figure {
    fn from(time: Duration) -> Self {
        Self::Time(time)
    }
}

impl From<&str> for Figure {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<String> for Figure {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}
