//! A real Consul of a test's own: an agent in development mode, on free ports of loopback.
//!
//! It keeps all in memory, so that an agent that is killed and started again is empty, and has the
//! same addresses. `tests/run` builds the program and says where it is.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::{Authority, Files, put};
use crate::peers;

/// How long an agent may take until it answers for its cluster of one.
const PATIENCE: Duration = Duration::from_secs(60);
/// The master token of agents that ask for one.
const TOKEN: &str = "c0ffee00-1111-2222-3333-444455556666";
/// Ports are found and then given free: another program may be faster.
const TRIES: usize = 5;

/// What an agent is started with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// Whether it denies all to those without the [token](Consul::token).
    pub acl: bool,
    /// Whether it also answers TLS, with a certificate for 127.0.0.1 of [a CA](Consul::ca).
    pub tls: bool,
}

/// An agent; killed when it is dropped.
#[derive(Debug)]
pub struct Consul {
    program: PathBuf,
    folder: TempDir,
    wanted: Wanted,
    address: String,
    tls_address: String,
    dns_address: String,
    child: Option<Child>,
}

impl Consul {
    /// Starts an agent that answers everybody, and waits until it is ready.
    ///
    /// # Panics
    /// Where the program is not there or does not get ready.
    pub fn start() -> Self {
        Self::with(Wanted::default())
    }

    /// Starts an agent as it is wanted, and waits until it is ready.
    ///
    /// # Panics
    /// As [`start`](Consul::start).
    pub fn with(wanted: Wanted) -> Self {
        let folder = TempDir::new().expect("a folder for Consul");
        if wanted.tls {
            certify(folder.path());
        }
        let mut consul = Self {
            program: program(),
            folder,
            wanted,
            address: String::new(),
            tls_address: String::new(),
            dns_address: String::new(),
            child: None,
        };
        for _ in 1..TRIES {
            consul.choose_ports();
            if consul.launch().is_ok() {
                return consul;
            }
        }
        consul.choose_ports();
        consul.restart();
        consul
    }

    /// Where it answers HTTP: `127.0.0.1:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Where it answers TLS, if that was wanted: `127.0.0.1:port`.
    pub fn tls_address(&self) -> &str {
        &self.tls_address
    }

    /// Where it answers as a name server, for names below `service.consul`: `127.0.0.1:port`.
    pub fn dns_address(&self) -> &str {
        &self.dns_address
    }

