//! What choosing a node costs.

use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use allocation_counter::measure;
use micro_runtime::registry::View;
use micro_runtime::selector::{
    Affinity, Canary, Filter, Locality, Pick, SelectOptions, Strategy, select,
};

use crate::clock::Clock;

/// Rounds, of which the median is told.
const ROUNDS: usize = 5;
/// As many names as a program calls that calls many.
const SOME: usize = 64;

/// A way to choose.
pub(crate) struct Picks {
    name: &'static str,
    client: SelectOptions,
    /// In turn.
    calls: Vec<SelectOptions>,
}

impl Picks {
    /// Every strategy, and what narrows its choice.
    pub(crate) fn all() -> Vec<Self> {
        let filters = || vec![Filter::version("1.10.0"), Filter::label("region", "eu")];
        let picks = |name, strategy: Strategy| Self {
            name,
            client: by(strategy),
            calls: vec![SelectOptions::default()],
        };
        let two = || Strategy::PowerOfTwo;
        let mut all = vec![
            picks("power of two", two()),
            picks("power of two, measured", two()),
            picks("least connections", Strategy::LeastConnections),
            picks("hash", Strategy::Hash(Affinity::Key)),
            picks("sticky", Strategy::Sticky(Affinity::Key)),
            picks("weighted", Strategy::Weighted),
            picks("random", Strategy::Random),
            picks("round robin", Strategy::RoundRobin),
            picks("power of two, client's version and label", two()),
            picks("power of two, call's version and label", two()),
            picks("power of two, own zone", two()),
            picks("power of two, canary", two()),
            picks(
                "round robin, client's version and label",
                Strategy::RoundRobin,
            ),
            picks(
                "round robin, call's version and label",
                Strategy::RoundRobin,
            ),
        ];
        for picks in &mut all {
            let name = picks.name;
            if name == "hash" || name == "sticky" {
                picks.calls = (0..1024).map(of_key).collect();
            } else if name.ends_with("client's version and label") {
                picks.client.filters = filters();
            } else if name.ends_with("call's version and label") {
                picks.calls[0].filters = filters();
            } else if name.ends_with("own zone") {
                picks.client.locality = Some(Arc::new(Locality::label("region", "eu")));
            } else if name.ends_with("canary") {
                let canary = Canary::new(Filter::version("1.10.0"), 0.05);
                picks.client.canary = Some(Arc::new(canary));
            }
        }
        all
    }

    /// Chooses `times` times of one view, of some, and of all in turn.
    pub(crate) fn run(&self, views: &[Arc<View>], times: usize) -> Line {
        let one = &views[views.len() / 2..][..1];
        let some = &views[..SOME.min(views.len())];
        if self.name.ends_with("measured") {
            let nodes = views.iter().map(|view| view.nodes());
            let took = |at: usize| Duration::from_micros(50 + at as u64 % 50);
            nodes.for_each(|nodes| {
                let numbered = nodes.list.iter().enumerate();
                numbered.for_each(|(at, node)| node.tell_latency(took(at), 0));
            });
        }
        let allocations = measure(|| self.pick(one, 1000)).count_total;
        let mut line = Line {
            name: self.name,
            one: [0.0; ROUNDS],
            some: [0.0; ROUNDS],
            all: [0.0; ROUNDS],
            // The first choices of a snapshot find what the filters let pass.
            allocations: measure(|| self.pick(one, 1000))
                .count_total
                .min(allocations),
        };
        self.pick(views, views.len());
        for round in 0..ROUNDS {
            line.one[round] = self.nanos(one, times);
            line.some[round] = self.nanos(some, times);
            line.all[round] = self.nanos(views, times);
        }
        for times in [&mut line.one, &mut line.some, &mut line.all] {
            times.sort_by(f64::total_cmp);
        }
        line
    }

    fn nanos(&self, views: &[Arc<View>], times: usize) -> f64 {
        let clock = Clock::start();
        self.pick(views, times);
        clock.read().as_secs_f64() * 1e9 / times as f64
    }

    fn pick(&self, views: &[Arc<View>], times: usize) {
        // A prime, so that neighbours in memory are not neighbours in time.
        let mut at = 0;
        for now in 0..times {
            at = (at + 7919) % views.len();
            let chosen = select(
                &views[at].nodes(),
                &self.calls[now % self.calls.len()],
                &self.client,
                Pick::at(now as u64 / 1024),
            );
            black_box(&chosen);
        }
    }
}

fn of_key(at: usize) -> SelectOptions {
    let mut options = SelectOptions::default();
    options.key = Some(format!("user-{at}").into());
    options
}

fn by(strategy: Strategy) -> SelectOptions {
    let mut options = SelectOptions::default();
    options.strategy = Some(strategy);
    options
}

/// What was measured, sorted.
pub(crate) struct Line {
    name: &'static str,
    one: [f64; ROUNDS],
    some: [f64; ROUNDS],
    all: [f64; ROUNDS],
    allocations: u64,
}

impl Line {
    /// What is too much, where a choice of one name may take so many nanoseconds and allocate nothing.
    pub(crate) fn wrong(&self, most: u64) -> Option<String> {
        let (name, allocations, nanos) = (self.name, self.allocations, self.one[ROUNDS / 2]);
        let slow = nanos > most as f64;
        (slow || allocations > 0).then(|| {
            format!(
                "{name}: a choice takes {nanos:.0} ns and may take {most}; {allocations} allocations in 1,000 choices, where none may be"
            )
        })
    }

    pub(crate) fn json(&self) -> String {
        format!(
            "{{\"pick\":\"{}\",\"one_ns\":{:.1},\"some_ns\":{:.1},\"all_ns\":{:.1},\"allocations\":{}}}",
            self.name,
            self.one[ROUNDS / 2],
            self.some[ROUNDS / 2],
            self.all[ROUNDS / 2],
            self.allocations
        )
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spread = |times: &[f64; ROUNDS]| {
            let (least, most) = (times[0], times[ROUNDS - 1]);
            format!("{:.0} ({least:.0}–{most:.0})", times[ROUNDS / 2])
        };
        let (one, some, all) = (spread(&self.one), spread(&self.some), spread(&self.all));
        let (name, allocations) = (self.name, self.allocations);
        write!(f, "| {name} | {one} | {some} | {all} | {allocations} |")
    }
}
