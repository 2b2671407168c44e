//! Messages as the HTTP broker posts them: `{"Header":{…},"Body":"<base64>"}`.

use std::borrow::Cow;
use std::fmt;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;
use serde::de::{Deserialize, Deserializer, Error as _, IgnoredAny, MapAccess, Visitor};

use super::super::Message;
use crate::error::write_go_json_string;
use crate::metadata::{Metadata, Text};

/// The header that names the topic. Go Micro's receiver reads this spelling and no other.
pub(super) const TOPIC: &str = "Micro-Topic";
/// The most pairs of a header: looking each up in what is there already grows with their square.
const PAIRS: usize = 256;
/// Go's decoder does not mind bits left over in the last character.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The post of `message`, byte for byte as Go Micro writes it: keys in order, the topic among them.
pub(super) fn encode(topic: &str, message: &Message) -> Bytes {
    let header = message
        .header
        .iter()
        .filter(|(key, _)| !key.eq_ignore_ascii_case(TOPIC));
    let mut pairs: Vec<(&str, &str)> = header.chain([(TOPIC, topic)]).collect();
    pairs.sort_unstable();
    let mut out = String::with_capacity(64 * pairs.len() + message.body.len() / 3 * 4 + 32);
    out.push_str("{\"Header\":{");
    for (number, (key, value)) in pairs.into_iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        write_go_json_string(key, &mut out);
        out.push(':');
        write_go_json_string(value, &mut out);
    }
    out.push_str("},\"Body\":\"");
    BASE64.encode_string(&message.body, &mut out);
    out.push_str("\"}");
    out.into()
}

/// A message that came.
#[derive(Debug)]
pub(super) struct Posted {
    /// The value of exactly `Micro-Topic`; empty where that is missing.
    pub(super) topic: Text,
    /// The message.
    pub(super) message: Message,
}

/// Reads a post; keys of the outer object in any case, unknown ones and `null` as Go does.
///
/// # Errors
/// What is wrong with it, in Go's words where they are known.
pub(super) fn decode(body: &[u8]) -> Result<Posted, String> {
    match serde_json::from_slice::<Option<Posted>>(body) {
        Ok(Some(posted)) => Ok(posted),
        Ok(None) => Ok(Posted::default()),
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(error) => {
            let words = error.to_string();
            // Go does not tell where.
            let what = words
                .rsplit_once(" at line ")
                .map_or(&*words, |(what, _)| what);
            Err(what.to_owned())
        }
    }
}

impl Default for Posted {
    fn default() -> Self {
        Self {
            topic: "".into(),
            message: Message::default(),
        }
    }
}

impl<'de> Deserialize<'de> for Posted {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(PostedVisitor)
    }
}

struct PostedVisitor;

impl<'de> Visitor<'de> for PostedVisitor {
    type Value = Posted;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a message")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Posted, M::Error> {
        let mut posted = Posted::default();
        while let Some(Word(key)) = map.next_key()? {
            if key.eq_ignore_ascii_case("header") {
                if let Some(Header(header, topic)) = map.next_value()? {
                    posted.message.header = header;
                    posted.topic = topic;
                }
            } else if key.eq_ignore_ascii_case("body") {
                let body: Option<Word<'de>> = map.next_value()?;
                posted.message.body = match body {
                    Some(Word(text)) => from_base64(&text).map_err(M::Error::custom)?,
                    None => Bytes::new(),
                };
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(posted)
    }
}

/// A header, and the topic that it names.
struct Header(Metadata, Text);

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Header, M::Error> {
        let mut header = Metadata::new();
        let mut topic: Option<Text> = None;
        let mut pairs = 0;
        while let Some(Word(key)) = map.next_key()? {
            pairs += 1;
            if pairs > PAIRS {
                return Err(M::Error::custom(format_args!(
                    "more than {PAIRS} pairs in the header"
                )));
            }
            let value: Option<Word<'de>> = map.next_value()?;
            let value = Text::from(
                value
                    .map(|Word(text)| text.into_owned())
                    .unwrap_or_default(),
            );
            if key == TOPIC {
                topic = Some(value);
            } else {
                header.set(key.into_owned(), value);
            }
        }
        // Last, so that another spelling does not take its place.
        if let Some(topic) = &topic {
            header.set(TOPIC, topic.clone());
        }
        Ok(Header(header, topic.unwrap_or_default()))
    }
}

/// Text, borrowed where it has no escapes.
struct Word<'de>(Cow<'de, str>);

impl<'de> Deserialize<'de> for Word<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_str(WordVisitor)
    }
}

