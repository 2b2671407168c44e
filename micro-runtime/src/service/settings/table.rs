//! Each setting once: its name, what it is for, its default, and how a value is read.

use super::super::apply::DEFAULT_REGISTRY;
use super::Settings;
use super::value::{
    Bad, address, duration, fingerprint, health_check, list, names, origins, pairs, path, positive,
    retry_budget, seconds, strategy, switch, text, whole,
};

/// One setting.
#[derive(Debug)]
#[cfg_attr(
    not(feature = "cli"),
    expect(
        dead_code,
        reason = "the help and lists of flags are of the command line"
    )
)]
pub(super) struct Setting {
    /// The flag's name; the variable's is `MICRO_` and this in capitals.
    pub(super) name: &'static str,
    pub(super) group: &'static str,
    /// What stands for its value in the help; empty for a switch.
    pub(super) value: &'static str,
    pub(super) help: &'static str,
    /// The default in words.
    pub(super) default: &'static str,
    /// Whether several values are one list.
    pub(super) many: bool,
    /// Whether the value is the path of a file, so that `MICRO_…_FILE` means the same.
    pub(super) path: bool,
    pub(super) set: fn(&mut Settings, &str) -> Result<(), Bad>,
}

impl Setting {
    const fn new(
        group: &'static str,
        name: &'static str,
        value: &'static str,
        help: &'static str,
        default: &'static str,
        set: fn(&mut Settings, &str) -> Result<(), Bad>,
    ) -> Self {
        Self {
            name,
            group,
            value,
            help,
            default,
            many: false,
            path: false,
            set,
        }
    }

    const fn many(mut self) -> Self {
        self.many = true;
        self
    }

    const fn path(mut self) -> Self {
        self.path = true;
        self
    }

    /// Whether several values, with commas between them, are one.
    pub(super) fn takes_list(&self) -> bool {
        self.value.ends_with(",...")
    }

    /// Whether its value is `k=v,k=v`.
    pub(super) fn takes_pairs(&self) -> bool {
        self.value.starts_with("KEY=VALUE")
    }

    /// `MICRO_SERVER_NAME`.
    pub(super) fn variable(&self) -> String {
        format!("MICRO_{}", self.name.to_ascii_uppercase())
    }
}

const SETTINGS: &str = "Settings";
const SERVER: &str = "Server";
const DISCOVERY: &str = "Discovery";
const CLIENT: &str = "Client";
const TLS: &str = "TLS";

