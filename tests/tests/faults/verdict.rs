//! What a fault has cost, as counts, and whether that is too much.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use micro_tests::fleet::Ran;
use micro_tests::load::{Ended, Report};
use micro_tests::peers::workspace;
use micro_tests::table;

use super::fault::Fault;
use super::stage::Nodes;

/// The latest that a call may begin after its time: else the load was no constant one.
const LAG: Duration = Duration::from_secs(2);

/// How long a node may be faulty after the fault: connections on which nothing came through take
/// longer and longer pauses between tries.
const RECOVERY: Duration = Duration::from_secs(5);

/// All that is known at the end.
pub struct Verdict {
    pub fault: Fault,
    pub nodes: Nodes,
    /// The nodes whose calls may be lost, by number and id.
    pub faulty: Vec<(usize, String)>,
    /// From just before the fault began until it was over.
    pub struck: Range<Instant>,
    pub reports: Vec<Report>,
    pub ran: Ran,
    /// What callers were told that is not true.
    pub wrongly_told: Vec<String>,
}

impl Verdict {
    /// # Panics
    /// Where the fault has cost more than it may.
    pub fn judge(&self) {
        let what = format!("{}, {}", self.fault.words(), self.nodes.words());
        for report in &self.reports {
            println!("{what}: {report}");
        }
        println!("{what}: {}", self.row());
        for report in &self.reports {
            assert!(report.lag() < LAG, "{what}: no constant load, {report}");
            let failed = report.failed().filter(|call| call.kind.idempotent);
            assert_eq!(
                failed.count(),
                0,
                "{what}: idempotent calls failed, {report}"
            );
            let wrong = report.miscounted(&self.ran);
            assert!(wrong.is_empty(), "{what}: {wrong:?}");
            for call in report.failed() {
                assert!(self.was_in_flight(call), "{what}: lost {call:#?}");
            }
        }
        let wrongly = self.wrongly_told.join("\n");
        assert!(wrongly.is_empty(), "{what}: told\n{wrongly}");
        self.note();
    }

    /// Whether a call that failed was on its way to a faulty node, and nowhere else, while the fault
    /// lasted.
    fn was_in_flight(&self, call: &Ended) -> bool {
        let of = |number: &usize| self.faulty.iter().any(|(faulty, _)| faulty == number);
        let sent = call.last_node();
        let there = self.faulty.iter().any(|(_, id)| Some(&**id) == sent);
        let in_time = call.begun <= self.struck.end + RECOVERY && call.ended >= self.struck.start;
        there && in_time && self.ran.of(&call.key).iter().all(of)
    }

    /// How long after the fault the faulty node has had a call again, if it has.
    fn back(&self) -> Option<Duration> {
        let after = self.calls().filter(|call| call.begun >= self.struck.end);
        let there = after.filter(|call| self.ran.of(&call.key).contains(&1));
        let first = there.map(|call| call.begun).min()?;
        Some(first.saturating_duration_since(self.struck.end))
    }

    fn calls(&self) -> impl Iterator<Item = &Ended> {
        self.reports.iter().flat_map(|report| &report.calls)
    }

    /// The counts, as a row of the table.
    fn row(&self) -> String {
        let count = |idempotent: bool, failed: bool| {
            let of = |call: &&Ended| {
                call.kind.idempotent == idempotent && (call.error.is_some() || !failed)
            };
            self.calls().filter(of).count()
        };
        let during = self.calls().filter(|call| {
            call.error.is_none() && call.begun < self.struck.end && call.ended > self.struck.start
        });
        let mut took: Vec<_> = during.map(Ended::took).collect();
        took.sort_unstable();
        let at = |percent: usize| {
            let at = (took.len() * percent / 100).min(took.len().saturating_sub(1));
            let time = took.get(at).copied().unwrap_or_default();
            format!("{} ms", time.as_millis())
        };
        let twice = self.calls().filter(|call| !call.kind.idempotent);
        let twice = twice.filter(|call| self.ran.of(&call.key).len() > 1);
        let back = match self.back() {
            _ if !self.fault.heals() => "–".to_owned(),
            Some(time) => format!("{} ms", time.as_millis()),
            None => "later".to_owned(),
        };
        format!(
            "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {back} |",
            self.fault.words(),
            self.nodes.words(),
            count(true, false),
            count(true, true),
            count(false, false),
            count(false, true),
            twice.count(),
            at(50),
            at(99),
            at(100),
        )
    }

    /// Leaves the row for the table, and the table with all rows that there are.
    fn note(&self) {
        static TABLE: Mutex<()> = Mutex::new(());
        let _alone = TABLE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = workspace().join("target/faults-rows");
        fs::create_dir_all(&folder).unwrap();
        let file = |fault: Fault, nodes| folder.join(format!("{}-{nodes:?}", fault.name()));
        fs::write(file(self.fault, self.nodes), self.row()).unwrap();
        let mut made = HEAD.to_owned();
        for fault in Fault::ALL {
            for nodes in Nodes::ALL {
                if let Ok(row) = fs::read_to_string(file(fault, nodes)) {
                    let _ = writeln!(made, "{row}");
                }
            }
        }
        table::write("faults-table.md", &made).unwrap();
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            let page = workspace().join("docs/FAULTS.md");
            let text = fs::read_to_string(&page).unwrap();
            fs::write(&page, table::put(&text, "faults", &made)).unwrap();
        }
    }
}

const HEAD: &str = "\
| fault | nodes | idempotent calls | failed | other calls | lost in flight | run twice | p50 | p99 | max | called again after |
|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|
";