struct WordVisitor;

impl<'de> Visitor<'de> for WordVisitor {
    type Value = Word<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Word<'de>, E> {
        Ok(Word(Cow::Owned(text.to_owned())))
    }
}

/// Go's decoder passes over line ends.
fn from_base64(text: &str) -> Result<Bytes, String> {
    let text = match text.contains(['\r', '\n']) {
        true => Cow::Owned(text.replace(['\r', '\n'], "")),
        false => Cow::Borrowed(text),
    };
    match BASE64.decode(&*text) {
        Ok(body) => Ok(body.into()),
        Err(base64::DecodeError::InvalidByte(at, _)) => {
            Err(format!("illegal base64 data at input byte {at}"))
        }
        Err(error) => Err(format!("illegal base64 data: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(pairs: &[(&'static str, &'static str)]) -> Metadata {
        pairs.iter().copied().collect()
    }

    #[test]
    fn what_is_written_is_read_again_and_keys_stand_in_order() {
        let message = Message {
            header: header(&[("micro-topic", "other"), ("b", "<&>"), ("A", "\u{1}é\"")]),
            body: Bytes::from_static(&[0, 255, 254]),
        };
        let bytes = encode("t", &message);
        assert_eq!(
            bytes,
            r#"{"Header":{"A":"\u0001é\"","Micro-Topic":"t","b":"\u003c\u0026\u003e"},"Body":"AP/+"}"#
        );
        let read = decode(&bytes).unwrap();
        assert_eq!(read.topic, "t");
        assert_eq!(read.message.body, message.body);
        assert_eq!(
            read.message.header,
            header(&[("A", "\u{1}é\""), ("b", "<&>"), ("Micro-Topic", "t")])
        );
    }

    #[test]
    fn what_go_reads_is_read() {
        for text in [
            r#"{"Header":{"Micro-Topic":"t"},"Body":"aGk="}"#,
            r#"{"body":"aGk=","HEADER":{"Micro-Topic":"t"},"x":[1,{"y":null}]}"#,
            r#" {"Header":{"micro-topic":"u","Micro-Topic":"t"},"Body":"a\nG\r\nk="} "#,
            r#"{"Header":{"Micro-Topic":"t","MICRO-TOPIC":"u"},"Body":"aGl="}"#,
            r#"{"Body":"eA==","Body":"\u0061Gk=","Header":null,"Header":{"Micro-Topic":"t"}}"#,
        ] {
            let read = decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (&*read.topic, &*read.message.body),
                ("t", &b"hi"[..]),
                "{text}"
            );
            assert_eq!(read.message.header.get(TOPIC), Some("t"), "{text}");
        }
        for text in [
            "null",
            "{}",
            r#"{"Header":null,"Body":null}"#,
            r#"{"Header":{"micro-topic":"t"}}"#,
        ] {
            let read = decode(text.as_bytes()).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(
                (&*read.topic, &*read.message.body),
                ("", &b""[..]),
                "{text}"
            );
        }
        let read = decode(br#"{"Header":{"Micro-Topic":"t","X":null}}"#).unwrap();
        assert_eq!(read.message.header.get("x"), Some(""));
    }

    #[test]
    fn what_go_refuses_is_refused() {
        for (text, words) in [
            ("", "unexpected end of JSON input"),
            (r#"{"Header":{"Micro-To"#, "unexpected end of JSON input"),
            ("id=1&x=2", "expected"),
            ("[]", "invalid type"),
            ("7", "invalid type"),
            (r#"{"Header":[]}"#, "invalid type"),
            (r#"{"Header":{"a":1}}"#, "invalid type"),
            (r#"{"Body":1}"#, "invalid type"),
            (r#"{"Body":"a*b="}"#, "illegal base64 data at input byte 1"),
            (r#"{"Body":"aGk"}"#, "illegal base64 data"),
            (r#"{"Body":"aG-_"}"#, "illegal base64 data at input byte 2"),
            (r#"{"Body":"aGk="} x"#, "trailing characters"),
        ] {
            let error = decode(text.as_bytes()).expect_err(text);
            assert!(error.contains(words), "{text}: {error}");
        }
        let many: Vec<_> = (0..=PAIRS).map(|n| format!("\"{n}\":\"\"")).collect();
        let many = format!("{{\"Header\":{{{}}}}}", many.join(","));
        assert!(
            decode(many.as_bytes())
                .unwrap_err()
                .contains("more than 256")
        );
        let deep = "[".repeat(100_000);
        assert!(decode(format!("{{\"x\":{deep}").as_bytes()).is_err());
    }
}
