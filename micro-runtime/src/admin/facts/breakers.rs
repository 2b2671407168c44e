//! Retry budgets, and what wrappers tell of themselves: breakers, limits.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use super::{NAMES, Sources, ms};
use crate::client::Place;
use crate::wrapper::{self, Figure, Wrapper};

/// What `/breakers` tells.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Breakers {
    pub(in crate::admin) budgets: Vec<Budget>,
    pub(in crate::admin) wrappers: Vec<Inspected>,
}

/// How many tries beyond the first calls of one name may make.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Budget {
    pub(in crate::admin) name: String,
    pub(in crate::admin) calls: u64,
    pub(in crate::admin) retries: u64,
    pub(in crate::admin) allowed: u64,
    pub(in crate::admin) refused: u64,
}

/// One wrapper.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Inspected {
    /// `client`, `server`, `subscriber`.
    pub(in crate::admin) side: &'static str,
    pub(in crate::admin) kind: &'static str,
    pub(in crate::admin) settings: BTreeMap<String, Value>,
    pub(in crate::admin) standings: Vec<Standing>,
}

/// What it has come to for one key.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Standing {
    pub(in crate::admin) of: String,
    pub(in crate::admin) state: &'static str,
    pub(in crate::admin) figures: BTreeMap<String, Value>,
}

/// A number, or a word.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(in crate::admin) enum Value {
    Count(u64),
    Number(f64),
    Text(String),
}

pub(in crate::admin) fn breakers(sources: &Sources) -> Breakers {
    let sides: [(_, &[Arc<dyn Wrapper>]); 3] = [
        ("client", sources.client.wrappers()),
        ("server", sources.core.wrappers()),
        ("subscriber", sources.events.wrappers()),
    ];
    let wrappers = sides.into_iter().flat_map(|(side, wrappers)| {
        let told = wrappers.iter().filter_map(|wrapper| wrapper.inspect());
        told.map(move |inspected| inspected_of(side, inspected))
    });
    let budget = |place: &Place| {
        let figures = place.budget?;
        Some(Budget {
            name: place.name.to_string(),
            calls: figures.calls,
            retries: figures.retries,
            allowed: figures.allowed,
            refused: figures.refused,
        })
    };
    let places = sources.client.places();
    Breakers {
        budgets: places.iter().take(NAMES).filter_map(budget).collect(),
        wrappers: wrappers.collect(),
    }
}

fn inspected_of(side: &'static str, inspected: wrapper::Inspected) -> Inspected {
    let standings = inspected.standings.into_iter();
    Inspected {
        side,
        kind: inspected.kind,
        settings: values(inspected.settings),
        standings: standings
            .take(wrapper::MAX_STANDINGS)
            .map(|standing| Standing {
                of: standing.of,
                state: standing.state,
                figures: values(standing.figures),
            })
            .collect(),
    }
}

/// Times have `_ms` in their names, as everywhere.
fn values(figures: Vec<(&'static str, Figure)>) -> BTreeMap<String, Value> {
    let value = |(name, figure): (&str, Figure)| match figure {
        Figure::Count(count) => (name.to_owned(), Value::Count(count)),
        Figure::Number(number) => (name.to_owned(), Value::Number(number)),
        Figure::Time(time) => (format!("{name}_ms"), Value::Number(ms(time))),
        Figure::Text(text) => (name.to_owned(), Value::Text(text)),
    };
    figures.into_iter().map(value).collect()
}
