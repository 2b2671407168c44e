//! What we send for what Go sends, field by field.
//!
//! Where we differ on purpose, `DIFFERENCES` says so, and `docs/WIRE.md` says why; any other
//! difference fails, and so does a row that is not needed any more.

mod client;
mod probes;
mod server;

use std::cell::RefCell;
use std::collections::BTreeSet;

use crate::capture::Message;

/// Who sent what is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Client,
    Server,
}

/// One field in which our bytes are not Go's.
#[derive(Clone, Debug, PartialEq)]
pub enum Gap {
    /// Go sends this header, we do not.
    Missing { name: String, value: String },
    /// We send this header, Go does not.
    Extra { name: String, value: String },
    /// Both send it, with other values.
    Changed {
        name: String,
        go: String,
        ours: String,
    },
    /// The bodies differ.
    Body { go: Vec<u8>, ours: Vec<u8> },
    /// One of the start lines.
    Start { go: String, ours: String },
    /// We send a message more.
    More(Message),
    /// We send a message less.
    Less(Message),
    /// How the connection is left.
    Closed { go: bool, ours: bool },
    /// How many connections are made.
    Connections { go: usize, ours: usize },
}

/// A difference on purpose: its name in `docs/WIRE.md`, and which gaps it explains.
type Difference = (&'static str, fn(From, &str, &Gap) -> bool);

const DIFFERENCES: &[Difference] = &[
    ("user-agent", |from, _, gap| {
        from == From::Client && changed(gap, "User-Agent", "micro-rust/")
    }),
    ("unary-stream-id", |from, _, gap| {
        from == From::Client && extra(gap, "Micro-Stream", "")
    }),
    ("stream-ends", |from, _, gap| {
        let id = &client::stream();
        let asks = extra(gap, "Micro-Stream-Ends", id) || changed(gap, "Micro-Stream", id);
        from == From::Client && asks
    }),
    ("remaining-time", |from, case, gap| {
        from == From::Client && case == "unary_ctx_deadline" && changed(gap, "Timeout", "300000000")
    }),
    ("no-error-in-metadata", |from, case, gap| {
        from == From::Client && case == "metadata_odd" && missing(gap, "Micro-Error")
    }),
    ("connection-kept", |from, case, gap| {
        from == From::Client
            && case == "error_closes_connection"
            && matches!(gap, Gap::Connections { go: 2, ours: 1 })
    }),
    ("no-echo", |from, case, gap| {
        const KEPT: [&str; 6] = [
            "Content-Type",
            "Micro-Endpoint",
            "Micro-Id",
            "Micro-Method",
            "Micro-Service",
            "Micro-Stream",
        ];
        const OWN: [&str; 3] = ["Connection", "X-Micro-Error", "X-Micro-Id"];
        from == From::Server
            && matches!(gap, Gap::Missing { name, value } if
                (value.is_empty() || !KEPT.contains(&&**name))
                    && !OWN.contains(&&**name)
                    && !name.starts_with("Grpc-")
                    && (name != "Micro-Error" || case == "metadata_odd"))
    }),
    ("own-id", |from, case, gap| {
        let many = case == "keepalive_three_unary"
            || case.starts_with("pipelined")
            || case.starts_with("two streams");
        from == From::Server
            && many
            && (changed(gap, "Micro-Id", "") || changed(gap, "Micro-Stream", ""))
    }),
    ("envelope-id", |from, _, gap| {
        from == From::Server && (missing(gap, "X-Micro-Id") || missing(gap, "Micro-Id"))
    }),
    ("always-ended", |from, _, gap| {
        from == From::Server && more(gap, "Micro-Error", "EOS")
    }),
    ("panic-answered", |from, case, gap| {
        let words = "{\"id\":\"go.micro.server\",\"code\":500,\"detail\":\"panic recovered: boo\"";
        from == From::Server && case == "unary_panic" && more(gap, "Micro-Error", words)
    }),
    ("deadline-answered", |from, case, gap| {
        const WORDS: &str = "{\"id\":\"go.micro.server\",\"code\":408,";
        let late = case == "unary_timeout_retry"
            && (changed(gap, "Micro-Error", WORDS) || changed(gap, "X-Micro-Error", WORDS));
        let expired = case.starts_with("small timeout") && (added_error(gap, WORDS) || body(gap));
        from == From::Server && (late || expired)
    }),
    ("json-rpc-error-id", |from, case, gap| {
        let named = |go: &[u8], ours: &[u8]| {
            let go = String::from_utf8_lossy(go).replace("\"id\":\"\"", "\"id\":\"0\"");
            go.as_bytes() == ours
        };
        from == From::Server
            && case == "json_rpc_error"
            && matches!(gap, Gap::Body { go, ours } if named(go, ours))
    }),
    ("bytes-errors-answered", |from, case, gap| {
        let words = "application/octet-stream carries only a Frame";
        from == From::Server
            && case == "octet-stream"
            && matches!(gap, Gap::More(more) if more.get("Micro-Error").unwrap().contains(words))
    }),
    ("x-names", |from, case, gap| {
        from == From::Server
            && case.starts_with("X-Micro-Endpoint+X-Micro-Method")
            && lost_error(gap)
    }),
    ("unknown-json-fields", |from, case, gap| {
        from == From::Server && case == "json unknown field" && lost_error(gap)
    }),
    ("get-without-side-effects", |from, case, gap| {
        let words = "{\"id\":\"go.micro.server\",\"code\":405,";
        from == From::Server && case == "GET /" && (added_error(gap, words) || body(gap))
    }),
    ("no-redirect", |from, case, gap| {
        let served = match gap {
            Gap::Start { go, ours } => go.contains(" 307 ") && ours.contains(" 200 "),
            Gap::Missing { name, .. } => name == "Location",
            Gap::Extra { name, .. } => name == "Content-Type" || name.starts_with("Micro-"),
            Gap::Body { .. } => true,
            _ => false,
        };
        from == From::Server && case.starts_with("path //x") && served
    }),
    ("http-1.0-closes", |from, case, gap| {
        let closed = Gap::Closed {
            go: false,
            ours: true,
        };
        from == From::Server
            && case == "HTTP/1.0"
            && (extra(gap, "Connection", "close") || *gap == closed)
    }),
    ("refusals-in-words", |from, case, gap| {
        from == From::Server
            && (case == "no Host on 1.1" || case == "malformed http")
            && (body(gap)
                || matches!(gap, Gap::Start { ours, .. } if ours == "HTTP/1.1 400 Bad Request"))
    }),
    ("no-continue", |from, case, gap| {
        from == From::Server
            && case == "expect 100-continue"
            && matches!(gap, Gap::Less(less) if less.start == "HTTP/1.1 100 Continue")
    }),
    ("pipelined-in-order", |from, case, gap| {
        from == From::Server
            && (case.starts_with("pipelined: Sleep") || case.starts_with("sequential"))
            && more(gap, "Micro-Id", "2")
    }),
    ("stream-needs-id", |from, case, gap| {
        let words = "{\"id\":\"go.micro.server\",\"code\":400,";
        from == From::Server
            && case.starts_with("stream endpoint called without")
            && more(gap, "Micro-Error", words)
    }),
    ("events-without-subscribers", |from, case, gap| {
        from == From::Server && case == "Micro-Topic bad body" && missing(gap, "Micro-Error")
    }),
];

fn missing(gap: &Gap, which: &str) -> bool {
    matches!(gap, Gap::Missing { name, .. } if name == which)
}

fn extra(gap: &Gap, which: &str, begin: &str) -> bool {
    matches!(gap, Gap::Extra { name, value } if name == which && value.starts_with(begin))
}

fn changed(gap: &Gap, which: &str, begin: &str) -> bool {
    matches!(gap, Gap::Changed { name, ours, .. } if name == which && ours.starts_with(begin))
}

fn more(gap: &Gap, name: &str, begin: &str) -> bool {
    matches!(gap, Gap::More(more) if more.get(name).is_some_and(|value| value.starts_with(begin)))
}

fn body(gap: &Gap) -> bool {
    matches!(gap, Gap::Body { .. })
}

fn added_error(gap: &Gap, begin: &str) -> bool {
    extra(gap, "Micro-Error", begin) || extra(gap, "X-Micro-Error", begin)
}

fn lost_error(gap: &Gap) -> bool {
    missing(gap, "Micro-Error") || missing(gap, "X-Micro-Error") || body(gap)
}

/// Gaps of one side, each explained or reported.
#[derive(Default)]
pub struct Ledger {
    used: RefCell<BTreeSet<&'static str>>,
    wrong: RefCell<Vec<String>>,
}

impl Ledger {
    pub fn note(&self, from: From, case: &str, gap: Gap) {
        let explained: Vec<_> = DIFFERENCES
            .iter()
            .filter(|(_, explains)| explains(from, case, &gap))
            .map(|(name, _)| *name)
            .collect();
        if explained.is_empty() {
            self.wrong
                .borrow_mut()
                .push(format!("{case}, {from:?}: {gap:?}"));
        }
        self.used.borrow_mut().extend(explained);
    }

    /// Compares what we sent with what Go sent.
    pub fn compare(&self, from: From, case: &str, go: &[Message], ours: &[Message]) {
        for (go, ours) in go.iter().zip(ours) {
            self.compare_one(from, case, go, ours);
        }
        for more in ours.iter().skip(go.len()) {
            self.note(from, case, Gap::More(more.clone()));
        }
        for less in go.iter().skip(ours.len()) {
            self.note(from, case, Gap::Less(less.clone()));
        }
    }

    fn compare_one(&self, from: From, case: &str, go: &Message, ours: &Message) {
        let note = |gap| self.note(from, case, gap);
        if go.start != ours.start {
            note(Gap::Start {
                go: go.start.clone(),
                ours: ours.start.clone(),
            });
        }
        // How a body is framed is compared apart from its length, which follows from it.
        let framing = |name: &str| matches!(name, "Content-Length" | "Transfer-Encoding" | "Date");
        if from == From::Client {
            assert_eq!(go.chunked, ours.chunked, "{case}");
        }
        for (name, value) in go.headers.iter().filter(|(name, _)| !framing(name)) {
            let (name, value) = (name.clone(), value.clone());
            match ours.get(&name) {
                None => note(Gap::Missing { name, value }),
                Some(ours) if ours != value => {
                    let ours = ours.to_owned();
                    note(Gap::Changed {
                        name,
                        go: value,
                        ours,
                    });
                }
                Some(_) => {}
            }
        }
        for (name, value) in ours.headers.iter().filter(|(name, _)| !framing(name)) {
            if go.get(name).is_none() {
                let (name, value) = (name.clone(), value.clone());
                note(Gap::Extra { name, value });
            }
        }
        if !same_body(go, ours) {
            note(Gap::Body {
                go: go.body.clone(),
                ours: ours.body.clone(),
            });
        }
    }

    /// Fails on what no difference explains; gives the names of those that were needed.
    pub fn close(self) -> BTreeSet<&'static str> {
        let wrong = self.wrong.into_inner();
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        self.used.into_inner()
    }
}