    /// The token that may do all, if tokens are asked for.
    pub fn token(&self) -> &'static str {
        TOKEN
    }

    /// The file with the CA of its certificate, if TLS was wanted.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Starts it again, empty, on the same ports; one that runs is killed before.
    ///
    /// # Panics
    /// Where it does not get ready, with what it said.
    pub fn restart(&mut self) {
        self.kill();
        if let Err(error) = self.launch() {
            panic!("{}: {error}\n{}", self.program.display(), self.log());
        }
    }

    /// Ends it as a crash does: what it knew is gone, and nobody answers at its addresses.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Makes it accept connections and answer nothing, until [`resume`](Consul::resume).
    ///
    /// # Panics
    /// Where it does not run.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Lets it go on after [`pause`](Consul::pause).
    ///
    /// # Panics
    /// Where it does not run.
    pub fn resume(&self) {
        self.signal("CONT");
    }

    /// What it answers to `GET path`, with the token.
    ///
    /// # Panics
    /// Where it answers no JSON with status 200.
    pub fn get(&self, path: &str) -> Value {
        let (status, body) = self
            .ask("GET", path, "")
            .unwrap_or_else(|error| panic!("GET {path}: {error}"));
        assert_eq!(status, 200, "GET {path}: {body}");
        serde_json::from_str(&body).unwrap_or_else(|error| panic!("GET {path}: {error}: {body}"))
    }

    /// The status and the body of its answer to `PUT path`, with the token.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn put(&self, path: &str, body: &str) -> (u16, String) {
        self.ask("PUT", path, body)
            .unwrap_or_else(|error| panic!("PUT {path}: {error}"))
    }

    /// The ids of the nodes called `service` that it knows, with the worst status of their checks.
    ///
    /// # Panics
    /// Where it does not answer.
    pub fn nodes(&self, service: &str) -> Vec<(String, String)> {
        let answer = self.get(&format!("/v1/health/service/{service}"));
        let nodes = answer.as_array().cloned().unwrap_or_default();
        let mut found: Vec<_> = nodes
            .iter()
            .map(|node| {
                let checks = node["Checks"].as_array().cloned().unwrap_or_default();
                let status = |wanted: &str| checks.iter().any(|check| check["Status"] == wanted);
                let worst = ["critical", "warning"].into_iter().find(|&s| status(s));
                let id = node["Service"]["ID"].as_str().unwrap_or_default();
                (id.to_owned(), worst.unwrap_or("passing").to_owned())
            })
            .collect();
        found.sort();
        found
    }

    /// Waits until [`nodes`](Consul::nodes) are as `wanted` finds them: an agent tells its catalogue
    /// of a registration only after it has answered it.
    ///
    /// # Panics
    /// Where that is not so within a minute, with the nodes.
    pub fn wait_for_nodes(
        &self,
        service: &str,
        mut wanted: impl FnMut(&[(String, String)]) -> bool,
    ) -> Vec<(String, String)> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let nodes = self.nodes(service);
            if wanted(&nodes) {
                return nodes;
            }
            assert!(Instant::now() < deadline, "{service} has nodes {nodes:?}");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until it knows so many nodes called `service`, all of which are well.
    ///
    /// # Panics
    /// As [`wait_for_nodes`](Consul::wait_for_nodes).
    pub fn wait_for_all(&self, service: &str, count: usize) {
        self.wait_for_nodes(service, |nodes| {
            nodes.len() == count && nodes.iter().all(|(_, status)| status == "passing")
        });
    }

    /// What it has written so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    fn choose_ports(&mut self) {
        // All are held until the last is found, so that they differ.
        let listeners: Vec<_> = (0..5)
            .map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"))
            .collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().expect("an address").port())
            .collect();
        self.address = format!("127.0.0.1:{}", ports[0]);
        self.tls_address = format!("127.0.0.1:{}", ports[1]);
        self.dns_address = format!("127.0.0.1:{}", ports[4]);
        let off = -1;
        let https = if self.wanted.tls {
            json!(ports[1])
        } else {
            json!(off)
        };
        let mut config = json!({
            "bind_addr": "127.0.0.1",
            "client_addr": "127.0.0.1",
            "node_name": "test",
            "log_level": "warn",
            "disable_update_check": true,
            // Without it answers that do not fit are cut and do not say so.
            "dns_config": { "enable_truncate": true },
            "ports": {
                "http": ports[0], "https": https, "server": ports[2], "serf_lan": ports[3],
                "serf_wan": off, "dns": ports[4], "grpc": off, "grpc_tls": off,
            },
        });
        if self.wanted.acl {
            config["acl"] = json!({
                "enabled": true,
                "default_policy": "deny",
                "tokens": { "initial_management": TOKEN, "agent": TOKEN },
            });
        }
        if self.wanted.tls {
            let files = Files::new(self.folder.path(), "cert");
            config["tls"] = json!({
                "https": { "cert_file": files.certificate, "key_file": files.key },
            });
        }
        fs::write(self.config(), config.to_string()).expect("Consul's configuration");
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    /// Starts it and waits until it answers for its cluster, and knows itself.
    fn launch(&mut self) -> Result<(), String> {
        let log = fs::File::create(self.folder.path().join("log")).expect("a log");
        let mut command = Command::new(&self.program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("CONSUL_") {
                command.env_remove(name);
            }
        }
        let child = command
            .args(["agent", "-dev", "-config-file"])
            .arg(self.config())
            .stdin(Stdio::null())
            .stderr(log.try_clone().expect("a log"))
            .stdout(log)
            .spawn()
            .map_err(|error| error.to_string())?;
        let child = self.child.insert(child);
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Ok(Some(status)) = child.try_wait() {
                self.child = None;
                return Err(format!("it ended with {status}"));
            }
            let known = ask(
                &self.address,
                "GET",
                "/v1/health/service/consul?passing",
                "",
            );
            if known.is_ok_and(|(status, body)| status == 200 && body.contains("\"Node\"")) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err("it does not get ready".to_owned());
            }
            // It says nowhere that it is ready.
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn ask(&self, method: &str, path: &str, body: &str) -> Result<(u16, String), String> {
        ask(&self.address, method, path, body)
    }

    fn signal(&self, name: &str) {
        let child = self.child.as_ref().expect("Consul runs");
        peers::signal(child.id(), name);
    }
}

impl Drop for Consul {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Where Consul is: in the folder in `MICRO_SERVERS_BIN`, or where `tests/servers/build` puts it.
fn program() -> PathBuf {
    let folder = std::env::var_os("MICRO_SERVERS_BIN").map_or_else(built, PathBuf::from);
    let program = folder.join("consul");
    assert!(
        program.is_file(),
        "there is no Consul {}: run tests/run, which builds it (it needs Go), or tests/servers/build and set MICRO_SERVERS_BIN to what that prints",
        program.display()
    );
    program
}

fn built() -> PathBuf {
    let folder = |name| std::env::var_os(name).map(PathBuf::from);
    let cache = || folder("XDG_CACHE_HOME").or_else(|| Some(folder("HOME")?.join(".cache")));
    let servers = folder("MICRO_SERVERS").or_else(|| Some(cache()?.join("micro/servers")));
    servers.unwrap_or_default().join("bin")
}

/// One question on a connection of its own.
fn ask(address: &str, method: &str, path: &str, body: &str) -> Result<(u16, String), String> {
    let answer = exchange(address, method, path, body).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no HTTP answer")?;
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    Ok((status.ok_or("no status")?, body.to_owned()))
}

fn exchange(address: &str, method: &str, path: &str, body: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let length = body.len();
    // HTTP/1.0: the end of the connection is the end of the answer.
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {address}\r\nX-Consul-Token: {TOKEN}\r\nContent-Length: {length}\r\n\r\n{body}"
    )?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// A CA and a certificate of it for 127.0.0.1, in files.
fn certify(folder: &Path) {
    let authority = Authority::new();
    put(&folder.join("ca.pem"), &authority.pem()).expect("a PEM file");
    let files = Files::new(folder, "cert");
    let signed = authority.sign("127.0.0.1");
    signed.write(&files).expect("PEM files");
}
