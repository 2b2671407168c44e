//! What a node's schema means for each method of a client's.

use crate::method::ServiceDescriptor;
use crate::schema::{Hash, Schema, compare};

/// Which methods a schema bars, and why.
#[derive(Debug)]
pub(super) struct Judgement {
    /// By the index of the method.
    barred: Box<[Option<Box<str>>]>,
}

impl Judgement {
    /// Compares `theirs`, which has to be what `hash` names: a node may say of itself what it likes,
    /// not of others with its hash. `None` where it is not, or cannot be compared.
    pub(super) fn of(ours: &ServiceDescriptor, theirs: &[u8], hash: Hash) -> Option<Self> {
        let theirs = Schema::read(theirs)
            .inspect_err(|error| tracing::debug!(%hash, %error, "no schema"))
            .ok()?;
        if theirs.hash(ours.full_name) != Some(hash) {
            tracing::debug!(%hash, service = ours.full_name, "the schema is not that of its hash");
            return None;
        }
        let own = Schema::read(ours.file_descriptor_set).ok()?;
        let differences = compare(&own, &theirs, ours.full_name);
        let barred = ours.methods.iter().map(|method| {
            let mut against = differences.iter().filter(|one| one.breaks(method.name()));
            let first = against.next()?.to_string();
            Some(match against.count() {
                0 => first.into(),
                more => format!("{first}, and {more} more").into(),
            })
        });
        Some(Self {
            barred: barred.collect(),
        })
    }

    /// Whether it bars none.
    pub(super) fn is_clean(&self) -> bool {
        self.barred.iter().all(Option::is_none)
    }

    /// What speaks against calls of the method with this index.
    pub(super) fn against(&self, index: usize) -> Option<&str> {
        self.barred.get(index)?.as_deref()
    }
}
