//! The command line.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};

use crate::go::parse_duration;

/// Serves or calls the test services; the twin of the Go peers.
#[derive(Clone, Debug, Parser)]
#[command(name = "micro-interop", version, rename_all = "snake_case")]
pub struct Args {
    /// Serve or call.
    #[arg(long, value_enum, default_value_t = Mode::Server)]
    pub mode: Mode,
    /// What is served or called.
    #[arg(long, value_enum, default_value_t = ServiceName::Greeter)]
    pub service: ServiceName,
    /// The server answers this protocol alone, the client speaks it; auto: all, and the best.
    #[arg(long, value_enum, default_value_t = ProtocolName::Mucp)]
    pub protocol: ProtocolName,
    /// Server: listen address, 127.0.0.1:0 if not given. Client: addresses to call, separated by
    /// commas; not given or empty means: look the name up in the registry.
    #[arg(long, default_value = "")]
    pub address: String,
    /// Where the server is registered and the client looks.
    #[arg(long, value_enum, default_value_t = RegistryName::Memory)]
    pub registry: RegistryName,
    /// Where the registry is: the folder of the local one, `host:port` of Consul's agent.
    #[arg(long)]
    pub registry_address: Option<String>,
    /// Where the HTTP broker listens; a free port on loopback if not given.
    #[arg(long, default_value = "127.0.0.1:0")]
    pub broker_address: String,
    /// A setting of the runtime: `--set register_interval=5` is any service's
    /// `--register_interval=5`. May be given again and again.
    #[arg(long, value_parser = pair)]
    pub set: Vec<(String, String)>,
    /// Service name; that of the service if not given.
    #[arg(long)]
    pub name: Option<String>,
    /// Server: what its node's id ends with; a random one if not given.
    #[arg(long)]
    pub id: Option<String>,
    /// Server: address to advertise.
    #[arg(long)]
    pub advertise: Option<String>,
    /// Server of the greeter: subscribe to the topic. Client: publish to it.
    #[arg(long)]
    pub topic: Option<String>,
    /// Server: of all subscribers with this queue, one gets each event. Each gets all if not given.
    #[arg(long, default_value = "", requires = "topic")]
    pub queue: String,
    /// Client: content type.
    #[arg(long, default_value = "application/json")]
    pub content_type: String,
    /// Client: what to call.
    #[arg(long, value_enum)]
    pub call: Option<Call>,
    /// Client: argument of the call.
    #[arg(long, default_value = "world", allow_hyphen_values = true)]
    pub arg: String,
    /// Client: second argument of the call.
    #[arg(long, default_value = "", allow_hyphen_values = true)]
    pub arg2: String,
    /// Client of the kitchen: recipes, separated by commas; `all` for each named recipe, `fields`
    /// for each field of a dish alone.
    #[arg(long, default_value = "full")]
    pub recipe: String,
    /// Client: calls of each worker, one after the other.
    #[arg(long, default_value_t = 1)]
    pub n: u64,
    /// Client: workers, which share one client.
    #[arg(long, default_value_t = 1)]
    pub parallel: u64,
    /// Client: outgoing metadata, k=v,k=v.
    #[arg(long, value_delimiter = ',', value_parser = pair)]
    pub metadata: Vec<(String, String)>,
    /// Client: deadline of each call.
    #[arg(long, value_parser = parse_duration)]
    pub timeout: Option<Duration>,
    /// Client: limit of one try.
    #[arg(long, value_parser = parse_duration)]
    pub conn_timeout: Option<Duration>,
    /// Client: limit of a stream.
    #[arg(long, value_parser = parse_duration)]
    pub stream_timeout: Option<Duration>,
    /// Client: tries after the first.
    #[arg(long, default_value_t = 0)]
    pub retries: u32,
    /// Client: close the connection after each call.
    #[arg(long)]
    pub conn_close: bool,
    /// Server: pause after each message that Count and Collect send. Never needed here.
    #[arg(long, value_parser = parse_duration, default_value = "0")]
    pub pace: Duration,
    /// Client: leave streams open.
    #[arg(long)]
    pub silent_close: bool,
    /// Server: serve Debug.
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value_t = true, default_missing_value = "true")]
    pub debug_handler: bool,
    /// TLS. The server needs --cert and --key with it, the client --ca or --insecure: nothing is
    /// trusted by itself, and no certificate made.
    #[arg(long)]
    pub secure: bool,
    /// Client: TLS without verification.
    #[arg(long, conflicts_with = "ca")]
    pub insecure: bool,
    /// Client: PEM file with the only roots to trust (TLS).
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// Server: PEM certificate chain to serve (TLS).
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// Server: PEM private key of --cert.
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// Server of the greeter: Sleep and Echo are passed on to the greeter at this address.
    #[arg(long)]
    pub next: Option<String>,
    /// The protocol spoken to --next; the server's own if not given.
    #[arg(long, value_enum, requires = "next")]
    pub next_protocol: Option<ProtocolName>,
    /// Server of the greeter: print what becomes of each Sleep: `BEGIN` with the time that is left,
    /// then `DONE`, or `DROPPED` when its caller has gone. Of each Hello: `RAN` and the name.
    #[arg(long)]
    pub trace: bool,
    /// Server of the greeter: how long each Hello takes.
    #[arg(long, value_parser = parse_duration, default_value = "0")]
    pub hold: Duration,
    /// Server of the greeter: so many of a hundred Hellos fail, with a timeout.
    #[arg(long, default_value_t = 0)]
    pub flaky: u64,
    /// Server: how long it serves on after it is deregistered. No time at all if not given: nobody's
    /// cache lags behind a test's server.
    #[arg(long, value_parser = parse_duration, default_value = "0")]
    pub linger: Duration,
}

