//! A network of a test's own: a network namespace of the kernel, in which programs reach each other
//! and nobody else.
//!
//! What a program of the test sends by multicast stays in it, and nothing foreign comes in. It is
//! gone when its last program is.

use std::ffi::OsString;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A namespace, empty of programs but for one that holds it open; gone when it is dropped.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

/// What a namespace has at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// Loopback alone, without a way for multicast: Go Micro cannot send its questions.
    Loopback,
    /// Loopback, and a route for IPv4 multicast over it.
    Multicast,
}

impl Namespace {
    /// Makes a namespace.
    ///
    /// # Panics
    /// Where the machine does not let us: a test that needs one must not pass without.
    pub fn new(network: Network) -> Self {
        let route = match network {
            Network::Loopback => "",
            Network::Multicast => "ip route add 224.0.0.0/4 dev lo && ",
        };
        // The holder ends with its standard input, so with the test, however that ends.
        let script = format!("ip link set lo up && {route}echo ready && exec cat");
        let mut holder = Command::new("unshare")
            .args(["--net", "sh", "-c", &script])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{NEEDED} (unshare: {error})"));
        let mut said = String::new();
        if let Some(out) = &mut holder.stdout {
            // What could not be read was not said.
            let _ = BufReader::new(out).read_line(&mut said);
        }
        if said != "ready\n" {
            let mut why = String::new();
            if let Some(mut err) = holder.stderr.take() {
                let _ = err.read_to_string(&mut why);
            }
            let _ = holder.wait();
            panic!("{NEEDED} ({})", why.trim());
        }
        Self { holder }
    }

    /// Two namespaces with a link between them that has IPv6 alone: `fd12::1` and `fd12::2`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn linked() -> [Self; 2] {
        let both = [Network::Loopback; 2].map(Self::new);
        both[0].link(&both[1]);
        both
    }

    /// Adds that link between two namespaces.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn link(&self, other: &Self) {
        let holder = other.holder.id();
        self.set_up(&format!(
            "ip link add link0 type veth peer name link0 netns {holder}"
        ));
        for (namespace, number) in [self, other].into_iter().zip(1..) {
            // Addresses of our own: those that the system makes may not be used for a second or two.
            namespace.set_up(&format!(
                "ip link set link0 addrgenmode none && ip link set link0 up && \
                 ip addr add fe80::{number}/64 dev link0 nodad && \
                 ip addr add fd12::{number}/64 dev link0 nodad"
            ));
        }
    }

    /// A namespace between two others, which passes on what they send each other: `10.78.0.1` and
    /// `10.78.1.1`.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn between(one: &Self, other: &Self) -> Self {
        let router = Self::new(Network::Loopback);
        for (namespace, number) in [one, other].into_iter().zip(0..) {
            let holder = namespace.holder.id();
            router.set_up(&format!(
                "ip link add to{number} type veth peer name out netns {holder} && \
                 ip addr add 10.78.{number}.254/24 dev to{number} && ip link set to{number} up"
            ));
            namespace.set_up(&format!(
                "ip addr add 10.78.{number}.1/24 dev out && ip link set out up && \
                 ip route add default via 10.78.{number}.254"
            ));
        }
        router.pass(true);
        router
    }

    /// Whether what is sent through it is passed on, or vanishes without a word to anybody.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn pass(&self, on: bool) {
        let on = u8::from(on);
        self.set_up(&format!("echo {on} > /proc/sys/net/ipv4/ip_forward"));
    }

    /// Takes the thread that calls into it, for good, with all threads and programs that it starts.
    ///
    /// # Panics
    /// As [`new`](Self::new).
    pub fn enter(&self) {
        let net = File::open(format!("/proc/{}/ns/net", self.holder.id()));
        let net = net.unwrap_or_else(|error| panic!("{NEEDED} (its file: {error})"));
        let kind = Some(LinkNameSpaceType::Network);
        if let Err(error) = move_into_link_name_space(net.as_fd(), kind) {
            panic!("{NEEDED} (setns: {error})");
        }
    }

    fn set_up(&self, script: &str) {
        let done = self.command("sh").args(["-c", script]).output();
        let done = done.unwrap_or_else(|error| panic!("{NEEDED} (nsenter: {error})"));
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(
            done.status.success(),
            "{NEEDED} ({script}: {})",
            said.trim()
        );
    }

    /// The beginning of a command line whose rest runs in it.
    pub fn prefix(&self) -> Vec<OsString> {
        let net = format!("--net=/proc/{}/ns/net", self.holder.id());
        ["nsenter", &net, "--"].map(OsString::from).into()
    }

    /// A command that runs in it.
    pub fn command(&self, program: &str) -> Command {
        let prefix = self.prefix();
        let mut command = Command::new(&prefix[0]);
        command.args(&prefix[1..]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What is told where none can be made.
const NEEDED: &str = "this test needs a network namespace: root (or CAP_SYS_ADMIN), and the programs unshare and nsenter of util-linux and ip of iproute2";
