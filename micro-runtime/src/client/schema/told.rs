//! What is known of a node's schemas, for a person who looks.

use super::{Check, Checks, Verdict, is_full};
use crate::registry::NodeEntry;
use crate::schema::{KEY, announced};

/// How a node's schema of one service stands to that of a typed client here.
#[derive(Debug)]
pub(crate) struct SchemaTold {
    /// The service, with its package.
    pub(crate) service: &'static str,
    pub(crate) fits: Fits,
    /// The methods that the node would not understand, and why.
    pub(crate) barred: Vec<(String, String)>,
}

/// Whether calls would be understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fits {
    /// Both are the same.
    Same,
    /// They differ, and all calls would be understood.
    Compatible,
    /// Some would not.
    Differs,
    /// The node's is being asked for.
    Asked,
    /// The node's could not be had, or there are too many: nothing is held against it.
    Unknown,
}

impl Checks {
    /// What is known of a node: one for each service of which it tells a schema and that a typed
    /// client calls.
    pub(in crate::client) fn told(&self, entry: &NodeEntry) -> Vec<SchemaTold> {
        let all: Vec<_> = {
            let all = self.lock();
            all.iter().filter_map(|one| one.1.clone()).collect()
        };
        all.iter().filter_map(|check| check.told(entry)).collect()
    }
}

impl Check {
    fn told(&self, entry: &NodeEntry) -> Option<SchemaTold> {
        let service = self.descriptor.full_name;
        let hash = announced(entry.metadata(KEY)?, service)?;
        let mut barred = Vec::new();
        let verdicts = self.lock();
        let fits = match verdicts.get(&hash) {
            _ if hash == self.own => Fits::Same,
            Some(Verdict::Judged(judgement)) if judgement.is_clean() => Fits::Compatible,
            Some(Verdict::Judged(judgement)) => {
                let methods = self.descriptor.methods.iter().enumerate();
                barred.extend(methods.filter_map(|(index, method)| {
                    let why = judgement.against(index)?.to_owned();
                    Some((method.name().to_owned(), why))
                }));
                Fits::Differs
            }
            Some(Verdict::Unknowable { .. }) => Fits::Unknown,
            // Beyond what is looked into.
            None if is_full(&verdicts) => Fits::Unknown,
            Some(Verdict::Fetching) | None => Fits::Asked,
        };
        Some(SchemaTold {
            service,
            fits,
            barred,
        })
    }
}
