//! A decision log as data: JSON with names that stay.

use std::fmt::Write as _;
use std::time::Duration;

use super::{Attempt, Choice, LeftOut, Reason, Step, Why, Zone};
use crate::error::write_go_json_string;

impl Why {
    /// The log as one line of JSON, whose names are stable. Times are milliseconds.
    ///
    /// ```
    /// use micro_runtime::error::why::{Choice, Refusal, Step, Why};
    ///
    /// let mut why = Why::default();
    /// why.service = "greeter".into();
    /// why.endpoint = "Say.Hello".into();
    /// why.push(Step::Refused(Refusal::new("breaker", "open for 3 s more")));
    /// assert_eq!(
    ///     why.to_json(),
    ///     r#"{"service":"greeter","endpoint":"Say.Hello","limit_ms":null,"took_ms":0,"cause":null,"steps":[{"step":"refused","by":"breaker","words":"open for 3 s more"}]}"#
    /// );
    /// ```
    pub fn to_json(&self) -> String {
        let mut json = Json(String::with_capacity(128 + 256 * self.steps.len()));
        json.open();
        json.text("service", &self.service);
        json.text("endpoint", &self.endpoint);
        match self.limit {
            Some(limit) => json.time("limit_ms", limit),
            None => json.null("limit_ms"),
        }
        json.time("took_ms", self.took);
        match self.cause() {
            Some(cause) => json.text("cause", cause.name()),
            None => json.null("cause"),
        }
        json.list("steps", &self.steps, write_step);
        json.close();
        json.0
    }
}

fn write_step(step: &Step, json: &mut Json) {
    json.open();
    match step {
        Step::Chosen(choice) => {
            json.text("step", "chosen");
            write_choice(choice, json);
        }
        Step::Tried(attempt) => {
            json.text("step", "tried");
            write_attempt(attempt, json);
        }
        Step::Paused(pause) => {
            json.text("step", "paused");
            json.time("took_ms", *pause);
        }
        Step::Refused(refusal) => {
            json.text("step", "refused");
            json.text("by", refusal.by);
            json.text("words", &refusal.words);
        }
    }
    json.close();
}

fn write_choice(choice: &Choice, json: &mut Json) {
    match &choice.node {
        Some(node) => json.text("node", node),
        None => json.null("node"),
    }
    json.text("strategy", choice.strategy);
    json.number("known", choice.known);
    json.number("left", choice.left);
    json.list("out", &choice.out, write_left_out);
    json.number("unnamed", choice.unnamed());
    match choice.canary {
        Some(is_one) => json.number("canary", is_one),
        None => json.null("canary"),
    }
    match &choice.zone {
        Some(zone) => {
            json.name("zone");
            write_zone(zone, json);
        }
        None => json.null("zone"),
    }
}

fn write_zone(zone: &Zone, json: &mut Json) {
    json.open();
    json.text("name", &zone.name);
    json.number("inside", zone.inside);
    json.number("known", zone.known);
    json.number("callable", zone.callable);
    json.number("spills", zone.spills);
    json.close();
}

fn write_left_out(out: &LeftOut, json: &mut Json) {
    json.open();
    json.text("node", &out.node);
    json.text("reason", out.reason.name());
    match &out.reason {
        Reason::Filtered(filter) => json.text("filter", filter),
        Reason::Ejected(left, cause) => {
            json.time("left_ms", *left);
            json.text("cause", cause.name());
        }
        Reason::Schema(difference) => json.text("difference", difference),
        Reason::Probed | Reason::Tried | Reason::SchemaAsked => {}
    }
    json.close();
}

fn write_attempt(attempt: &Attempt, json: &mut Json) {
    json.text("node", &attempt.node);
    json.text("address", &attempt.address);
    json.time("began_ms", attempt.began);
    json.time("took_ms", attempt.took);
    match &attempt.result {
        Ok(()) => json.null("cause"),
        Err(failure) => {
            json.text("cause", failure.cause.name());
            json.number("code", failure.code);
            json.text("error", &failure.error);
        }
    }
}

/// JSON as it is written: what is inside an object or a list is parted by commas.
struct Json(String);

impl Json {
    fn open(&mut self) {
        self.0.push('{');
    }

    fn close(&mut self) {
        self.0.push('}');
    }

    fn name(&mut self, name: &str) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
        // Writing to a string cannot fail.
        let _ = write!(self.0, "\"{name}\":");
    }

    fn text(&mut self, name: &str, text: &str) {
        self.name(name);
        write_go_json_string(text, &mut self.0);
    }

    fn number(&mut self, name: &str, number: impl std::fmt::Display) {
        self.name(name);
        let _ = write!(self.0, "{number}");
    }

    fn time(&mut self, name: &str, time: Duration) {
        // Microseconds are as fine as anybody looks.
        let whole = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.number(name, whole as f64 / 1e3);
    }

    fn null(&mut self, name: &str) {
        self.number(name, "null");
    }

    fn list<T>(&mut self, name: &str, items: &[T], write: impl Fn(&T, &mut Self)) {
        self.name(name);
        self.0.push('[');
        for (at, item) in items.iter().enumerate() {
            if at > 0 {
                self.0.push(',');
            }
            write(item, self);
        }
        self.0.push(']');
    }
}
