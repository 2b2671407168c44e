//! A decision log as a person reads it.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use super::{Attempt, Choice, LeftOut, Reason, Step, Why, Zone};

impl Why {
    /// Writes the log, without the words of a try that ended in the error `known`: who prints both
    /// has said them.
    pub(crate) fn write(&self, f: &mut Formatter<'_>, known: &str) -> fmt::Result {
        match (&*self.service, &*self.endpoint) {
            ("", "") => f.write_str("a call")?,
            (service, "") => f.write_str(service)?,
            ("", endpoint) => f.write_str(endpoint)?,
            (service, endpoint) => write!(f, "{service} {endpoint}")?,
        }
        if !self.took.is_zero() {
            write!(f, ", {}", Time(self.took))?;
            if let Some(limit) = self.limit {
                write!(f, " of {}", Time(limit))?;
            }
        }
        f.write_str(":")?;
        if self.steps.is_empty() {
            f.write_str("\n  nothing was noted of its way")?;
        }
        for step in &self.steps {
            f.write_str("\n  ")?;
            match step {
                Step::Chosen(choice) => write_choice(choice, f)?,
                Step::Tried(attempt) => write_attempt(attempt, known, f)?,
                Step::Paused(pause) => write!(f, "waited {}", Time(*pause))?,
                Step::Refused(refusal) => write!(f, "{}: {}", refusal.by, refusal.words)?,
            }
        }
        match self.cause().map(super::Cause::advice) {
            None | Some("") => Ok(()),
            Some(advice) => write!(f, "\n  {advice}"),
        }
    }
}

impl Display for Why {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, "")
    }
}

fn write_choice(choice: &Choice, f: &mut Formatter<'_>) -> fmt::Result {
    let nodes = match choice.known {
        1 => "1 node".to_owned(),
        known => format!("{known} nodes"),
    };
    match &choice.node {
        Some(node) => write!(f, "chose {node} of {nodes}")?,
        None if choice.known == 0 => f.write_str("no node is known")?,
        None => write!(f, "none of {nodes} could be chosen")?,
    }
    if choice.node.is_some() && choice.left > 1 && !choice.strategy.is_empty() {
        write!(f, " by {}", choice.strategy)?;
    }
    match choice.canary {
        Some(true) => f.write_str(", canary")?,
        Some(false) => f.write_str(", not canary")?,
        None => {}
    }
    if let Some(zone) = &choice.zone {
        write!(f, ", {zone}")?;
    }
    for out in &choice.out {
        write!(f, "\n    not {out}")?;
    }
    let not = match choice.out.is_empty() {
        true => "not",
        false => "nor",
    };
    match choice.unnamed() {
        0 => Ok(()),
        1 => write!(f, "\n    {not} another one"),
        more => write!(f, "\n    {not} {more} others"),
    }
}

fn write_attempt(attempt: &Attempt, known: &str, f: &mut Formatter<'_>) -> fmt::Result {
    let Attempt {
        node,
        address,
        began,
        took,
        result,
    } = attempt;
    write!(f, "tried {node}")?;
    if node != address {
        write!(f, " at {address}")?;
    }
    if !began.is_zero() {
        write!(f, " after {}", Time(*began))?;
    }
    match result {
        Ok(()) => write!(f, ": answered in {}", Time(*took)),
        Err(failure) => {
            write!(f, ": {}", failure.cause)?;
            if !took.is_zero() {
                write!(f, " ({})", Time(*took))?;
            }
            match failure.error == known {
                true => Ok(()),
                false => write!(f, "\n    {}", failure.error),
            }
        }
    }
}

impl Display for Zone {
    /// `zone eu-1`, or `spilled over from zone eu-1: 1 of 3 of its nodes can be called`
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            inside,
            known,
            callable,
            spills,
        } = self;
        match (inside, known) {
            (true, _) => write!(f, "zone {name}"),
            (false, 0) => write!(f, "zone {name} has none"),
            (false, _) if *spills => write!(
                f,
                "spilled over from zone {name}: {callable} of {known} of its nodes can be called"
            ),
            (false, _) => write!(f, "outside zone {name}"),
        }
    }
}

impl Display for LeftOut {
    /// `greeter-2: tried before`
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.node, self.reason)
    }
}

impl Display for Reason {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filtered(filter) => write!(f, "the filter {filter} leaves it out"),
            Self::Ejected(left, cause) => {
                write!(f, "left alone for another {}, it {cause}", Time(*left))
            }
            Self::Probed => f.write_str("it is just being tried whether it is back"),
            Self::Tried => f.write_str("tried before"),
            Self::Schema(difference) => {
                write!(f, "its schema does not fit the caller's: {difference}")
            }
            Self::SchemaAsked => {
                f.write_str("it is being found out whether its schema fits the caller's")
            }
        }
    }
}

/// A time as a person takes it in: three digits are enough.
struct Time(Duration);

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (number, unit) = match self.0 {
            time if time >= Duration::from_secs(1) => (time.as_secs_f64(), "s"),
            time if time >= Duration::from_millis(1) => (time.as_secs_f64() * 1e3, "ms"),
            time => (time.as_secs_f64() * 1e6, "µs"),
        };
        match number {
            whole if whole.fract() < 0.005 => write!(f, "{whole:.0}{unit}"),
            large if large >= 100.0 => write!(f, "{large:.0}{unit}"),
            large if large >= 10.0 => write!(f, "{large:.1}{unit}"),
            small => write!(f, "{small:.2}{unit}"),
        }
    }
}
