//! Both machines against models that are slow and obvious: everything that happened is kept, and
//! counted anew at each question.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::circuits::{Machine, Outcome, State, Stop};
use super::gobreaker::{Counting, GoBreakerSettings};
use super::hystrix::{HystrixSettings, Window};
use crate::seeds::with_seeds;

const OUTCOMES: [Outcome; 3] = [Outcome::Success, Outcome::Failure, Outcome::GivenUp];

/// What a model says of a call: how it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum No {
    Open,
    Full,
}

fn no<T>(answer: Result<T, Stop>) -> Result<T, No> {
    answer.map_err(|stop| match stop {
        Stop::Open(_) => No::Open,
        Stop::Full => No::Full,
    })
}

/// One that is the machine's likeness.
trait Model {
    type Machine: Machine;
    fn begin(&mut self, now: Duration) -> Result<usize, No>;
    fn end(&mut self, now: Duration, call: usize, how: Outcome);
    fn state(&self) -> State;
    fn counted(&self, now: Duration) -> (u32, u32);
}

/// Calls begin and end at random, and the machine does what the model does.
fn walk<M: Model>(
    random: &mut fastrand::Rng,
    settings: &<M::Machine as Machine>::Settings,
    mut model: M,
    longest: Duration,
) -> [bool; 3] {
    let start = Instant::now();
    let mut machine = M::Machine::new(start);
    let (mut passed, mut running) = (Duration::ZERO, Vec::new());
    let mut seen = [false; 3];
    // Bad times and good ones, so that all states are come to.
    let mut badness = 0.5;
    for step in 0..600 {
        if step % 50 == 0 {
            badness = random.f64();
        }
        match random.u32(0..10) {
            0..3 => {
                // Of a grain that meets the limits exactly, too.
                let grain = Duration::from_millis(250);
                passed += match random.u32(0..8) {
                    0 => longest.mul_f64(random.f64()),
                    1 => grain * random.u32(0..8),
                    _ => Duration::from_micros(random.u64(0..200_000)),
                };
            }
            3..7 => {
                let ours = no(machine.begin(settings, start + passed));
                let theirs = model.begin(passed);
                assert_eq!(
                    ours.map(|_| ()),
                    theirs.map(|_| ()),
                    "step {step} at {passed:?}: {:?}",
                    machine.state()
                );
                if let (Ok(permit), Ok(call)) = (ours, theirs) {
                    running.push((permit, call));
                }
            }
            _ => {
                if !running.is_empty() {
                    let (permit, call) = running.swap_remove(random.usize(..running.len()));
                    let how = match random.f64() < badness {
                        true => Outcome::Failure,
                        false => OUTCOMES[2 * usize::from(random.u32(0..10) == 0)],
                    };
                    machine.end(settings, start + passed, permit, how);
                    model.end(passed, call, how);
                }
            }
        }
        assert_eq!(machine.state(), model.state(), "step {step} at {passed:?}");
        assert_eq!(
            machine.counted(settings, start + passed),
            model.counted(passed),
            "step {step} at {passed:?}: {:?}",
            machine.state()
        );
        seen[machine.state() as usize] = true;
    }
    seen
}

/// How many walks have come to each state.
#[derive(Default)]
struct Seen(RefCell<(u32, [u32; 3])>);

impl Seen {
    fn add(&self, states: [bool; 3]) {
        let (walks, seen) = &mut *self.0.borrow_mut();
        *walks += 1;
        for (count, seen) in seen.iter_mut().zip(states) {
            *count += u32::from(seen);
        }
    }

    fn check(&self) {
        let (walks, seen) = *self.0.borrow();
        let enough = |seen: &u32| walks == 1 || *seen > walks / 2;
        assert!(seen.iter().all(enough), "of {walks} walks: {seen:?}");
    }
}

/// Hystrix: all calls that ever counted, with when and whether they failed.
struct HystrixModel {
    settings: HystrixSettings,
    counted: Vec<(Duration, bool)>,
    running: Vec<usize>,
    calls: usize,
    /// When it was opened, and the tests since.
    open: Option<(Duration, Vec<Test>)>,
}

