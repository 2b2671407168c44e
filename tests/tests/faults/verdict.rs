//! What a fault has cost, as counts, and whether that is too much.

use std::fmt::Write as _;
use std::fs;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use micro_tests::fleet::Ran;
use micro_tests::load::{Ended, LAG, Report};
use micro_tests::peers::workspace;
use micro_tests::table;

use super::fault::Fault;
use super::stage::{Nodes, is_long};

/// The most calls that a fault may cost each load. Those that choose blindly lose fewer than 20 as a
/// rule, and more than 50 in eight seconds where no faulty node is found out.
const MOST: usize = 40;

/// The same in a minute, of a node that serves those who are connected and nobody else: callers
/// cannot leave it alone for good.
const MOST_OF_HALF_FAULTY: usize = 100;

/// How long after a node's end a call may begin that is lost with it: until its caller has read that
/// the connection has ended. Callers that are behind read late.
const NOTICE: Duration = LAG;

/// The fewest calls that each node had before the fault, of some hundred.
const LEAST: usize = 20;

/// How long a node may be faulty after the fault: connections on which nothing came through take
/// longer and longer pauses between tries.
const RECOVERY: Duration = Duration::from_secs(5);

/// A node whose calls may be lost.
pub struct Faulty {
    pub number: usize,
    pub id: String,
    /// When it had ended for certain, if it has.
    pub ended: Option<Instant>,
}

/// All that is known at the end.
pub struct Verdict {
    pub fault: Fault,
    pub nodes: Nodes,
    /// The nodes whose calls may be lost.
    pub faulty: Vec<Faulty>,
    /// From just before the fault began until it was over.
    pub struck: Range<Instant>,
    /// Whether callers have come back to a node that is as before, where that was waited for.
    pub called: bool,
    pub reports: Vec<Report>,
    /// Of callers that choose any node: they are judged, and are in no table.
    pub blind: Vec<Report>,
    pub ran: Ran,
    /// What callers were told that is not true.
    pub wrongly_told: Vec<String>,
}

impl Verdict {
    /// # Panics
    /// Where the fault has cost more than it may.
    pub fn judge(&self) {
        let what = format!("{}, {}", self.fault.words(), self.nodes.words());
        let all = || self.reports.iter().chain(&self.blind);
        for report in all() {
            println!("{what}: {report}");
        }
        println!("{what}: {}", self.row());
        for node in 1..=3 {
            let had = self.before(node);
            assert!(had >= LEAST, "{what}: node {node} had {had} calls before");
        }
        for report in all() {
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
                let told = call.why.as_ref().and_then(|why| why.cause());
                let truly =
                    told.is_some_and(|cause| self.fault.causes(self.nodes).contains(&cause));
                assert!(truly, "{what}: wrongly told {told:?}: {call:#?}");
            }
            let lost = report.failed().count();
            let most = match self.fault {
                Fault::Descriptors if is_long() => MOST_OF_HALF_FAULTY,
                _ => MOST,
            };
            assert!(lost <= most, "{what}: {lost} calls lost, {report}");
        }
        assert!(self.called, "{what}: callers do not come back to the node");
        let wrongly = self.wrongly_told.join("\n");
        assert!(wrongly.is_empty(), "{what}: told\n{wrongly}");
        self.note();
    }

    /// Whether a call that failed was on its way to a faulty node, and nowhere else, while the fault
    /// lasted: where the node has ended, before that.
    fn was_in_flight(&self, call: &Ended) -> bool {
        let sent = call.last_node();
        let Some(node) = self.faulty.iter().find(|node| Some(&*node.id) == sent) else {
            return false;
        };
        let latest = node
            .ended
            .map_or(self.struck.end + RECOVERY, |ended| ended + NOTICE);
        let in_time = call.begun <= latest && call.ended >= self.struck.start;
        let of = |number: &usize| self.faulty.iter().any(|faulty| faulty.number == *number);
        in_time && self.ran.of(&call.key).iter().all(of)
    }

    /// How many calls a node had before the fault.
    fn before(&self, node: usize) -> usize {
        // Those that choose by latency may shun one whose first answer was late.
        let blind = self.blind.iter().flat_map(|report| &report.calls);
        let all = self.calls().chain(blind);
        let before = all.filter(|call| call.begun < self.struck.start);
        before
            .filter(|call| self.ran.of(&call.key).contains(&node))
            .count()
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
        // Counts of the short form are no figures of the page.
        let form = if is_long() { "" } else { "-short" };
        let folder = workspace().join(format!("target/faults-rows{form}"));
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
        table::write(&format!("faults-table{form}.md"), &made).unwrap();
        if is_long() && std::env::var_os("UPDATE_GOLDEN").is_some() {
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
