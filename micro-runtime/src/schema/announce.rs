//! What a node's metadata tells of its schemas: `package.Service:hash,…`.

use std::fmt::Write as _;

use super::{Hash, Schema};
use crate::method::ServiceDescriptor;

/// How long the text may be: registries carry it with each node.
const MAX_LEN: usize = 1024;

/// What a node tells of the services that it serves.
#[derive(Debug)]
pub(crate) struct Announcement {
    /// The value in the node's metadata: each service with its hash, by name.
    pub(crate) text: String,
    /// Those that are in it.
    pub(crate) services: Vec<&'static ServiceDescriptor>,
}

impl Announcement {
    /// Of `services`. Left out are those whose descriptors cannot be read, and those for which there
    /// is no room any more; `None` where nothing is left.
    pub(crate) fn of(
        services: impl IntoIterator<Item = &'static ServiceDescriptor>,
    ) -> Option<Self> {
        let mut all: Vec<_> = services.into_iter().collect();
        all.sort_unstable_by_key(|service| service.full_name);
        let mut made = Self {
            text: String::new(),
            services: Vec::new(),
        };
        for service in all {
            let name = service.full_name;
            let schema = Schema::read(service.file_descriptor_set);
            let Some(hash) = schema.ok().and_then(|schema| schema.hash(name)) else {
                continue;
            };
            // A comma, a colon, and the hash.
            if made.text.len() + name.len() + 18 > MAX_LEN {
                tracing::debug!(service = name, "no room for the hash of its schema");
                continue;
            }
            let comma = if made.text.is_empty() { "" } else { "," };
            // Writing to a string cannot fail.
            let _ = write!(made.text, "{comma}{name}:{hash}");
            made.services.push(service);
        }
        (!made.services.is_empty()).then_some(made)
    }
}

/// The hash of `service` in a node's metadata; `None` where it tells none.
pub fn announced(metadata: &str, service: &str) -> Option<Hash> {
    if metadata.len() > MAX_LEN {
        return None;
    }
    metadata.split(',').find_map(|one| {
        let (name, hash) = one.trim().split_once(':')?;
        (name == service).then(|| hash.parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_of_a_service_is_found_by_its_full_name() {
        let metadata = "a.Say:cbf29ce484222325, b.Say:af63dc4c8601ec8c";
        let hash = |service| announced(metadata, service).map(|hash| hash.to_string());
        assert_eq!(hash("a.Say").as_deref(), Some("cbf29ce484222325"));
        assert_eq!(hash("b.Say").as_deref(), Some("af63dc4c8601ec8c"));
        assert_eq!(hash("Say"), None);
    }

    #[test]
    fn what_is_no_announcement_tells_nothing() {
        let long = format!("a.Say:cbf29ce484222325,{}", "x".repeat(MAX_LEN));
        for metadata in [
            "",
            "avro",
            "a.Say",
            "a.Say:",
            "a.Say:1,a",
            "a.Say:zzzzzzzzzzzzzzzz",
            &long,
        ] {
            assert_eq!(announced(metadata, "a.Say"), None, "{metadata:.40}");
        }
    }
}
