//! Where a fault is played: a Consul, three nodes, and a load.

use std::time::{Duration, Instant};

use micro_runtime::Service;
use micro_runtime::error::why::Cause;
use micro_runtime::selector::Strategy;
use micro_tests::consul::Consul;
use micro_tests::fleet::{Fleet, HOLD};
use micro_tests::gate::Gate;
use micro_tests::load::{Kind, Load, Plan};
use micro_tests::netns::Namespace;
use micro_tests::peers::Program;

use super::causes::Askers;
use super::fault::Fault;
use super::verdict::{Faulty, Verdict};

/// What the calls of those begin with that choose blindly.
const BLIND: &str = "blind-";

/// Whose nodes suffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Nodes {
    Ours,
    GoMucp,
    GoGrpc,
}

impl Nodes {
    pub const ALL: [Self; 3] = [Self::Ours, Self::GoMucp, Self::GoGrpc];

    /// As the table calls them.
    pub fn words(self) -> &'static str {
        match self {
            Self::Ours => "Micro: braid, gRPC, mucp",
            Self::GoMucp => "Go Micro: mucp",
            Self::GoGrpc => "Go Micro: gRPC",
        }
    }

    pub fn protocols(self) -> &'static [&'static str] {
        match self {
            Self::Ours => &["braid", "grpc", "mucp"],
            Self::GoMucp => &["mucp"],
            Self::GoGrpc => &["grpc"],
        }
    }

    pub fn program(self) -> Program {
        match self {
            Self::Ours => Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter")
                .with(&["protocol=auto", "linger=1s"]),
            Self::GoMucp => Program::go("greeter"),
            Self::GoGrpc => Program::go("greeter").with(&["protocol=grpc"]),
        }
    }
}

/// How long a fault lasts.
fn seconds() -> usize {
    let given = std::env::var("MICRO_FAULTS_SECONDS").ok();
    given.map_or(8, |given| given.parse().expect("a number of seconds"))
}

/// Calls in a second.
fn rate() -> u32 {
    if is_long() { 500 } else { 200 }
}

/// Whether there is time for all.
pub fn is_long() -> bool {
    seconds() >= 30
}

/// All that one fault needs.
pub struct Stage {
    pub nodes: Nodes,
    pub consul: Consul,
    pub fleet: Fleet,
    pub gate: Option<Gate>,
    pub networks: Vec<Namespace>,
    loads: Vec<Load>,
    /// Those whose callers choose any node, whatever calls there take.
    blind: Vec<Load>,
    /// The nodes that have ended, by number, and when they certainly had.
    ends: Vec<(usize, Instant)>,
    /// What callers were told that is not true.
    pub wrongly_told: Vec<String>,
}

impl Stage {
    /// Plays a fault and judges what it has cost.
    pub fn play(fault: Fault, nodes: Nodes) {
        // In a thread of its own, which may go into a network of its own.
        let played = std::thread::spawn(move || Self::new(fault, nodes).go_through(fault));
        if let Err(panic) = played.join() {
            std::panic::resume_unwind(panic);
        }
    }

    fn new(fault: Fault, nodes: Nodes) -> Self {
        let mut networks = Vec::new();
        fault.prepare(&mut networks);
        let mut stage = Self {
            nodes,
            consul: Consul::start(),
            fleet: Fleet::new(&nodes.program(), fault.name()),
            gate: None,
            networks,
            loads: Vec::new(),
            blind: Vec::new(),
            ends: Vec::new(),
            wrongly_told: Vec::new(),
        };
        fault.grow(&mut stage);
        stage.grow_plain();
        stage.grow_plain();
        stage.consul.wait_for_all(fault.name(), 3);
        stage
    }