/// All settings, in the order of the help.
#[rustfmt::skip]
pub(super) static TABLE: &[Setting] = &[
    Setting::new(SETTINGS, "config", "FILE", "A file of settings, .json or .toml, whose keys are these names; server_address is also address in a table server", "none",
        |to, from| path(&mut to.config, from)).path(),
    Setting::new(SERVER, "server_name", "NAME", "The name that the service is found by", "what code says",
        |to, from| text(&mut to.server_name, from)),
    Setting::new(SERVER, "server_version", "VERSION", "The service's version", "latest",
        |to, from| text(&mut to.server_version, from)),
    Setting::new(SERVER, "server_id", "ID", "What the node's id ends with", "a random UUID",
        |to, from| text(&mut to.server_id, from)),
    Setting::new(SERVER, "server_address", "HOST:PORT", "Where the server listens; unix:/PATH for a Unix socket", "a free port, of loopback where the registry is memory or local, else of every interface",
        |to, from| address(&mut to.server_address, from)),
    Setting::new(SERVER, "server_advertise", "HOST:PORT", "The address that others are told; without a port, that of the server", "where the server listens; for every interface, the first private address",
        |to, from| address(&mut to.server_advertise, from)),
    Setting::new(SERVER, "server_metadata", "KEY=VALUE,...", "The node's metadata, in place of that which code gives", "none",
        |to, from| pairs(&mut to.server_metadata, from)).many(),
    Setting::new(SERVER, "server", "PROTOCOL,...", "The protocols that the server answers: braid, grpc, mucp, web (gRPC-Web, Connect and JSON); auto for all", "auto",
        |to, from| names(&mut to.server, from)),
    Setting::new(SERVER, "allowed_origins", "ORIGIN,...", "The web origins whose pages may call: https://example.org; * for any", "none",
        |to, from| origins(&mut to.allowed_origins, from)).many(),
    Setting::new(SERVER, "server_connection_age", "DURATION", "After how long callers of gRPC and braid are to make a new connection, give or take a tenth", "never",
        |to, from| duration(&mut to.server_connection_age, from)),
    Setting::new(SERVER, "server_connection_grace", "DURATION", "How long calls of gRPC go on on a connection of that age", "until they end",
        |to, from| duration(&mut to.server_connection_grace, from)),
    Setting::new(SERVER, "reflection", "", "Whether gRPC's reflection is served, which tells everybody all that is served", "true where only this machine can ask, on loopback",
        |to, from| switch(&mut to.reflection, from)),
    Setting::new(SERVER, "schema", "", "Whether the node tells hashes of its services' descriptors, and Debug.Schema the descriptors", "true",
        |to, from| switch(&mut to.schema, from)),
    Setting::new(SERVER, "admin_address", "HOST:PORT", "Where the admin listener tells a person and probes how the service stands: its readiness, calls, nodes, settings; of this machine alone unless a host is named", "none",
        |to, from| address(&mut to.admin_address, from)),
    Setting::new(DISCOVERY, "registry", "NAME", "The registry: memory, local, mdns, consul, dns, static, or one that the program brings", DEFAULT_REGISTRY,
        |to, from| text(&mut to.registry, from)),
    Setting::new(DISCOVERY, "registry_address", "ADDRESS,...", "Where the registry is; of local, its folder; of consul, its agents; of dns, name servers; of static, NAME=HOST:PORT,... or file:PATH", "the registry's own",
        |to, from| list(&mut to.registry_address, from)).many(),
    Setting::new(DISCOVERY, "registry_domain", "DOMAIN", "What names end with, in mdns and dns; of dns, with the port of services without SRV records", "micro; of dns, local",
        |to, from| text(&mut to.registry_domain, from)),
    Setting::new(DISCOVERY, "register_ttl", "SECONDS", "How long a registration holds without being renewed", "60",
        |to, from| seconds(&mut to.register_ttl, from)),
    Setting::new(DISCOVERY, "register_interval", "SECONDS", "How often the service is registered again", "30",
        |to, from| seconds(&mut to.register_interval, from)),
    Setting::new(DISCOVERY, "broker", "NAME", "What carries events: http, memory, or one that the program brings", "http",
        |to, from| text(&mut to.broker, from)),
    Setting::new(DISCOVERY, "broker_address", "ADDRESS,...", "Where the broker is; of http, where it listens", "the broker's own",
        |to, from| list(&mut to.broker_address, from)).many(),
    Setting::new(DISCOVERY, "registry_grace", "DURATION", "How long a node that the registry no longer names is kept while it answers; 0s for not at all", "150s",
        |to, from| duration(&mut to.registry_grace, from)),
    Setting::new(DISCOVERY, "transport", "NAME", "What bytes travel on: http (also as tcp), memory", "http",
        |to, from| text(&mut to.transport, from)),
    Setting::new(CLIENT, "client", "PROTOCOL,...", "The protocols that the client may speak, best first: braid, grpc, mucp, connect, grpc-web; auto for what a node says", "auto",
        |to, from| names(&mut to.client, from)),
    Setting::new(CLIENT, "client_request_timeout", "DURATION", "The limit of a whole call: 300ms, 1.5s, 1m", "30s",
        |to, from| duration(&mut to.client_request_timeout, from)),
    Setting::new(CLIENT, "client_retries", "NUMBER", "Tries after the first", "5",
        |to, from| whole(&mut to.client_retries, from)),
    Setting::new(CLIENT, "client_retry_budget", "PERCENT", "Tries beyond their first that all calls to a service may make, in percent of the calls; off for any number", "20",
        |to, from| retry_budget(&mut to.client_retry_budget, from)),
    Setting::new(CLIENT, "client_pool_size", "NUMBER", "Idle connections kept to a node", "100",
        |to, from| positive(&mut to.client_pool_size, from)),
    Setting::new(CLIENT, "client_pool_ttl", "DURATION", "How long a connection is used", "1m",
        |to, from| duration(&mut to.client_pool_ttl, from)),
    Setting::new(CLIENT, "check_schema", "", "Whether typed clients leave out nodes that would not understand them, as far as nodes tell what their services look like", "true",
        |to, from| switch(&mut to.check_schema, from)),
    Setting::new(CLIENT, "selector", "NAME", "How a node is chosen: poweroftwo, leastconnections, hash, sticky (of a call's key; hash:NAME of its metadata, hash@caller of the client), weighted, random, roundrobin", "poweroftwo",
        |to, from| strategy(&mut to.selector, from)),
    Setting::new(CLIENT, "outliers", "", "Whether nodes are left alone for how calls to them go", "true",
        |to, from| switch(&mut to.outliers, from)),
    Setting::new(CLIENT, "health_check", "KIND", "What nodes are asked from time to time: grpc (grpc.health.v1), debug (Debug.Health), off", "off",
        |to, from| health_check(&mut to.health_check, from)),
    Setting::new(CLIENT, "health_check_interval", "DURATION", "How often", "10s",
        |to, from| duration(&mut to.health_check_interval, from)),
    Setting::new(CLIENT, "health_check_timeout", "DURATION", "How long they may take to answer", "1s",
        |to, from| duration(&mut to.health_check_timeout, from)),
    Setting::new(CLIENT, "client_slow_start", "DURATION", "How long it takes until a new node gets its full share of calls; 0s for none", "10s",
        |to, from| duration(&mut to.client_slow_start, from)),
    Setting::new(CLIENT, "zone", "ZONE", "Where this service runs: told to others as the node's zone, and its calls go to nodes of the same one", "none",
        |to, from| text(&mut to.zone, from)),
    Setting::new(CLIENT, "proxy", "SERVICE", "The service that all calls go to, whatever name they call", "none",
        |to, from| text(&mut to.proxy, from)),
    Setting::new(TLS, "tls_cert", "FILE", "The server's certificates, in PEM", "no TLS",
        |to, from| path(&mut to.tls_cert, from)).path(),
    Setting::new(TLS, "tls_key", "FILE", "The key of the server's certificate, in PEM", "no TLS",
        |to, from| path(&mut to.tls_key, from)).path(),
    Setting::new(TLS, "tls_client_ca", "FILE", "The server lets in only clients with a certificate of this CA, in PEM", "anyone is let in",
        |to, from| path(&mut to.tls_client_ca, from)).path(),
    Setting::new(TLS, "tls_ca", "FILE", "Whom the client trusts: certificates in PEM", "no TLS",
        |to, from| path(&mut to.tls_ca, from)).path(),
    Setting::new(TLS, "tls_client_cert", "FILE", "What the client shows to servers that ask: certificates in PEM", "nothing",
        |to, from| path(&mut to.tls_client_cert, from)).path(),
    Setting::new(TLS, "tls_client_key", "FILE", "The key of the client's certificate, in PEM", "nothing",
        |to, from| path(&mut to.tls_client_key, from)).path(),
    Setting::new(TLS, "tls_fingerprint", "SHA256", "The client uses TLS and trusts exactly the certificate with this hash, as openssl x509 -fingerprint -sha256 shows it", "none",
        |to, from| fingerprint(&mut to.tls_fingerprint, from)),
    Setting::new(TLS, "tls_insecure", "", "The client uses TLS and trusts everybody", "false",
        |to, from| switch(&mut to.tls_insecure, from)),
];

/// Go Micro's variables that have no effect here, and that nobody mistyped.
pub(super) const WITHOUT_EFFECT: &[&str] = &[
    "MICRO_AUTH",
    "MICRO_AUTH_ID",
    "MICRO_AUTH_NAMESPACE",
    "MICRO_AUTH_PRIVATE_KEY",
    "MICRO_AUTH_PUBLIC_KEY",
    "MICRO_AUTH_SECRET",
    "MICRO_DEBUG_PROFILE",
    "MICRO_LOG_LEVEL",
    "MICRO_NETWORK",
    "MICRO_NETWORK_ADDRESS",
    "MICRO_PLUGIN",
    "MICRO_PROXY_ADDRESS",
    "MICRO_RUNTIME",
    "MICRO_RUNTIME_SOURCE",
    "MICRO_STORE",
    "MICRO_STORE_ADDRESS",
    "MICRO_STORE_DATABASE",
    "MICRO_STORE_TABLE",
    "MICRO_TRACER",
    "MICRO_TRACER_ADDRESS",
    "MICRO_TRANSPORT_ADDRESS",
];