/// Serve or call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Serve.
    Server,
    /// Call.
    Client,
}

/// A service of this program.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ServiceName {
    /// All kinds of calls: `proto/greeter.proto`.
    Greeter,
    /// All types of messages: `proto/kitchen.proto`.
    Kitchen,
    /// Counts its calls: `proto/tally.proto`. It is only served.
    Tally,
}

/// A protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ProtocolName {
    /// Go Micro's.
    Mucp,
    /// Everyone's.
    Grpc,
    /// Ours.
    Braid,
    /// Connect's, as browsers speak it.
    Connect,
    /// Its elder.
    GrpcWeb,
    /// All.
    Auto,
}

/// A registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum RegistryName {
    /// Of the process.
    Memory,
    /// Of the machine.
    Local,
    /// Of the network, by multicast.
    Mdns,
    /// A Consul agent.
    Consul,
}

/// What a client calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Call {
    /// Greeter: unary. `--arg` is the name.
    Hello,
    /// Greeter: an error. `--arg` is its kind, `--arg2` its detail.
    Fail,
    /// Greeter: `--arg` milliseconds.
    Sleep,
    /// Greeter, kitchen: what the handler saw; the dish sent.
    Echo,
    /// Greeter: a server stream of `--arg` messages; `--arg2 fail` for an error at the end.
    Count,
    /// Greeter: a stream both ways of `--arg` messages; `--arg2 fail` for an error at the last.
    Sum,
    /// Greeter: a client stream of `--arg` messages.
    Collect,
    /// Greeter: the endpoint `--arg`, with a name.
    Raw,
    /// The Debug service.
    Health,
    /// The Debug service.
    Stats,
    /// Greeter: an event with the name `--arg` to `--topic`; of many, each has its number too.
    Publish,
    /// Kitchen: the server makes the dish.
    Make,
    /// Kitchen: the server compares the dish.
    Check,
    /// Kitchen: prints the names of the recipes and calls nothing.
    List,
}

impl ProtocolName {
    /// As a client of the runtime names it, in a list that is empty for all.
    pub fn names(self) -> Vec<&'static str> {
        match self {
            Self::Mucp => vec!["mucp"],
            Self::Grpc => vec!["grpc"],
            Self::Braid => vec!["braid"],
            Self::Connect => vec!["connect"],
            Self::GrpcWeb => vec!["grpc-web"],
            Self::Auto => Vec::new(),
        }
    }

    /// As a server does: it answers both that browsers speak, or neither.
    pub fn served(self) -> Vec<&'static str> {
        match self {
            Self::Connect | Self::GrpcWeb => vec!["web"],
            other => other.names(),
        }
    }
}

impl RegistryName {
    /// As the runtime names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Local => "local",
            Self::Mdns => "mdns",
            Self::Consul => "consul",
        }
    }
}

impl Args {
    /// The name of the service called or served.
    pub fn name(&self) -> &str {
        match (&self.name, self.service) {
            (Some(name), _) => name,
            (None, ServiceName::Greeter) => "greeter",
            (None, ServiceName::Kitchen) => "kitchen",
            (None, ServiceName::Tally) => "tally",
        }
    }

    /// What is spoken to `--next`.
    pub fn next_protocol(&self) -> ProtocolName {
        self.next_protocol.unwrap_or(self.protocol)
    }

    /// How many calls a client makes of each sort.
    pub fn calls(&self) -> u64 {
        self.n.saturating_mul(self.parallel)
    }
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) => Ok((key.to_owned(), value.to_owned())),
        None => Err(format!("{text:?} is not k=v")),
    }
}