/// Byte for byte, JSON by value; of an `Echo` the maps, without what differs from run to run.
fn same_body(go: &Message, ours: &Message) -> bool {
    let endpoint = go.get("Micro-Endpoint").unwrap_or_default();
    if go.start.starts_with("HTTP") && endpoint == "Greeter.Echo" {
        return server::same_echo(go, ours);
    }
    if go.body == ours.body {
        return true;
    }
    let json = go
        .get("Content-Type")
        .is_some_and(|content_type| content_type.contains("json"));
    let value = |body: &[u8]| serde_json::from_slice::<serde_json::Value>(body).ok();
    json && value(&go.body).is_some()
        && value(&go.body) == value(&ours.body)
        && go.body.ends_with(b"\n") == ours.body.ends_with(b"\n")
}

#[tokio::test(start_paused = true)]
async fn only_the_listed_differences_to_go_are_there() {
    let mut used = client::compare_all().await;
    used.extend(server::compare_all().await);
    used.extend(probes::compare_all().await);
    let known: BTreeSet<_> = DIFFERENCES.iter().map(|(name, _)| *name).collect();
    assert_eq!(used, known, "rows that no capture needs");

    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/WIRE.md"));
    let page = page.unwrap();
    let section = page
        .split("## mucp: deliberate differences")
        .nth(1)
        .and_then(|rest| rest.split("\n## ").next())
        .unwrap();
    let written: BTreeSet<_> = section
        .split("### Seen in the captures")
        .nth(1)
        .and_then(|rest| rest.split("\n### ").next())
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(written, known, "docs/WIRE.md and DIFFERENCES");
}
