//! What nodes tell in Consul's tags, in Go Micro's form.
//!
//! A tag is `t-` (one entry of the metadata), `e-` (an endpoint) or `v-` (the version) and packed
//! text. Old services write `t=`, `e=`, `v=` and plain text. Other programs put their own tags
//! beside these.

use std::collections::BTreeMap;

use crate::registry::Endpoint;
use crate::registry::packed::{MAX_UNPACKED, pack, unpack};

/// About how much memory the tags of an answer may take: endpoints, of which a large fleet tells a
/// great deal, and all others, which nodes cannot be called without.
const ENDPOINTS: usize = 256 << 20;
const OTHERS: usize = 32 << 20;
/// About how much memory an object or a list takes, and half a string, beside its text.
const OBJECT: usize = size_of::<Endpoint>();
const QUOTE: usize = 32;
/// How much longer than its hex a text can be, at most.
const MAX_RATIO: usize = 516;

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
#[derive(Debug)]
pub(super) struct Reader<'a> {
    known: BTreeMap<&'a str, Option<Tag>>,
    room: Room,
}

impl Default for Reader<'_> {
    fn default() -> Self {
        Self {
            known: BTreeMap::new(),
            room: Room {
                endpoints: ENDPOINTS,
                others: OTHERS,
                told: false,
            },
        }
    }
}

/// What the tags of an answer may still take.
#[derive(Debug)]
struct Room {
    endpoints: usize,
    others: usize,
    /// Whether it was said that there is not enough.
    told: bool,
}

impl Room {
    /// Takes `size` for a tag, where there is as much.
    fn take(&mut self, endpoint: bool, size: usize) -> bool {
        let left = self.of(endpoint);
        if let Some(less) = left.checked_sub(size) {
            *left = less;
            return true;
        }
        if !self.told {
            self.told = true;
            tracing::debug!("Consul's tags take too much memory to read all");
        }
        false
    }

    /// Takes `size` for what was done, even where there is less.
    fn spend(&mut self, endpoint: bool, size: usize) {
        let left = self.of(endpoint);
        *left = left.saturating_sub(size);
    }

    fn of(&mut self, endpoint: bool) -> &mut usize {
        match endpoint {
            true => &mut self.endpoints,
            false => &mut self.others,
        }
    }
}

/// A tag that was understood.
#[derive(Clone, Debug)]
struct Tag {
    packed: bool,
    /// About how much memory it takes.
    size: usize,
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
    /// plain ones that kind counts which is seen first; the first version counts. What is too much for an
    /// answer is passed over, too.
    pub(super) fn read(&mut self, tags: impl IntoIterator<Item = &'a str>) -> Told {
        let mut told = Told::default();
        let (mut metadata, mut endpoints, mut version) = (None, None, false);
        for text in tags {
            let room = &mut self.room;
            let tag = self.known.entry(text);
            let Some(tag) = tag.or_insert_with(|| Tag::read(text, room)) else {
                continue;
            };
            // Each node gets a copy.
            if !room.take(matches!(tag.says, Says::Endpoint(_)), tag.size) {
                continue;
            }
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
    fn read(text: &str, room: &mut Room) -> Option<Self> {
        let (kind, rest) = text.split_at_checked(1)?;
        let endpoint = match kind {
            "e" => true,
            "t" | "v" => false,
            _ => return None,
        };
        // What it unpacks to counts even where it says nothing: unpacking takes time.
        let (packed, plain) = match rest.split_at_checked(1)? {
            ("-", _) if !room.take(endpoint, 1) => return None,
            ("-", rest) => {
                let plain = unpack(rest.as_bytes());
                let most = (rest.len() * MAX_RATIO).min(MAX_UNPACKED);
                room.spend(endpoint, plain.as_ref().map_or(most, Vec::len));
                (true, plain?)
            }
            ("=", rest) => (false, rest.as_bytes().to_vec()),
            _ => return None,
        };
        // Three bytes of text can become two hundred of memory; lists are read as objects too.
        let size = plain.iter().fold(0, |size, byte| match byte {
            b'{' | b'[' => size + OBJECT,
            b'"' => size + QUOTE,
            _ => size,
        });
        if !room.take(endpoint, size) {
            return None;
        }
        let says = match kind {
            "t" => Says::Metadata(serde_json::from_slice(&plain).ok()?),
            "e" => {
                let endpoint: Endpoint = serde_json::from_slice(&plain).ok()?;
                // Lists are read as structs too, and nameless ones are of no use.
                (!endpoint.name.is_empty()).then_some(Says::Endpoint(Box::new(endpoint)))?
            }
            "v" => Says::Version(str::from_utf8(&plain).ok()?.to_owned()),
            _ => return None,
        };
        let size = size + plain.len();
        Some(Self { packed, size, says })
    }
}
