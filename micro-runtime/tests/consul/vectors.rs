//! What is asked and told, against captures of Go Micro.
//!
//! Every registration that Go Micro sent is read through a lookup, registered again by us, and
//! compared field by field: JSON by value, tags unpacked. All differences are in docs/WIRE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::time::Duration;

use micro_runtime::registry::consul::Options;
use micro_runtime::registry::{Action, Consul, RegisterOptions, Registry, Service};
use micro_runtime::tasks::Tasks;
use serde_json::{Value, json};

use crate::agent::{Agent, Answer};

/// The rows of the table in docs/WIRE.md.
const DIFFERENCES: [&str; 5] = ["Check.Status", "Tags", "metadata", "wait", "/v1/agent/host"];

/// A question that Go Micro asked, and its answer.
struct Captured {
    file: String,
    method: String,
    target: String,
    body: String,
    response: String,
}

fn folder() -> &'static str {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/vectors/consul")
}

fn captures() -> Vec<Captured> {
    let mut files: Vec<_> = std::fs::read_dir(folder())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|file| file.ends_with(".jsonl"))
        .collect();
    files.sort();
    assert_eq!(files.len(), 12);
    let mut captures = Vec::new();
    for file in files {
        for line in std::fs::read_to_string(format!("{}/{file}", folder()))
            .unwrap()
            .lines()
        {
            let line: Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line[name].as_str().unwrap().to_owned();
            captures.push(Captured {
                file: file.clone(),
                method: text("method"),
                target: text("target"),
                body: text("body"),
                response: text("response"),
            });
        }
    }
    captures
}

/// The registrations of each file.
fn registrations() -> Vec<(String, Value)> {
    captures()
        .into_iter()
        .filter(|captured| captured.target == "/v1/agent/service/register")
        .map(|captured| (captured.file, serde_json::from_str(&captured.body).unwrap()))
        .collect()
}

/// Unpacks by another road than ours: all that comes, whether or not the stream has an end.
fn unpack(hex: &str) -> String {
    let bytes: Vec<u8> = (0..hex.len() / 2)
        .map(|at| u8::from_str_radix(&hex[at * 2..at * 2 + 2], 16).unwrap())
        .collect();
    let mut plain = Vec::new();
    let mut zlib = flate2::read::ZlibDecoder::new(&bytes[..]);
    let mut byte = [0];
    while let Ok(1) = zlib.read(&mut byte) {
        plain.push(byte[0]);
    }
    String::from_utf8(plain).unwrap()
}

/// Tags with their kind, JSON as values.
fn unpacked(body: &Value) -> Vec<(String, Value)> {
    let tags = body["Tags"].as_array().unwrap();
    tags.iter()
        .map(|tag| {
            let (kind, hex) = tag.as_str().unwrap().split_at(2);
            let plain = unpack(hex);
            let value = serde_json::from_str(&plain).ok().filter(|_| kind != "v-");
            (kind.to_owned(), value.unwrap_or(Value::String(plain)))
        })
        .collect()
}

/// `1m30s`.
fn duration(text: &str) -> Duration {
    let (minutes, rest) = text.split_once('m').unwrap_or(("0", text));
    let seconds: u64 = rest.trim_end_matches('s').parse().unwrap();
    Duration::from_secs(minutes.parse::<u64>().unwrap() * 60 + seconds)
}

/// What Consul answers to a lookup once it was told `body`.
fn entry(body: &Value) -> Value {
    json!({
        "Node": { "Address": "127.0.0.1" },
        "Service": {
            "ID": body["ID"], "Service": body["Name"], "Tags": body["Tags"],
            "Address": body["Address"], "Port": body["Port"].as_u64().unwrap_or_default(),
        },
        "Checks": [],
    })
}