/// When it began, which call it is, and whether it runs.
type Test = (Duration, usize, bool);

impl HystrixModel {
    fn new(settings: HystrixSettings) -> Self {
        Self {
            settings,
            counted: Vec::new(),
            running: Vec::new(),
            calls: 0,
            open: None,
        }
    }

    fn count(&mut self, now: Duration, failed: bool) {
        self.counted.push((now, failed));
        self.look(now);
    }

    fn look(&mut self, now: Duration) {
        let (requests, failures) = self.counted(now);
        let percent = (f64::from(failures) / f64::from(requests.max(1)) * 100.0 + 0.5) as u32;
        let ill = requests >= self.settings.volume.max(1) && percent >= self.settings.error_percent;
        if self.open.is_none() && ill {
            self.open = Some((now, Vec::new()));
        }
    }
}

impl Model for HystrixModel {
    type Machine = Window;

    fn begin(&mut self, now: Duration) -> Result<usize, No> {
        self.look(now);
        if let Some((opened, tests)) = &self.open {
            let last = tests.last().map_or(*opened, |(at, ..)| *at);
            if now < last + self.settings.sleep {
                self.count(now, true);
                return Err(No::Open);
            }
        }
        if self.running.len() >= self.settings.max_concurrent as usize {
            self.count(now, true);
            return Err(No::Full);
        }
        self.calls += 1;
        self.running.push(self.calls);
        if let Some((_, tests)) = &mut self.open {
            tests.push((now, self.calls, true));
        }
        Ok(self.calls)
    }

    fn end(&mut self, now: Duration, call: usize, how: Outcome) {
        self.running.retain(|running| *running != call);
        if let Some((_, tests)) = &mut self.open
            && let Some((_, _, runs)) = tests.iter_mut().find(|(_, test, _)| *test == call)
        {
            *runs = false;
            if how == Outcome::Success {
                self.open = None;
                self.counted.clear();
            }
        }
        self.count(now, how == Outcome::Failure);
    }

    fn state(&self) -> State {
        match &self.open {
            None => State::Closed,
            Some((_, tests)) if tests.last().is_some_and(|(.., runs)| *runs) => State::HalfOpen,
            Some(_) => State::Open,
        }
    }

    fn counted(&self, now: Duration) -> (u32, u32) {
        let tenth = |time: Duration| time.as_nanos() / (self.settings.window / 10).as_nanos();
        let counts = |at: Duration| tenth(at) + 10 > tenth(now);
        let all = self.counted.iter().filter(|(at, _)| counts(*at));
        let failed = all.clone().filter(|(_, failed)| *failed);
        (all.count() as u32, failed.count() as u32)
    }
}

#[test]
fn hystrix_does_what_its_model_does() {
    let seen = Seen::default();
    with_seeds(300, |random| {
        let settings = HystrixSettings {
            max_concurrent: random.u32(1..20),
            volume: random.u32(0..30),
            sleep: Duration::from_millis(250) * random.u32(0..30),
            error_percent: random.u32(1..=100),
            window: Duration::from_secs(random.u64(1..20)),
            ..HystrixSettings::default()
        };
        let model = HystrixModel::new(settings);
        seen.add(walk(random, &settings, model, Duration::from_secs(15)));
    });
    seen.check();
}

/// Gobreaker: every call with the time of its end, and every change of state.
struct GoBreakerModel {
    settings: GoBreakerSettings,
    /// Calls that were let through, with the number of changes before them, and how they ended.
    calls: Vec<(usize, Option<Outcome>)>,
    /// The order in which they ended.
    ended: Vec<usize>,
    changes: Vec<(Duration, State)>,
}

impl GoBreakerModel {
    fn new(settings: GoBreakerSettings) -> Self {
        Self {
            settings,
            calls: Vec::new(),
            ended: Vec::new(),
            changes: vec![(Duration::ZERO, State::Closed)],
        }
    }

    fn last(&self) -> (Duration, State) {
        *self.changes.last().unwrap()
    }