    fn go_through(mut self, fault: Fault) {
        self.begin("old");
        self.run(2);
        let before = Instant::now();
        fault.strike(&mut self);
        self.run(seconds());
        fault.heal(&mut self);
        let after = Instant::now();
        // Where callers leave a node alone, until they call it again.
        self.run(match (fault.heals(), is_long()) {
            (false, _) => 2,
            (true, false) => 4,
            (true, true) => 40,
        });
        let called = !fault.heals() || !is_long() || self.is_called(1);
        let reports: Vec<_> = self.loads.drain(..).map(Load::stop).collect();
        let verdict = Verdict {
            fault,
            nodes: self.nodes,
            faulty: fault
                .costs(self.nodes)
                .iter()
                .map(|number| Faulty {
                    number: *number,
                    id: self.fleet.id(*number),
                    ended: self.ended(*number),
                })
                .collect(),
            struck: before..after,
            called,
            reports,
            blind: self.blind.drain(..).map(Load::stop).collect(),
            wrongly_told: self.wrongly_told,
            ran: self.fleet.stop(),
        };
        verdict.judge();
    }

    /// Starts a node with nothing special about it.
    pub fn grow_plain(&mut self) {
        let registry = self.consul.address().to_owned();
        self.grow(&registry, &[], None);
    }

    /// Starts a node that finds its registry at `registry`, in one of the networks.
    pub fn grow(&mut self, registry: &str, flags: &[&str], network: Option<usize>) {
        let address = format!("registry_address={registry}");
        let mut program = self.nodes.program();
        program = program
            .with(&["registry=consul", &address, HOLD])
            .with(flags);
        if let Some(network) = network {
            program = program.within(&self.networks[network]);
        }
        self.fleet.grow_as(&program);
    }

    /// Callers of the faulty node that have a connection to it.
    pub fn connected(&self, address: &str) -> Askers {
        Askers::connected(address, self.nodes.protocols())
    }

    /// Asks the faulty node at `address`: `connected` are to be told one of `old`, those who come now
    /// one of `new`.
    pub fn ask(&mut self, address: &str, connected: &Askers, old: &[Cause], new: &[Cause]) {
        let newcomers = Askers::new(address, self.nodes.protocols());
        self.wrongly_told.extend(connected.wrongly_told(old));
        self.wrongly_told.extend(newcomers.wrongly_told(new));
    }

    /// Notes that a node has ended by now.
    pub fn note_end(&mut self, number: usize) {
        self.ends.push((number, Instant::now()));
    }

    fn ended(&self, number: usize) -> Option<Instant> {
        let (_, at) = self.ends.iter().find(|(ended, _)| *ended == number)?;
        Some(*at)
    }

    /// Whether a node has calls again, or gets some while twice the longest time passes for which
    /// callers leave one alone.
    fn is_called(&mut self, number: usize) -> bool {
        let mut had = self.calls(number);
        for _ in 0..60 {
            self.run(1);
            let has = self.calls(number);
            if has > had {
                return true;
            }
            had = has;
        }
        false
    }

    /// How many calls a node has had of those that do not choose blindly.
    fn calls(&mut self, number: usize) -> usize {
        self.fleet.calls(number, "") - self.fleet.calls(number, BLIND)
    }

    /// The gate before the faulty node.
    pub fn gate(&self) -> &Gate {
        self.gate.as_ref().expect("it was put up")
    }

    /// Starts a load of clients of its own, and one of half its size beside it that chooses blindly:
    /// where slow nodes are shunned anyhow, only that shows whether faulty ones are found out.
    pub fn begin(&mut self, label: &str) {
        self.loads.push(self.load(label, rate(), |service| service));
        let random = |service: Service| service.selector(Strategy::Random);
        let label = format!("{BLIND}{label}");
        self.blind.push(self.load(&label, rate() / 2, random));
    }

    fn load(&self, label: &str, rate: u32, settings: fn(Service) -> Service) -> Load {
        let address = self.consul.address();
        Load::start(Plan {
            name: self.fleet.name().to_owned(),
            label: label.to_owned(),
            rate,
            flags: vec![
                "--registry=consul".to_owned(),
                format!("--registry_address={address}"),
            ],
            kinds: Kind::each(self.nodes.protocols()),
            settings,
        })
    }

    /// Lets the load run for so long.
    pub fn run(&self, seconds: usize) {
        let begun = Instant::now();
        // Calls begin at their time whatever becomes of others, but end when they do.
        self.loads[0].wait_for(seconds * rate() as usize * 9 / 10);
        let left = Duration::from_secs(seconds as u64).saturating_sub(begun.elapsed());
        std::thread::sleep(left);
    }
}
