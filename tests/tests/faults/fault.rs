//! The faults: how each begins and ends.

use std::process::Command;
use std::time::Duration;

use micro_runtime::error::why::Cause;
use micro_tests::gate::{Garbage, Gate, Way};
use micro_tests::netns::{Namespace, Network};

use super::causes;
use super::stage::{Nodes, Stage};

/// What fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A node ends at once, without a word.
    Killed,
    /// A node's process is stopped (SIGSTOP), and goes on later.
    Stopped,
    /// A node's answers take two seconds.
    Slow,
    /// What is sent to a node, and what it sends, vanishes.
    Partitioned,
    /// What a node answers is no answer.
    Garbage,
    /// A node can open no file and accept no connection.
    Descriptors,
    /// Consul is killed, and comes back empty.
    Consul,
    /// Each node is stopped gracefully, and another started in its place.
    Rolling,
}

/// How late answers of a slow node are.
const LATE: Duration = Duration::from_secs(2);

impl Fault {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 8] = [
        Self::Killed,
        Self::Stopped,
        Self::Slow,
        Self::Partitioned,
        Self::Garbage,
        Self::Descriptors,
        Self::Consul,
        Self::Rolling,
    ];

    /// The name of the service that suffers it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
            Self::Slow => "slow",
            Self::Partitioned => "partitioned",
            Self::Garbage => "garbage",
            Self::Descriptors => "descriptors",
            Self::Consul => "away",
            Self::Rolling => "rolling",
        }
    }

    /// As the table calls it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Killed => "a node is killed with -9",
            Self::Stopped => "a node is stopped (SIGSTOP), then goes on",
            Self::Slow => "a node's answers take 2 s",
            Self::Partitioned => "a node's network drops all packets",
            Self::Garbage => "a node answers garbage",
            Self::Descriptors => "a node runs out of file descriptors",
            Self::Consul => "Consul is killed and comes back empty",
            Self::Rolling => "a rolling restart of all three nodes",
        }
    }

    /// Whether callers leave the node alone that is as before when it is over.
    pub fn heals(self) -> bool {
        matches!(
            self,
            Self::Stopped | Self::Slow | Self::Partitioned | Self::Garbage
        )
    }

    /// The numbers of the nodes whose calls may be lost.
    pub fn costs(self, nodes: Nodes) -> &'static [usize] {
        match self {
            Self::Slow | Self::Consul => &[],
            // Ours are deregistered first and serve on; Go Micro's end as soon as they are.
            Self::Rolling if nodes == Nodes::Ours => &[],
            Self::Rolling => &[1, 2, 3],
            _ => &[1],
        }
    }

    /// What is true of a call that fails by it.
    pub fn causes(self, nodes: Nodes) -> &'static [Cause] {
        use Cause::{Garbled, Lost, Silent, Unreachable};
        match self {
            Self::Killed | Self::Rolling => &[Lost, Unreachable],
            // Ours keep one to turn newcomers away with.
            Self::Descriptors if nodes == Nodes::Ours => &[Lost],
            Self::Stopped | Self::Slow | Self::Partitioned | Self::Descriptors => {
                &[Silent, Unreachable]
            }
            // Other calls of a connection on which it was said are lost with it.
            Self::Garbage => &[Garbled, Lost],
            Self::Consul => &[],
        }
    }

    /// Puts up what the fault needs before any node runs.
    pub fn prepare(self, networks: &mut Vec<Namespace>) {
        if self == Self::Partitioned {
            let [here, there] = [Network::Loopback; 2].map(Namespace::new);
            let router = Namespace::between(&here, &there);
            here.enter();
            networks.extend([here, there, router]);
        }
    }

    /// Starts the node number 1, which will suffer.
    pub fn grow(self, stage: &mut Stage) {
        match self {
            Self::Slow | Self::Garbage => {
                let gate = Gate::new();
                let advertise = format!("advertise={}", gate.address());
                let registry = stage.consul.address().to_owned();
                stage.grow(&registry, &[&advertise], None);
                gate.leads_to(stage.fleet.node(1).address());
                stage.gate = Some(gate);
            }
            Self::Partitioned => {
                let gate = Gate::at("10.78.0.1");
                gate.leads_to(stage.consul.address());
                stage.grow(gate.address(), &["address=10.78.1.1:0"], Some(1));
                stage.gate = Some(gate);
            }
            _ => stage.grow_plain(),
        }
    }

    /// Begins, under load; those who call the faulty node on purpose are told the cause.
    pub fn strike(self, stage: &mut Stage) {
        use Cause::{Garbled, Lost, Silent, Unreachable};
        let address = match &stage.gate {
            Some(gate) if self != Self::Partitioned => gate.address(),
            _ => stage.fleet.node(1).address(),
        };
        let address = &*address.to_owned();
        let connected = stage.connected(address);
        // Who connects needs an answer before the call's, over some protocols.
        let no_answer = &[Silent, Unreachable];
        match self {
            Self::Killed => {
                stage.fleet.crash(1);
                stage.note_end(1);
                stage.ask(address, &connected, &[Lost, Unreachable], &[Unreachable]);
            }
            Self::Stopped => {
                stage.fleet.node(1).signal("STOP");
                stage.ask(address, &connected, &[Silent], no_answer);
            }
            Self::Slow => {
                stage.gate().set(Way::Late(LATE));
                stage.ask(address, &connected, &[Silent], no_answer);
            }
            Self::Partitioned => {
                stage.networks[2].pass(false);
                stage.ask(address, &connected, &[Silent], &[Unreachable]);
            }
            Self::Garbage => {
                for garbage in Garbage::ALL {
                    stage.gate().set(Way::Open);
                    let connected = stage.connected(address);
                    stage.gate().set(Way::Garbage(garbage));
                    // Half of what mucp answers may as well be the half that came.
                    let told: &[_] = match garbage {
                        Garbage::HalfHead => &[Garbled, Lost],
                        _ => &[Garbled],
                    };
                    stage.ask(address, &connected, told, told);
                    stage.run(1);
                }
            }
            Self::Descriptors => {
                let node = stage.fleet.node(1).process();
                // No more than it has open.
                limit(node, &format!("{}:", lowest_free(node)));
                let newcomers: &[_] = match stage.nodes {
                    Nodes::Ours => &[Lost],
                    _ => no_answer,
                };
                stage.ask(address, &connected, &[], newcomers);
                // Who comes now needs a connection.
                stage.begin("new");
            }
            Self::Consul => {
                stage.consul.kill();
                stage.ask(address, &connected, &[], &[]);
                stage
                    .wrongly_told
                    .extend(causes::without_consul(stage.consul.address(), self.name()));
            }
            Self::Rolling => {
                for number in 1..=3 {
                    let ended = stage.fleet.terminate(number);
                    assert_eq!(ended.code, Some(0), "{ended}");
                    stage.note_end(number);
                    if number == 1 {
                        stage.ask(address, &connected, &[Lost, Unreachable], &[Unreachable]);
                    }
                    stage.grow_plain();
                    stage.fleet.wait_for_calls(3 + number, 10);
                }
            }
        }
    }

    /// Ends, under load.
    pub fn heal(self, stage: &mut Stage) {
        match self {
            Self::Killed | Self::Rolling => {}
            Self::Stopped => stage.fleet.node(1).signal("CONT"),
            Self::Slow | Self::Garbage => stage.gate().set(Way::Open),
            Self::Partitioned => stage.networks[2].pass(true),
            Self::Descriptors => limit(stage.fleet.node(1).process(), "1024:"),
            Self::Consul => stage.consul.restart(),
        }
    }
}

/// The number that the next file which a process opens will have.
fn lowest_free(process: u32) -> usize {
    let open = std::fs::read_dir(format!("/proc/{process}/fd")).expect("its files are told");
    let open = open.filter_map(|file| file.ok()?.file_name().to_str()?.parse().ok());
    let open: std::collections::BTreeSet<usize> = open.collect();
    (0..).find(|number| !open.contains(number)).unwrap_or(0)
}

/// Sets how many files a process may open.
fn limit(process: u32, files: &str) {
    let done = Command::new("prlimit")
        .args(["--pid", &process.to_string(), &format!("--nofile={files}")])
        .status();
    assert!(
        done.is_ok_and(|status| status.success()),
        "this test needs prlimit, of util-linux"
    );
}
