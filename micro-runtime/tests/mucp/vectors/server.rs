//! What our server answers to the captured requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use micro_runtime::codegen::prost::Message as _;

use super::{From, Ledger};
use crate::capture::{Message, cut, cut_all, names, read};
use crate::generated::greeter::EchoResponse;
use crate::harness::{Server, Setup};

pub async fn compare_all() -> BTreeSet<&'static str> {
    let ledger = Ledger::default();
    let server = Setup::default().serve().await;
    for name in names() {
        let go = cut_all(&read(&format!("{name}.s2c.bin")));
        let mut ours = Vec::new();
        for bytes in connections(&name) {
            ours.extend(cut_all(&answers(&server, &name, &bytes).await));
        }
        // The second try's reply is the one that was recorded.
        if name == "unary_timeout_retry" {
            ours.remove(0);
        }
        ledger.compare(From::Server, &name, &go, &ours);
    }
    ledger.close()
}

/// The bytes of each connection of a capture.
fn connections(name: &str) -> Vec<Vec<u8>> {
    let bytes = read(&format!("{name}.c2s.bin"));
    if !matches!(name, "error_closes_connection" | "unary_timeout_retry") {
        return vec![bytes];
    }
    let (_, length) = cut(&bytes).unwrap();
    vec![bytes[..length].to_vec(), bytes[length..].to_vec()]
}

/// What comes back; as long as the recorded caller waited.
async fn answers(server: &Server, name: &str, bytes: &[u8]) -> Vec<u8> {
    let mut raw = server.dial().await;
    raw.send(bytes).await;
    let patience = match name {
        "unary_ctx_deadline" => Duration::from_millis(300),
        _ => Duration::from_secs(5),
    };
    let (read, closed) = raw.read_for(patience).await;
    assert_eq!(closed, name == "conn_close", "{name}");
    read
}

/// Whether two replies of `Echo` say the same, but for addresses and the time that has passed.
pub fn same_echo(go: &Message, ours: &Message) -> bool {
    let read = |message: &Message| -> Option<(BTreeMap<String, String>, bool)> {
        let json = message.get("Content-Type")?.contains("json");
        let (metadata, deadline) = if json {
            let value: serde_json::Value = serde_json::from_slice(&message.body).ok()?;
            let metadata = value["metadata"].as_object()?;
            let text = |(key, value): (&String, &serde_json::Value)| {
                Some((key.clone(), value.as_str()?.to_owned()))
            };
            let metadata: Option<BTreeMap<_, _>> = metadata.iter().map(text).collect();
            (metadata?, value["deadline_ns"].as_i64())
        } else {
            let echo = EchoResponse::decode(&*message.body).ok()?;
            (echo.metadata.into_iter().collect(), Some(echo.deadline_ns))
        };
        let mut metadata = metadata;
        for changing in ["Local", "Remote"] {
            metadata.remove(changing)?;
        }
        Some((metadata, deadline.is_some_and(|left| left > 0)))
    };
    read(go).is_some() && read(go) == read(ours)
}
