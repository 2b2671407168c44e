//! Mutated documents: the reader must not panic, must not swell, and must say what is wrong.

use std::collections::BTreeMap;

use micro_runtime::codec::{JsonCodec, Payload};
use prost::Message;

use super::generated::forms::Odd;
use super::generated::kitchen::Dish;
use super::go::recipes;
use super::random::Choices;
use super::support::{CANONICAL, GO, ORIGINAL, pool, types, write};

/// What each kind of error says.
const KINDS: [(&str, &str); 14] = [
    ("empty", "EOF"),
    ("truncated", "unexpected EOF"),
    ("syntax", "invalid character"),
    ("utf-8", "invalid UTF-8 in JSON"),
    ("deep", "exceeded max depth"),
    ("range", "json: cannot unmarshal number "),
    ("mismatch", "json: cannot unmarshal "),
    ("enum", "unknown value "),
    ("key", "json: invalid map key "),
    ("base64", "illegal base64 data"),
    ("timestamp", "google.protobuf.Timestamp: "),
    ("duration", "google.protobuf.Duration: "),
    ("mask", "google.protobuf.FieldMask: "),
    ("any", "google.protobuf.Any: "),
];

/// What mutations put in: what JSON is made of, and what readers trip over.
const WORDS: [&str; 34] = [
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\"",
    "\\",
    "\\u",
    "\\ud83d",
    "null",
    "true",
    "false",
    "0",
    "-",
    "1e999",
    "1.5",
    "99999999999",
    "\"NaN\"",
    "\"\"",
    "{}",
    "[]",
    "\"a\":1,",
    "\"Choice\":{",
    "\"@type\":",
    "\"value\":",
    "\"timestamp\":\"x\",",
    "\"duration\":\"9s9\",",
    "\"fieldMask\":\"a_b\",",
    "\"color\":\"PINK\",",
    "\"aBytes\":\"*\",",
    "\"int32StringMap\":{\"x\":\"\"},",
    "\"any\":{\"a\":1},",
    " ",
];

/// Xorshift: the same mutations in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    fn mutate(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut text = seeds[self.below(seeds.len())].clone();
        for _ in 0..self.below(4) {
            let at = self.below(text.len() + 1);
            let end = (at + self.below(12)).min(text.len());
            match self.below(16) {
                0 => text.truncate(at),
                1 => drop(text.drain(at..end)),
                2 => {
                    let copy = text[at..end].to_vec();
                    text.splice(at..at, copy);
                }
                3 => {
                    let other = &seeds[self.below(seeds.len())];
                    let from = self.below(other.len());
                    let to = (from + self.below(40)).min(other.len());
                    let part = other[from..to].to_vec();
                    text.splice(at..end, part);
                }
                4 => {
                    let deep = [&b"["[..], b"{\"a\":"][self.below(2)].repeat(self.below(300));
                    text.splice(at..at, deep);
                }
                5 | 6 => {
                    if let Some(byte) = text.get_mut(at) {
                        *byte = u8::try_from(self.below(256)).unwrap();
                    }
                }
                // A member of the outermost object: most of these are documents still.
                7..=11 => {
                    let word = WORDS[self.below(WORDS.len())].as_bytes();
                    let at = 1.min(text.len());
                    text.splice(at..at, word.iter().copied());
                }
                12 | 13 => {
                    let digits: Vec<_> = (0..text.len())
                        .filter(|at| text[*at].is_ascii_digit())
                        .collect();
                    if let Some(at) = digits.get(self.below(digits.len())) {
                        text[*at] = b"0123456789.eE-x"[self.below(15)];
                    }
                }
                _ => {
                    let word = WORDS[self.below(WORDS.len())].as_bytes();
                    text.splice(at..at, word.iter().copied());
                }
            }
        }
        text
    }
}

/// Documents that are read, in all dialects.
fn seeds() -> Vec<Vec<u8>> {
    let dishes = recipes()
        .into_iter()
        .filter(|recipe| recipe.name != "recursive");
    let mut messages: Vec<Box<dyn Payload>> = Vec::new();
    for recipe in dishes {
        messages.push(Box::new(recipe.dish));
    }
    let mut random = Random(7);
    for _ in 0..20 {
        let bytes: Vec<u8> = (0..400)
            .map(|_| u8::try_from(random.below(256)).unwrap())
            .collect();
        let descriptor = pool().get_message_by_name("forms.Odd").unwrap();
        let odd = Choices::new(&bytes).message(&descriptor, 3).encode_to_vec();
        messages.push(Box::new(Odd::decode(&*odd).unwrap()));
    }
    let codecs = [ORIGINAL, GO, CANONICAL].map(|codec| codec.with_types(types()));
    (messages.iter())
        .flat_map(|message| {
            codecs
                .iter()
                .filter_map(|codec| write(codec, &**message).ok())
        })
        .map(String::into_bytes)
        .collect()
}

/// Reads `json`, and what was read once more; the error otherwise.
fn check<M: Payload + Message + Default>(codec: &JsonCodec, json: &[u8]) -> Result<(), String> {
    let read = |json: Vec<u8>| micro_runtime::codec::decode::<M>(codec, json.into());
    let message = read(json.to_vec()).map_err(|error| error.detail().to_owned())?;
    // A message takes no more room than its document asks for.
    assert!(
        message.encoded_len() <= json.len() * 8,
        "{}",
        String::from_utf8_lossy(json)
    );
    // A time out of range or an odd path may stand in an object of fields, as it may in protobuf.
    let again = match write(codec, &message) {
        Ok(again) => again,
        Err(error) if error.detail().starts_with("google.protobuf.") => return Ok(()),
        Err(error) => panic!("{error}: {}", String::from_utf8_lossy(json)),
    };
    let back = read(again.clone().into_bytes()).unwrap();
    assert_eq!(write(codec, &back).unwrap(), again);
    Ok(())
}

#[test]
fn mutated_documents_are_read_or_refused_in_words() {
    const ROUNDS: usize = 80_000;
    let seeds = seeds();
    let mut random = Random(0x5eed);
    let codec = CANONICAL.with_types(types()).for_client();
    let mut refused = BTreeMap::new();
    let mut accepted = 0;
    for round in 0..ROUNDS {
        let json = random.mutate(&seeds);
        let outcome = match round % 4 {
            0 => check::<Odd>(&codec, &json),
            _ => check::<Dish>(&codec, &json),
        };
        match outcome {
            Ok(()) => accepted += 1,
            Err(text) => {
                let kind = KINDS.iter().find(|(_, start)| text.starts_with(start));
                let (kind, _) = kind.unwrap_or_else(|| panic!("what is this? {text}"));
                *refused.entry(*kind).or_insert(0) += 1;
            }
        }
    }
    assert!(
        accepted * 5 >= ROUNDS,
        "only {accepted} of {ROUNDS} were read: {refused:?}"
    );
    for (kind, _) in KINDS {
        assert!(refused.contains_key(kind), "never {kind}: {refused:?}");
    }
}