/// The service that Go Micro registered, as a lookup tells it.
async fn service_of(body: &Value) -> Service {
    let entries = json!([entry(body)]).to_string();
    let agent = Agent::start(move |_| Answer::ok(entries.clone())).await;
    let name = body["Name"].as_str().unwrap();
    let mut found = agent.registry().get(name).await.unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

/// Options and TTL that lead to the check in `body`.
fn options_of(body: &Value) -> (Options, RegisterOptions) {
    let check = &body["Check"];
    let text = |name: &str| check[name].as_str();
    let mut options = Options::new();
    if body["Connect"]["Native"] == true {
        options = options.connect(true);
    }
    if let Some(url) = text("HTTP") {
        let (host, path) = url["http://".len()..].split_once('/').unwrap();
        let port = host.split_once(':').unwrap().1.parse().unwrap();
        let (interval, limit) = (text("Interval").unwrap(), text("Timeout").unwrap());
        options = options.http_check(port, path, duration(interval), duration(limit));
    } else if text("TCP").is_some() {
        options = options.tcp_check(duration(text("Interval").unwrap()));
    }
    let ttl = text("TTL").map(duration).unwrap_or_default();
    (options, RegisterOptions::with_ttl(ttl))
}

#[tokio::test]
async fn only_the_listed_differences_to_go_are_there() {
    let mut used = BTreeSet::new();
    for (file, go) in registrations() {
        let service = service_of(&go).await;
        let (options, ttl) = options_of(&go);
        let agent = Agent::willing().await;
        let registry = Consul::with(options.address(&*agent.address), &Tasks::new()).unwrap();
        registry.register(&service, ttl).await.unwrap();
        let asked = agent.asked();
        assert_eq!(asked[0].line(), "PUT /v1/agent/service/register");
        assert_eq!(asked[0].header("content-type"), Some("application/json"));
        let ours = asked[0].json();
        compare(&file, &go, &ours, &mut used);
    }
    used.extend(compare_questions().await);
    let known = BTreeSet::from(DIFFERENCES);
    assert_eq!(used, known, "rows that no capture needs");

    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/WIRE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section = page
        .split("### Consul: differences seen in the captures")
        .nth(1)
        .unwrap();
    let section = section.split("\n#").next().unwrap();
    let written: BTreeSet<_> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split('`').next())
        .collect();
    assert_eq!(written, known, "docs/WIRE.md and DIFFERENCES");
}

/// Fails on a difference that is not listed; notes those that are.
fn compare(file: &str, go: &Value, ours: &Value, used: &mut BTreeSet<&'static str>) {
    let (mut go_tags, our_tags) = (unpacked(go), unpacked(ours));
    for (_, value) in go_tags.iter_mut().filter(|(kind, _)| kind == "e-") {
        if value["metadata"].is_null() {
            value["metadata"] = json!({});
            used.insert("metadata");
        }
    }
    if go_tags != our_tags {
        used.insert("Tags");
        let sorted = |tags: &[(String, Value)]| {
            let mut tags: Vec<_> = tags
                .iter()
                .map(|(kind, value)| format!("{kind}{value}"))
                .collect();
            tags.sort();
            tags
        };
        assert_eq!(
            sorted(&go_tags),
            sorted(&our_tags),
            "{file}: tags but for their order"
        );
        let others = |tags: &[(String, Value)]| -> Vec<_> {
            tags.iter()
                .filter(|(kind, _)| kind != "t-")
                .cloned()
                .collect()
        };
        assert_eq!(
            others(&go_tags),
            others(&our_tags),
            "{file}: the order of endpoints and version"
        );
    }
    if go_tags
        .iter()
        .any(|(_, value)| value.get("protocol").is_some())
    {
        assert!(
            our_tags[0].1.get("protocol").is_some(),
            "{file}: the protocol comes first"
        );
    }
    let mut fields: BTreeSet<&String> = go.as_object().unwrap().keys().collect();
    fields.extend(ours.as_object().unwrap().keys());
    for field in fields {
        let (go, ours) = (go.get(field), ours.get(field));
        match &**field {
            "Tags" => {}
            "Check" => {
                let mut ours = ours.cloned().unwrap();
                if let Some(check) = ours.as_object_mut() {
                    assert_eq!(check.remove("Status"), Some(json!("passing")));
                    used.insert("Check.Status");
                }
                assert_eq!(go, Some(&ours), "{file}: Check");
            }
            // Go's web service writes brackets twice; we do not pass that on.
            "Address" | "Port" if go.is_some_and(|go| go == "[[fd00::2]]:43297") => {
                assert_eq!(ours, Some(&json!("fd00::2")));
            }
            "Port" if file == "web_init.jsonl" => assert_eq!(ours, Some(&json!(43297))),
            _ => assert_eq!(go, ours, "{file}: {field}"),
        }
    }
}

