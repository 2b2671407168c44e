//! What Go Micro puts into a node's text record: JSON with capital keys, packed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::registry::packed::{pack, unpack};
use crate::registry::{Endpoint, Node, Service};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Written<'a> {
    metadata: Option<&'a BTreeMap<String, String>>,
    service: &'a str,
    version: &'a str,
    endpoints: Option<&'a [Endpoint]>,
}

/// Go reads keys in either case.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Read {
    #[serde(rename = "Metadata", alias = "metadata")]
    metadata: Option<BTreeMap<String, String>>,
    #[serde(rename = "Service", alias = "service")]
    service: Option<String>,
    #[serde(rename = "Version", alias = "version")]
    version: Option<String>,
    #[serde(rename = "Endpoints", alias = "endpoints")]
    endpoints: Option<Vec<Endpoint>>,
}

/// How many objects and lists a text may have: an endpoint with its messages' fields is some ten.
const MAX_OBJECTS: usize = 32 * 1024;
/// About how much memory one takes, and half a string, beside its text.
const OBJECT: usize = size_of::<Endpoint>();
const QUOTE: usize = 32;

/// What a text record says.
#[derive(Debug, PartialEq)]
pub(super) struct Text {
    /// The service without nodes.
    pub(super) service: Service,
    /// The node's metadata.
    pub(super) metadata: BTreeMap<String, String>,
    /// About how much memory it takes.
    pub(super) size: usize,
}

/// The text of `node`.
pub(super) fn write(service: &Service, node: &Node) -> Vec<u8> {
    let written = Written {
        metadata: Some(&node.metadata).filter(|metadata| !metadata.is_empty()),
        service: &service.name,
        version: &service.version,
        endpoints: Some(&*service.endpoints).filter(|endpoints| !endpoints.is_empty()),
    };
    // Strings, lists and maps with keys of text: nothing that JSON could not hold.
    let json = serde_json::to_vec(&written).unwrap_or_default();
    pack(&json).into_bytes()
}

/// Reads a text record; `None` where it is none of a node.
pub(super) fn read(text: &[u8]) -> Option<Text> {
    let json = unpack(text)?;
    let count = |wanted: u8| json.iter().filter(|byte| **byte == wanted).count();
    // Three bytes of text can become two hundred of memory; lists are read as objects too.
    let objects = count(b'{') + count(b'[');
    if objects > MAX_OBJECTS {
        return None;
    }
    let read: Read = serde_json::from_slice(&json).ok()?;
    let mut service = Service::new(read.service?, read.version.unwrap_or_default());
    service.endpoints = read.endpoints.unwrap_or_default();
    Some(Text {
        service,
        metadata: read.metadata.unwrap_or_default(),
        size: json.len() + OBJECT * objects + QUOTE * count(b'"'),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut service = Service::new("greeter", "1.0_é");
        service.endpoints.push(Endpoint {
            name: "Say.Hello".into(),
            ..Endpoint::default()
        });
        let mut node = Node::new("greeter-1", "127.0.0.1:1");
        node.metadata.insert("region".into(), "eu".into());
        let text = read(&write(&service, &node)).expect("a text");
        assert_eq!((text.service, text.metadata), (service, node.metadata));
    }

    #[test]
    fn nothing_is_written_as_null_and_keys_are_capital() {
        let written = write(&Service::new("a", ""), &Node::new("a-1", ""));
        let json = unpack(&written).expect("packed");
        assert_eq!(
            str::from_utf8(&json),
            Ok(r#"{"Metadata":null,"Service":"a","Version":"","Endpoints":null}"#)
        );
    }

    #[test]
    fn null_missing_and_unknown_keys_are_fine_and_other_text_is_not() {
        let packed = |json: &str| pack(json.as_bytes()).into_bytes();
        let text = read(&packed(r#"{"service":"a","Version":null,"X":[1]}"#)).expect("a text");
        assert_eq!(text.service, Service::new("a", ""));
        for wrong in [
            "",
            "[]",
            "{}",
            r#"{"Service":7}"#,
            "{",
            r#"{"Service":"a"} {}"#,
        ] {
            assert_eq!(read(&packed(wrong)), None, "{wrong}");
        }
        assert_eq!(read(b"plain=text"), None);
        assert_eq!(read(&packed(&"[".repeat(100_000))), None);
    }

    #[test]
    fn little_text_that_takes_much_memory_is_refused() {
        for one in ["{}", "[]"] {
            let text = |count: usize| {
                let endpoints = vec![one; count].join(",");
                let json = format!(r#"{{"Service":"a","Endpoints":[{endpoints}]}}"#);
                read(&pack(json.as_bytes()).into_bytes())
            };
            let few = text(1000).expect("a text");
            assert!(few.size >= 1000 * size_of::<Endpoint>(), "{}", few.size);
            assert_eq!(text(300_000), None, "{one}");
        }
    }
}
