//! Both directions between this project and unmodified Go Micro, every call in every content type.
//! Prints the table of what was called, and leaves it in `target/interop-table.md`.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod calls;
mod kitchen;
mod load;

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
}

pub(crate) const DIRECTIONS: [Direction; 4] = [
    Direction::GoToRust,
    Direction::RustToGo,
    Direction::RustToRust,
    Direction::Braid,
];

impl Direction {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::GoToRust => "Go Micro → Micro",
            Self::RustToGo => "Micro → Go Micro",
            Self::RustToRust => "Micro → Micro, mucp",
            Self::Braid => "Micro → Micro, braid",
        }
    }

    pub(crate) fn serves_go(self) -> bool {
        self == Self::RustToGo
    }

    pub(crate) fn calls_go(self) -> bool {
        self == Self::GoToRust
    }

    /// The caller of a service.
    pub(crate) fn caller(self, service: &str) -> Program {
        match self {
            Self::GoToRust => Program::go(service),
            Self::RustToGo | Self::RustToRust => ours(service),
            Self::Braid => ours(service).with(&["protocol=braid"]),
        }
    }

    /// The server of a service, started.
    pub(crate) fn serve(self, service: &str) -> Running {
        match self {
            // Without a pause Go's server overwrites messages of a stream that wait to be written.
            Self::RustToGo if service == "greeter" => Program::go(service).serve(&["pace=15ms"]),
            Self::RustToGo => Program::go(service).serve(&[]),
            Self::GoToRust | Self::RustToRust => ours(service).serve(&[]),
            Self::Braid => ours(service).serve(&["protocol=braid"]),
        }
    }
}

fn ours(service: &str) -> Program {
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

#[test]
fn go_micro_and_this_project_call_each_other_in_every_content_type() {
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
    let tables = [
        ("docs/INTEROP.md", "interop-table.md", whole),
        ("README.md", "interop-summary.md", short),
    ];
    for (_, name, made) in &tables {
        table::write(name, made).expect("target is ours to write");
    }
    assert!(
        failures.is_empty(),
        "{} failures:\n\n{}",
        failures.len(),
        failures.join("\n\n")
    );
    for (page, name, made) in tables {
        let file = workspace().join(page);
        let mut text = std::fs::read_to_string(&file).expect("the page is there");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            text = table::put(&text, &made);
            std::fs::write(&file, &text).expect("the page is ours to write");
        }
        table::check(&text, &made, name).expect("the page shows what was just seen");
    }
}