/// A question without names, ids and numbers.
fn shape(method: &str, target: &str) -> String {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let kinds = [
        "/v1/agent/check/pass/",
        "/v1/agent/service/deregister/",
        "/v1/health/service/",
    ];
    let path = kinds
        .into_iter()
        .find(|kind| path.starts_with(kind))
        .unwrap_or(path);
    let parameters: Vec<_> = query
        .split('&')
        .map(|part| part.split_once('=').map_or(part, |(name, _)| name))
        .collect();
    format!("{method} {path}?{}", parameters.join("&"))
}

/// Compares the kinds of questions that both ask.
async fn compare_questions() -> BTreeSet<&'static str> {
    let go: BTreeSet<_> = captures()
        .iter()
        .map(|captured| shape(&captured.method, &captured.target))
        .collect();
    let agent = Agent::start(|asked| match asked.path() {
        "/v1/catalog/services" => Answer::ok("{}"),
        _ if asked.query("index").is_some() => Answer::Status(500, 1, String::new()),
        _ => Answer::ok("[]"),
    })
    .await;
    let registry = agent.registry();
    let service = service_of(&registrations()[0].1).await;
    let ttl = RegisterOptions::with_ttl(Duration::from_secs(90));
    registry.register(&service, ttl).await.unwrap();
    registry.get(&service.name).await.unwrap_err();
    registry.list().await.unwrap();
    let mut watcher = registry.watch(Some(&service.name)).await.unwrap();
    watcher.next().await.unwrap_err();
    registry.deregister(&service).await.unwrap();
    let ours: BTreeSet<_> = agent
        .asked()
        .iter()
        .map(|asked| shape(&asked.method, &asked.target))
        .collect();
    let mut used = BTreeSet::new();
    for only in go.symmetric_difference(&ours) {
        used.insert(match &**only {
            "GET /v1/agent/host?" => "/v1/agent/host",
            "GET /v1/health/service/?index" | "GET /v1/health/service/?index&wait" => "wait",
            other => panic!("only one of both asks {other}"),
        });
    }
    used
}

#[tokio::test]
async fn a_watch_tells_the_nodes_that_go_micros_told() {
    let name = "go.micro.srv.greeter";
    let states: Vec<String> = captures()
        .into_iter()
        .filter(|captured| {
            captured.file == "watch.jsonl" && captured.target.contains("/v1/health/service/")
        })
        .map(|captured| captured.response)
        .collect();
    assert_eq!(states.len(), 7);
    let (agent, registry) = Agent::in_memory(move |asked| {
        let index: usize = asked
            .query("index")
            .map_or(0, |index| index.parse().unwrap());
        match states.get(index) {
            Some(state) => Answer::Status(200, index as u64 + 1, state.clone()),
            None => Answer::Never,
        }
    })
    .await;
    let mut watcher = registry.watch(Some(name)).await.unwrap();
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut seen = Vec::new();
    loop {
        let event = crate::agent::soon(watcher.next()).await.unwrap();
        let node = &event.service.nodes[0];
        match event.action {
            Action::Create | Action::Update => {
                known.insert(
                    node.id.clone(),
                    format!("{} {}", event.service.version, node.metadata["region"]),
                );
            }
            _ => {
                known.remove(&node.id);
            }
        }
        seen.push(known.values().cloned().collect::<Vec<_>>());
        if known.is_empty() {
            break;
        }
    }
    assert_eq!(
        seen,
        [
            vec!["1.0.0 eu"],
            vec!["1.0.0 eu", "2.0.0 eu"],
            vec!["2.0.0 eu"],
            vec![]
        ]
    );
    drop(agent);
}
