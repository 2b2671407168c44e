//! docs/ADMIN.md names every field that is told, and no other.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use micro_runtime::call::{Backoff, Frame};
use micro_runtime::registry::{Node, RegisterOptions, Registry, Service as Entry};
use micro_runtime::selector::Filter;
use micro_runtime::wrapper::{Inspected, Next, Standing, Wrapper};
use micro_runtime::{Reply, Request, Result};
use serde_json::Value;
use tokio::sync::Notify;

use crate::asking::{get, service};
use crate::support::{Say, World};
use crate::versions::{V1, descriptor, nodes, v3};

/// The names of all fields of a value, with those that they are in.
fn fields(value: &Value, at: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(fields_of) => {
            for (name, value) in fields_of {
                let at = match at {
                    "" => name.clone(),
                    at => format!("{at}.{name}"),
                };
                into.insert(at.clone());
                // What wrappers tell and nodes say has names of their own.
                if !["metadata", "figures", "settings"].contains(&&**name) || value.is_array() {
                    fields(value, &at, into);
                }
            }
        }
        Value::Array(values) => {
            let at = format!("{at}[]");
            values.iter().for_each(|value| fields(value, &at, into));
        }
        _ => {}
    }
}

/// The fields that the part of the document about `path` names.
fn documented(document: &str, path: &str) -> BTreeSet<String> {
    let (_, part) = document.split_once(&format!("## `{path}`\n")).unwrap();
    let part = part.split("\n## ").next().unwrap();
    let rows = part.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.flat_map(|row| {
        let (names, _) = row.split_once(" |").unwrap();
        let names = names.split('`').map(str::trim);
        names
            .filter(|name| !name.is_empty())
            .map(str::to_owned)
            .collect::<Vec<_>>()
    })
    .collect()
}

struct Told;

#[async_trait::async_trait]
impl Wrapper for Told {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        next.run(request).await
    }

    fn inspect(&self) -> Option<Inspected> {
        Some(Inspected::new("breaker").standing(Standing::new("", "closed")))
    }
}

#[tokio::test]
async fn the_document_names_every_field_and_no_other() {
    let world = World::default();
    let registry = &world.registry;
    let (entered, go) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let say = {
        let (entered, go) = (entered.clone(), go.clone());
        Say::hello(move |_, frame| {
            let (entered, go) = (entered.clone(), go.clone());
            async move {
                entered.notify_one();
                go.notified().await;
                Ok(frame)
            }
        })
    };
    let running = service("documented", registry)
        .transport(world.network.clone())
        .zone("eu-1")
        .wrap_call(Told)
        .handle(say)
        .start()
        .await
        .unwrap();
    let client = running.client();
    // Decisions of all kinds: nodes left out, tries, pauses, refusals.
    let call = client
        .request("documented", "Say.Hello", Frame::default())
        .filter(Filter::version("2"));
    call.await.unwrap_err();
    let closed = "nowhere:1".to_owned();
    let call = client
        .request("documented", "Say.Hello", Frame::default())
        .address(closed.clone())
        .retries(2)
        .backoff(Backoff::Custom(Arc::new(|_| Duration::from_millis(1))));
    call.await.unwrap_err();
    let mut pair = Entry::new("pair", "1");
    for id in ["pair-1", "pair-2"] {
        let mut node = Node::new(id, &*closed);
        node.metadata.insert("protocol".into(), "mucp".into());
        pair.nodes.push(node);
    }
    registry
        .register(&pair, RegisterOptions::default())
        .await
        .unwrap();
    let call = client.request("pair", "Say.Hello", Frame::default());
    call.await.unwrap_err();
    let call = client
        .request("documented", "Say.Hello", Frame::default())
        .timeout(Duration::ZERO);
    call.await.unwrap_err();
    // Nodes of whose schemas one is another.
    let greeters = nodes(&world, &[V1, &v3()]).await;
    let own = descriptor(V1);
    let typed = client.typed_target("greeter", own);
    let reply: Frame = typed
        .unary(&own.methods[0], Frame::default())
        .await
        .unwrap();
    assert_eq!(&*reply.0, b"one");
    let call = client.request("documented", "Say.Hello", Frame::default());
    let call = tokio::spawn(async move { call.await });
    entered.notified().await;

    let document = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ADMIN.md");
    let document = std::fs::read_to_string(document).unwrap();
    for path in [
        "/health",
        "/ready",
        "/stats",
        "/calls",
        "/nodes",
        "/pools",
        "/breakers",
        "/settings",
        "/why",
    ] {
        let mut told = BTreeSet::new();
        fields(&get(&running, path).await.json(), "", &mut told);
        let mut said = documented(&document, path);
        if path == "/nodes" {
            // Nodes stand in two lists, and are explained once.
            let (nodes, others): (BTreeSet<_>, BTreeSet<_>) = said
                .into_iter()
                .partition(|name| name.starts_with("nodes[]."));
            said = others;
            for list in ["destinations[].nodes[]", "given[]"] {
                let of = nodes.iter().map(|name| name.replacen("nodes[]", list, 1));
                said.extend(of);
            }
            // Nobody knows what service it is that listens at an address.
            said.retain(|name| !name.starts_with("given[].schemas[]"));
        }
        let missing: Vec<_> = told.difference(&said).collect();
        // Not every way in which a node is left out can be had here.
        let rare = ["filter", "left_ms", "cause", "difference"]
            .map(|name| format!("failed[].why.steps[].out[].{name}"));
        let untold = said.difference(&told).filter(|name| !rare.contains(name));
        let untold: Vec<_> = untold.collect();
        assert!(
            missing.is_empty(),
            "{path}: not in the document: {missing:?}"
        );
        assert!(
            untold.is_empty(),
            "{path}: in the document alone: {untold:?}"
        );
    }
    go.notify_one();
    call.await.unwrap().unwrap();
    drop(greeters);
    running.stop().await.unwrap();
}