    fn look(&mut self, now: Duration) {
        let (since, state) = self.last();
        let interval = self.settings.interval;
        match state {
            State::Closed if interval > Duration::ZERO && now > since + interval => {
                self.changes.push((now, State::Closed));
            }
            State::Open if now > since + self.settings.timeout => {
                self.changes.push((now, State::HalfOpen));
            }
            _ => {}
        }
    }

    /// How the calls that belong to this state ended, in the order of their ends.
    fn results(&self) -> Vec<Outcome> {
        let ours = |call: &&usize| self.calls[**call].0 == self.changes.len();
        let results = self.ended.iter().filter(ours);
        results.filter_map(|call| self.calls[*call].1).collect()
    }

    fn in_a_row(&self, how: Outcome) -> u32 {
        let results = self.results();
        let counting = results.iter().filter(|how| **how != Outcome::GivenUp);
        counting.rev().take_while(|other| **other == how).count() as u32
    }
}

impl Model for GoBreakerModel {
    type Machine = Counting;

    fn begin(&mut self, now: Duration) -> Result<usize, No> {
        self.look(now);
        let (requests, _) = self.counted(now);
        match self.last().1 {
            State::Open => return Err(No::Open),
            State::HalfOpen if requests >= self.settings.max_requests.max(1) => {
                return Err(No::Full);
            }
            _ => {}
        }
        self.calls.push((self.changes.len(), None));
        Ok(self.calls.len() - 1)
    }

    fn end(&mut self, now: Duration, call: usize, how: Outcome) {
        self.look(now);
        self.calls[call].1 = Some(how);
        self.ended.push(call);
        if self.calls[call].0 != self.changes.len() {
            return;
        }
        let state = self.last().1;
        match how {
            Outcome::GivenUp => {}
            Outcome::Success => {
                let enough = self.in_a_row(Outcome::Success) >= self.settings.max_requests.max(1);
                if state == State::HalfOpen && enough {
                    self.changes.push((now, State::Closed));
                }
            }
            Outcome::Failure => {
                if state == State::HalfOpen || self.in_a_row(Outcome::Failure) > 5 {
                    self.changes.push((now, State::Open));
                }
            }
        }
    }

    fn state(&self) -> State {
        self.last().1
    }

    fn counted(&self, _now: Duration) -> (u32, u32) {
        let ours = |(changes, _): &&(usize, Option<Outcome>)| *changes == self.changes.len();
        let calls = self.calls.iter().filter(ours);
        let counted = calls
            .clone()
            .filter(|(_, how)| *how != Some(Outcome::GivenUp));
        let failed = calls.filter(|(_, how)| *how == Some(Outcome::Failure));
        (counted.count() as u32, failed.count() as u32)
    }
}

#[test]
fn gobreaker_does_what_its_model_does() {
    let seen = Seen::default();
    with_seeds(300, |random| {
        let settings = GoBreakerSettings {
            max_requests: random.u32(0..5),
            interval: Duration::from_millis(250) * random.u32(0..3) * random.u32(0..40),
            timeout: Duration::from_millis(250) * random.u32(0..60),
            ..GoBreakerSettings::default()
        };
        let model = GoBreakerModel::new(settings.clone());
        seen.add(walk(random, &settings, model, Duration::from_secs(20)));
    });
    seen.check();
}

#[test]
fn gobreaker_opens_when_its_function_says_so() {
    let settings = GoBreakerSettings {
        ready_to_trip: Arc::new(|counts| counts.requests >= 4 && counts.total_failures >= 2),
        ..GoBreakerSettings::default()
    };
    let now = Instant::now();
    let mut machine = Counting::new(now);
    for how in [
        Outcome::Failure,
        Outcome::Success,
        Outcome::Success,
        Outcome::Failure,
    ] {
        assert_eq!(machine.state(), State::Closed);
        let call = machine.begin(&settings, now).unwrap();
        machine.end(&settings, now, call, how);
    }
    assert_eq!(machine.state(), State::Open);
}
