//! Arguments: `mode --name value …`, with nothing required.

use std::fmt;

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    /// Calls of one message each way.
    Unary,
    /// Streams from the server; a message counts.
    ServerStream,
    /// A stream both ways, one message after the other; a round trip counts.
    Bidi,
    /// Connections with one call each, and then none: what they hold counts.
    Idle,
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unary => "unary",
            Self::ServerStream => "ss",
            Self::Bidi => "bidi",
            Self::Idle => "idle",
        })
    }
}

/// The program's arguments.
pub struct Args(Vec<String>);

impl Args {
    /// Those of this process.
    pub fn read() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The first: `server` or `client`.
    pub fn mode(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// What follows `--name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        let at = self
            .0
            .iter()
            .position(|arg| arg.strip_prefix("--") == Some(name))?;
        self.0.get(at + 1).map(String::as_str)
    }

    /// What follows `--name`, a number.
    ///
    /// # Panics
    /// Where it is something else.
    pub fn number(&self, name: &str, default: u64) -> u64 {
        match self.get(name) {
            None => default,
            Some(text) => text
                .parse()
                .unwrap_or_else(|_| panic!("--{name} must be a number, not {text}")),
        }
    }

    /// `--addr`: where the server listens.
    pub fn address(&self) -> &str {
        self.get("addr").unwrap_or("127.0.0.1:9000")
    }

    /// `--wl`: what the client does.
    pub fn workload(&self) -> Workload {
        match self.get("wl").unwrap_or("unary") {
            "unary" => Workload::Unary,
            "ss" => Workload::ServerStream,
            "bidi" => Workload::Bidi,
            "idle" => Workload::Idle,
            other => panic!("--wl must be unary, ss, bidi or idle, not {other}"),
        }
    }

    /// `--c`: workers, each with one call or stream in flight.
    pub fn workers(&self) -> usize {
        self.number("c", 1) as usize
    }

    /// `--conns`: connections, or clients where a client has its own pool.
    pub fn connections(&self) -> usize {
        self.number("conns", 1).max(1) as usize
    }

    /// `--meta`: pairs of metadata with each call. The names are those that callers use.
    pub fn metadata(&self) -> impl Iterator<Item = (&'static str, &'static str)> + use<> {
        let pairs = [
            ("tenant", "blue"),
            ("request-kind", "bench"),
            ("trace-id", "4bf92f3577b34da6a3ce929d0e0e4736"),
            ("user", "john.doe@example.org"),
            ("locale", "en-GB"),
        ];
        pairs.into_iter().take(self.number("meta", 2) as usize)
    }

    /// `--name 1`: whether something is switched on.
    pub fn has(&self, name: &str) -> bool {
        self.number(name, 0) == 1
    }

    /// `--size`: payload bytes of a message.
    pub fn size(&self) -> usize {
        self.number("size", 100) as usize
    }

    /// `--count`: messages of one server stream.
    pub fn count(&self) -> u32 {
        self.number("count", 100_000) as u32
    }
}
