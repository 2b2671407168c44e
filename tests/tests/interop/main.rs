//! Both directions between this project and unmodified Go Micro: every call in every content type,
//! and every call and events through each registry. Prints the tables of what was seen, and leaves
//! them in `target/interop-table.md` and `target/discovery-table.md`.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod discovery;
mod events;
mod kitchen;
mod load;

use std::sync::{Mutex, PoisonError};
use std::thread;

use micro_tests::peers::{Program, Running, workspace};
use micro_tests::table::{self, CONTENT_TYPES, Row};

/// Who calls whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    GoToRust,
    RustToGo,
    RustToRust,
    Braid,
    /// The same two over gRPC, with Go Micro's plugins.
    GrpcGoToRust,
    GrpcRustToGo,
    Grpc,
    /// Found by name only: what Go does to itself is no business of ours.
    GoToGo,
}

pub(crate) const DIRECTIONS: [Direction; 7] = [
    Direction::GoToRust,
    Direction::RustToGo,
    Direction::RustToRust,
    Direction::Braid,
    Direction::GrpcGoToRust,
    Direction::GrpcRustToGo,
    Direction::Grpc,
];

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GoToRust => "Go Micro → Micro",
            Self::RustToGo => "Micro → Go Micro",
            Self::GoToGo => "Go Micro → Go Micro",
            Self::RustToRust => "Micro → Micro, mucp",
            Self::Braid => "Micro → Micro, braid",
            Self::GrpcGoToRust => "Go Micro → Micro, gRPC",
            Self::GrpcRustToGo => "Micro → Go Micro, gRPC",
            Self::Grpc => "Micro → Micro, gRPC",
        }
    }

    pub(crate) fn serves_go(self) -> bool {
        matches!(self, Self::RustToGo | Self::GrpcRustToGo | Self::GoToGo)
    }

    pub(crate) fn calls_go(self) -> bool {
        matches!(self, Self::GoToRust | Self::GrpcGoToRust | Self::GoToGo)
    }

    pub(crate) fn is_grpc(self) -> bool {
        matches!(self, Self::GrpcGoToRust | Self::GrpcRustToGo | Self::Grpc)
    }

    /// Whether there is such a call: gRPC has no envelopes.
    pub(crate) fn carries(self, content_type: &str) -> bool {
        !self.is_grpc() || !content_type.ends_with("-rpc")
    }

    /// The caller of a service.
    pub(crate) fn caller(self, service: &str) -> Program {
        match self {
            Self::GoToRust | Self::GoToGo => Program::go(service),
            Self::RustToGo | Self::RustToRust => ours(service),
            Self::Braid => ours(service).with(&["protocol=braid"]),
            Self::GrpcGoToRust => Program::go(service).with(&["protocol=grpc"]),
            Self::GrpcRustToGo | Self::Grpc => ours(service).with(&["protocol=grpc"]),
        }
    }

    /// The server of a service, with the flags that it needs.
    pub(crate) fn server(self, service: &str) -> Program {
        match self {
            // Without a pause Go's server overwrites messages of a stream that wait to be written.
            Self::RustToGo | Self::GoToGo if service == "greeter" => {
                Program::go(service).with(&["pace=40ms"])
            }
            Self::RustToGo | Self::GoToGo => Program::go(service),
            Self::GoToRust | Self::RustToRust => ours(service),
            Self::Braid => ours(service).with(&["protocol=braid"]),
            Self::GrpcRustToGo => Program::go(service).with(&["protocol=grpc"]),
            Self::GrpcGoToRust | Self::Grpc => ours(service).with(&["protocol=grpc"]),
        }
    }

    /// The server of a service, started.
    pub(crate) fn serve(self, service: &str) -> Running {
        self.server(service).serve(&[])
    }
}

pub(crate) fn ours(service: &str) -> Program {
    Program::ours(env!("CARGO_BIN_EXE_micro-interop"), service)
}

/// Rows of the table, and what went wrong.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) rows: Vec<Row>,
    pub(crate) failures: Vec<String>,
}

impl Report {
    /// Adds a row of one call in each content type; `of` gives a cell, or what went wrong.
    pub(crate) fn row(
        &mut self,
        direction: Direction,
        call: &str,
        mut of: impl FnMut(&'static str) -> Result<String, String>,
    ) {
        let cells = CONTENT_TYPES.map(|content_type| {
            if !direction.carries(content_type) {
                return "–".to_owned();
            }
            of(content_type).unwrap_or_else(|failure| {
                self.failures.push(format!(
                    "{}, {call}, {content_type}: {failure}",
                    direction.name()
                ));
                "**failed**".to_owned()
            })
        });
        self.rows.push(Row {
            direction: direction.name(),
            call: call.to_owned(),
            cells,
        });
    }
}

/// The tests come one after the other: both start dozens of programs, and one of them loads the machine.
static ALONE: Mutex<()> = Mutex::new(());

#[test]
fn go_micro_and_this_project_call_each_other_in_every_content_type() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Directions at once; the load comes after, with the machine to itself.
    let mut reports: Vec<Report> = thread::scope(|scope| {
        let running = DIRECTIONS.map(|direction| {
            scope.spawn(move || {
                let mut report = Report::default();
                calls::run(direction, &mut report);
                kitchen::run(direction, &mut report);
                report
            })
        });
        running
            .into_iter()
            .map(|running| running.join().expect("a failure is reported, no panic"))
            .collect()
    });
    for (direction, report) in DIRECTIONS.into_iter().zip(&mut reports) {
        load::run(direction, report);
    }
    let (mut rows, mut failures) = (Vec::new(), Vec::new());
    for report in reports {
        rows.extend(report.rows);
        failures.extend(report.failures);
    }
    let whole = format!("{}\n{}", table::markdown(&rows), kitchen::notes());
    let short = table::markdown(&table::summary(&rows));
    println!("{whole}");
    let tables = [("docs/INTEROP.md", whole), ("README.md", short)];
    show("interop", tables, &failures);
}

#[test]
fn go_micro_and_this_project_find_each_other_in_each_registry() {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (rows, failures) = discovery::run();
    let table = discovery::markdown(&rows);
    println!("{table}");
    show("discovery", [("README.md", table)], &failures);
}

/// Leaves the tables for others to read, and holds them against the pages that show them.
fn show<const N: usize>(name: &str, tables: [(&str, String); N], failures: &[String]) {
    for (page, made) in &tables {
        table::write(&left(name, page), made).expect("target is ours to write");
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    for (page, made) in tables {
        let file = workspace().join(page);
        let mut text = std::fs::read_to_string(&file).expect("the page is there");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            text = table::put(&text, name, &made);
            std::fs::write(&file, &text).expect("the page is ours to write");
        }
        table::check(&text, name, &made, &left(name, page))
            .expect("the page shows what was just seen");
    }
}

/// The name of the file that a table is left in.
fn left(name: &str, page: &str) -> String {
    match (name, page) {
        ("interop", "README.md") => "interop-summary.md".to_owned(),
        _ => format!("{name}-table.md"),
    }
}
