//! Who finds whom in which registry: every call of the interop program to a service that is known by
//! its name alone, and events between all.

use std::fmt::Write as _;
use std::thread;

use micro_tests::consul::Consul;
use micro_tests::netns::{Namespace, Network};
use micro_tests::peers::Program;
use tempfile::TempDir;

use crate::{Direction, calls, events, kitchen, ours};

/// In the order of the columns.
const DIRECTIONS: [Direction; 4] = [
    Direction::RustToRust,
    Direction::RustToGo,
    Direction::GoToRust,
    Direction::GoToGo,
];

/// Calls have their table of content types; here it is the one that both sides know all of.
const CONTENT_TYPE: &str = "application/protobuf";

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    registry: &'static str,
    call: String,
    /// A cell for each direction.
    cells: [String; 4],
}

/// A registry of the test's own.
pub(crate) enum Registry {
    /// In a network of its own, so that nothing leaves the machine and nothing foreign comes in; with
    /// a folder for each program's files of this machine's services, so that these tell nobody.
    Mdns(Namespace, TempDir),
    Consul(Consul),
}

impl Registry {
    pub(crate) fn is_mdns(&self) -> bool {
        matches!(self, Self::Mdns(..))
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Mdns(..) => "mDNS",
            Self::Consul(_) => "Consul",
        }
    }

    /// The program where it reaches the registry, with the flags that make it.
    pub(crate) fn of(&self, program: Program) -> Program {
        match self {
            Self::Mdns(namespace, folders) => {
                let own = tempfile::tempdir_in(folders.path())
                    .expect("a folder")
                    .keep();
                let program = program.variable("XDG_RUNTIME_DIR", own);
                program.within(namespace).with(&["registry=mdns"])
            }
            Self::Consul(consul) => {
                let address = format!("registry_address={}", consul.address());
                program.with(&["registry=consul", &address])
            }
        }
    }
}

/// The rows, and what went wrong.
pub(crate) fn run() -> (Vec<Row>, Vec<String>) {
    let registries = [
        Registry::Mdns(
            Namespace::new(Network::Multicast),
            tempfile::tempdir().expect("a folder"),
        ),
        Registry::Consul(Consul::start()),
    ];
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for registry in &registries {
        // Columns at once; each is a list of what is called, and what came of it.
        let columns: Vec<Column> = thread::scope(|scope| {
            let running =
                DIRECTIONS.map(|direction| scope.spawn(move || column(registry, direction)));
            running
                .into_iter()
                .map(|running| running.join().expect("a failure is reported, no panic"))
                .collect()
        });
        let mut table = columns[0]
            .iter()
            .map(|(call, _)| call.clone())
            .collect::<Vec<_>>();
        let events = events::run(registry);
        table.extend(events.iter().map(|(call, _)| call.clone()));
        for (at, call) in table.into_iter().enumerate() {
            let outcomes =
                (0..4).map(
                    |direction| match events.get(at.wrapping_sub(columns[0].len())) {
                        Some((_, outcomes)) => &outcomes[direction],
                        None => &columns[direction][at].1,
                    },
                );
            let mut cells = [const { String::new() }; 4];
            for ((cell, outcome), direction) in cells.iter_mut().zip(outcomes).zip(DIRECTIONS) {
                *cell = outcome.clone().unwrap_or_else(|failure| {
                    let (registry, direction) = (registry.name(), direction.name());
                    failures.push(format!("{registry}, {direction}, {call}: {failure}"));
                    "**failed**".to_owned()
                });
            }
            let registry = registry.name();
            rows.push(Row {
                registry,
                call,
                cells,
            });
        }
    }
    (rows, failures)
}

/// What became of a cell.
pub(crate) type Outcome = Result<String, String>;
type Column = Vec<(String, Outcome)>;

/// Every call of one direction.
fn column(registry: &Registry, direction: Direction) -> Column {
    let [greeter, kitchen] =
        ["greeter", "kitchen"].map(|service| Pair::of(registry, direction, service));
    let _servers = [&greeter, &kitchen].map(|pair| pair.server.serve(&[]));
    let calls = calls::cases(direction).into_iter().map(|(call, cases)| {
        let cell = || calls::cell(&greeter.caller, CONTENT_TYPE, &cases);
        (call.to_owned(), tried(registry, direction, cell))
    });
    let dishes = kitchen::CALLS.into_iter().map(|call| {
        let cell = || kitchen::cell(direction, &kitchen.caller, CONTENT_TYPE, call);
        (kitchen::label(call), tried(registry, direction, cell))
    });
    calls.chain(dishes).collect()
}

/// On a machine that has much to do, Go Micro's server leaves a call of its own client unanswered now
/// and then, and its client does not wait for those that mDNS finds late. So what Go does to itself
/// gets three tries, as does what it has not found.
fn tried(registry: &Registry, direction: Direction, cell: impl Fn() -> Outcome) -> Outcome {
    let gos_own = |failure: &String| match direction {
        Direction::GoToGo => true,
        Direction::GoToRust => registry.is_mdns() && failure.contains("not found"),
        _ => false,
    };
    let mut outcome = cell();
    for _ in 0..2 {
        if outcome.as_ref().is_err_and(gos_own) {
            outcome = cell();
        }
    }
    outcome
}

/// A service and its caller, which know each other's name.
struct Pair {
    server: Program,
    caller: Program,
}

impl Pair {
    fn of(registry: &Registry, direction: Direction, service: &str) -> Self {
        let name = format!("name=go.micro.{service}.{direction:?}");
        let [server, caller] = match direction {
            // As they are unless told otherwise: any protocol, and the best that both have.
            Direction::RustToRust => {
                [ours(service), ours(service)].map(|program| program.with(&["protocol=auto"]))
            }
            direction => [direction.server(service), direction.caller(service)],
        };
        let [server, caller] = [server, caller].map(|program| registry.of(program).with(&[&name]));
        Self { server, caller }
    }
}

/// The rows as Markdown.
pub(crate) fn markdown(rows: &[Row]) -> String {
    let columns = DIRECTIONS.map(|direction| match direction {
        Direction::RustToRust => "Micro → Micro",
        direction => direction.name(),
    });
    let mut out = format!(
        "| found by | what | {} |\n|---|---|---|---|---|---|\n",
        columns.join(" | ")
    );
    let mut before = "";
    for Row {
        registry,
        call,
        cells,
    } in rows
    {
        // A registry is named once.
        let shown = if *registry == before { "" } else { registry };
        before = registry;
        let _ = writeln!(out, "| {shown} | {call} | {} |", cells.join(" | "));
    }
    out
}
