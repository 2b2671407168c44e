//! What nodes tell in Consul's tags, in Go Micro's form.
//!
//! A tag is `t-` (one entry of the metadata), `e-` (an endpoint) or `v-` (the version) and packed
//! text. Old services write `t=`, `e=`, `v=` and plain text. Other programs put their own tags
//! beside these.

use std::collections::BTreeMap;

use crate::registry::Endpoint;
use crate::registry::packed::{pack, unpack};

/// The entry that Go Micro chooses its codec by.
const PROTOCOL: &str = "protocol";

/// What the tags of a node tell.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) version: String,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) endpoints: Vec<Endpoint>,
}

impl Told {
    /// The tags, in Go Micro's order but for `protocol`, which is the first: whatever a reader makes
    /// of the rest, it must have that one.
    pub(super) fn tags(
        version: &str,
        metadata: &BTreeMap<String, String>,
        endpoints: &[Endpoint],
    ) -> Vec<String> {
        let tag = |kind: char, plain: &[u8]| format!("{kind}-{}", pack(plain));
        let entry = |(key, value): (&String, &String)| {
            let entry = BTreeMap::from([(key, value)]);
            tag('t', &serde_json::to_vec(&entry).unwrap_or_default())
        };
        let (first, rest): (Vec<_>, Vec<_>) =
            metadata.iter().partition(|(key, _)| *key == PROTOCOL);
        first
            .into_iter()
            .chain(rest)
            .map(entry)
            .chain(
                endpoints
                    .iter()
                    .map(|endpoint| tag('e', &serde_json::to_vec(endpoint).unwrap_or_default())),
            )
            .chain([tag('v', version.as_bytes())])
            .collect()
    }
}

/// Reads tags; those of one answer share a reader, since most nodes of a service have the same ones.
#[derive(Debug, Default)]
pub(super) struct Reader<'a> {
    known: BTreeMap<&'a str, Option<Tag>>,
}

/// A tag that was understood.
#[derive(Clone, Debug)]
struct Tag {
    packed: bool,
    says: Says,
}

#[derive(Clone, Debug)]
enum Says {
    Metadata(BTreeMap<String, String>),
    Endpoint(Box<Endpoint>),
    Version(String),
}

impl<'a> Reader<'a> {
    /// What `tags` tell. Tags of others and tags that make no sense are passed over; of packed and
    /// plain ones that kind counts which is seen first; the first version counts.
    pub(super) fn read(&mut self, tags: impl IntoIterator<Item = &'a str>) -> Told {
        let mut told = Told::default();
        let (mut metadata, mut endpoints, mut version) = (None, None, false);
        for text in tags {
            let Some(tag) = self.known.entry(text).or_insert_with(|| Tag::read(text)) else {
                continue;
            };
            match &tag.says {
                Says::Metadata(entry) if *metadata.get_or_insert(tag.packed) == tag.packed => {
                    told.metadata.extend(
                        entry
                            .iter()
                            .map(|(key, value)| (key.clone(), value.clone())),
                    );
                }
                Says::Endpoint(endpoint) if *endpoints.get_or_insert(tag.packed) == tag.packed => {
                    told.endpoints.push((**endpoint).clone());
                }
                Says::Version(said) if !version => {
                    version = true;
                    told.version.clone_from(said);
                }
                _ => {}
            }
        }
        told
    }
}

impl Tag {
    fn read(text: &str) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(1)?;
        let (packed, plain) = match rest.split_at_checked(1)? {
            ("-", rest) => (true, unpack(rest.as_bytes())?),
            ("=", rest) => (false, rest.as_bytes().to_vec()),
            _ => return None,
        };
        let says = match kind {
            "t" => Says::Metadata(serde_json::from_slice(&plain).ok()?),
            "e" => {
                let endpoint: Endpoint = serde_json::from_slice(&plain).ok()?;
                // Lists are read as structs too, and nameless ones are of no use.
                (!endpoint.name.is_empty()).then_some(Says::Endpoint(Box::new(endpoint)))?
            }
            "v" => Says::Version(String::from_utf8(plain).ok()?),
            _ => return None,
        };
        Some(Self { packed, says })
    }
}
