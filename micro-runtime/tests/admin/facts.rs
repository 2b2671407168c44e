//! What each path tells.

use std::sync::Arc;

use micro_runtime::call::{Body, Frame};
use micro_runtime::client::Target;
use micro_runtime::codec::Protobuf;
use micro_runtime::method::{Kind, Method};
use micro_runtime::registry::{Memory, Node, RegisterOptions, Registry, Service as Entry};
use micro_runtime::wrapper::{self, Inspected, Next, Standing, Wrapper};
use micro_runtime::{Context, Error, Reply, Request, Result};
use serde_json::json;
use tokio::sync::Notify;

use crate::asking::{ask, service};
use crate::support::{Say, World};
use crate::versions::{V1, descriptor, nodes, v2, v3};

fn echo() -> Say {
    Say::hello(|_, frame| async move { Ok(frame) })
}

#[tokio::test]
async fn stats_count_calls_by_method_and_tell_how_long_they_took() {
    let registry = Memory::new();
    let say = Say::hello(|_, frame: Frame| async move {
        match &*frame.0 {
            b"bad" => Err(Error::bad_request("test", "bad")),
            _ => Ok(frame),
        }
    });
    let running = service("counted", &registry)
        .handle(say)
        .start()
        .await
        .unwrap();
    for body in [&b"good"[..], b"bad", b"good"] {
        let call = running
            .client()
            .request("counted", "Say.Hello", Frame(body.to_vec().into()));
        assert_eq!(call.await.is_ok(), body == b"good");
    }
    let stats = ask(&running, "/stats").await;
    assert_eq!(stats["service"]["name"], "counted");
    assert_eq!(stats["service"]["address"], running.address());
    assert_eq!(
        stats["calls"],
        json!({"running": 0, "started": 3, "failed": 1})
    );
    let methods = stats["methods"].as_array().unwrap();
    let hello = methods
        .iter()
        .find(|method| method["method"] == "Hello")
        .unwrap();
    assert_eq!(hello["service"], "test.Say");
    assert_eq!(hello["started"], 3);
    assert_eq!(hello["failed"], 1);
    assert_eq!(hello["running"], 0);
    assert_eq!(hello["latency"]["count"], 3);
    assert!(hello["latency"]["p50_ms"].as_f64() <= hello["latency"]["max_ms"].as_f64());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn calls_in_flight_are_listed_with_age_caller_and_time_left() {
    let registry = Memory::new();
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
    let running = service("slow", &registry)
        .handle(say)
        .start()
        .await
        .unwrap();
    for protocol in ["braid", "mucp"] {
        let caller = micro_runtime::Service::new("caller")
            .registry(registry.clone())
            .client_protocols([protocol]);
        let call = caller
            .client()
            .request("slow", "Say.Hello", Frame::default());
        let call = tokio::spawn(async move { call.await });
        entered.notified().await;
        let calls = ask(&running, "/calls").await;
        assert_eq!(calls["running"], 1);
        let call_seen = &calls["calls"][0];
        assert_eq!(call_seen["endpoint"], "Say.Hello");
        assert_eq!(call_seen["path"], "/test.Say/Hello");
        assert_eq!(call_seen["protocol"], protocol);
        assert!(
            call_seen["peer"]
                .as_str()
                .unwrap()
                .starts_with("127.0.0.1:")
        );
        let left = call_seen["deadline_left_ms"].as_f64().unwrap();
        assert!(left > 0.0 && left <= 30_000.0, "{left}");
        go.notify_one();
        call.await.unwrap().unwrap();
        let calls = ask(&running, "/calls").await;
        assert_eq!(calls["calls"], json!([]), "{protocol}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_call_whose_caller_goes_is_given_up_and_no_longer_listed() {
    let registry = Memory::new();
    let (entered, gone) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let say = {
        let (entered, gone) = (entered.clone(), gone.clone());
        Say::hello(move |cx, frame| {
            let (entered, gone) = (entered.clone(), gone.clone());
            async move {
                tokio::spawn(async move {
                    cx.cancelled().await;
                    gone.notify_one();
                });
                entered.notify_one();
                std::future::pending::<()>().await;
                Ok(frame)
            }
        })
    };
    let running = service("left", &registry)
        .handle(say)
        .start()
        .await
        .unwrap();
    let call = running
        .client()
        .request("left", "Say.Hello", Frame::default());
    let call = tokio::spawn(async move { call.await });
    entered.notified().await;
    call.abort();
    gone.notified().await;
    // The handler is told first and counted then.
    let hello = loop {
        let stats = ask(&running, "/stats").await;
        let methods = stats["methods"].as_array().unwrap();
        let hello = methods
            .iter()
            .find(|method| method["method"] == "Hello")
            .unwrap();
        if hello["running"] == 0 {
            break hello.clone();
        }
    };
    assert_eq!(hello["given_up"], 1);
    assert_eq!(hello["latency"]["count"], 0);
    assert_eq!(ask(&running, "/calls").await["calls"], json!([]));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn nodes_are_told_with_why_they_are_in_or_out_and_pools_with_their_connections() {
    let registry = Memory::new();
    let good = micro_runtime::Service::new("many")
        .registry(registry.clone())
        .version("1.2.0")
        .handle(echo())
        .start()
        .await
        .unwrap();
    // Nothing listens there.
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = taken.local_addr().unwrap().to_string();
    drop(taken);
    let mut gone = Entry::new("many", "1.2.0");
    let mut node = Node::new("many-gone", &*closed);
    node.metadata.insert("protocol".into(), "mucp".into());
    gone.nodes.push(node);
    registry
        .register(&gone, RegisterOptions::default())
        .await
        .unwrap();

    let running = service("caller", &registry).start().await.unwrap();
    assert_eq!(ask(&running, "/nodes").await["destinations"], json!([]));
    // Until it has met the one that is gone.
    loop {
        let call = running
            .client()
            .request("many", "Say.Hello", Frame::default());
        call.await.unwrap();
        let nodes = ask(&running, "/nodes").await;
        let many = &nodes["destinations"][0];
        assert_eq!(many["name"], "many");
        assert_eq!(many["registered"], true);
        let nodes = many["nodes"].as_array().unwrap();
        assert_eq!(nodes.len(), 2);
        let find = |address: &str| {
            nodes
                .iter()
                .find(|node| node["address"] == address)
                .unwrap()
        };
        let (here, gone) = (find(good.address()), find(&closed));
        assert_eq!(here["standing"], "in");
        assert_eq!(here["reason"], json!(null));
        assert_eq!(here["version"], "1.2.0");
        assert!(
            here["protocols"]
                .as_array()
                .unwrap()
                .contains(&json!("braid"))
        );
        if gone["standing"] != "in" {
            assert!(gone["reason"].is_string(), "{gone}");
            break;
        }
    }
    let pools = ask(&running, "/pools").await;
    let pools = pools["pools"].as_array().unwrap();
    let pool = pools
        .iter()
        .find(|pool| pool["address"] == good.address())
        .unwrap();
    assert_eq!(pool["name"], "many");
    assert_eq!(pool["protocol"], "braid");
    assert_eq!(pool["open"], 1);
    assert_eq!(pool["idle"], json!(null));
    let pool = pools
        .iter()
        .find(|pool| pool["address"] == *closed)
        .unwrap();
    assert_eq!(
        (&pool["protocol"], &pool["open"]),
        (&json!("mucp"), &json!(0))
    );
    running.stop().await.unwrap();
    good.stop().await.unwrap();
}

#[tokio::test]
async fn nodes_at_addresses_by_hand_and_pools_of_mucp_are_told() {
    let registry = Memory::new();
    let good = micro_runtime::Service::new("byhand")
        .registry(registry.clone())
        .handle(echo())
        .start()
        .await
        .unwrap();
    let running = service("caller", &registry).start().await.unwrap();
    let call = running
        .client()
        .request("byhand", "Say.Hello", Frame::default());
    call.address(good.address().to_owned()).await.unwrap();
    let nodes = ask(&running, "/nodes").await;
    assert_eq!(nodes["given"][0]["address"], good.address());
    let pools = ask(&running, "/pools").await;
    let pool = &pools["pools"][0];
    assert_eq!(pool["protocol"], "mucp");
    assert_eq!((&pool["open"], &pool["idle"]), (&json!(1), &json!(1)));
    running.stop().await.unwrap();
    good.stop().await.unwrap();
}

/// Lets calls pass, and tells something of itself.
struct Told;

#[async_trait::async_trait]
impl Wrapper for Told {
    async fn wrap(&self, request: Request, next: Next) -> Result<Reply> {
        next.run(request).await
    }

    fn inspect(&self) -> Option<Inspected> {
        let open = Standing::new("a.service Say.Hello", "open")
            .figure("failures", 20_u64)
            .figure("share", 0.5)
            .figure("opens_for", std::time::Duration::from_millis(1500));
        Some(
            Inspected::new("breaker")
                .setting("volume", 20_u64)
                .standing(open),
        )
    }
}

#[tokio::test]
async fn wrappers_that_tell_of_themselves_are_told_with_their_side() {
    let registry = Memory::new();
    let running = service("wrapped", &registry)
        .wrap_call(Told)
        .wrap_handler(wrapper::from_fn(|request: Request, next: Next| {
            next.run(request)
        }))
        .wrap_handler(Told)
        .start()
        .await
        .unwrap();
    let told = ask(&running, "/breakers").await;
    let told = told["wrappers"].as_array().unwrap();
    assert_eq!(told.len(), 2);
    assert_eq!(
        (&told[0]["side"], &told[1]["side"]),
        (&json!("client"), &json!("server"))
    );
    assert_eq!(
        told[0]["standings"],
        json!([{
            "of": "a.service Say.Hello",
            "state": "open",
            "figures": {"failures": 20, "share": 0.5, "opens_for_ms": 1500.0},
        }])
    );
    assert_eq!(told[0]["settings"], json!({"volume": 20}));
    running.stop().await.unwrap();
}

#[tokio::test]
async fn settings_are_told_with_where_they_come_from_and_without_secrets() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "eu=hush").unwrap();
    let running = micro_runtime::Service::new("set")
        .version("2.0.0")
        .init_from(
            [
                "set",
                "--admin_address=:0",
                "--broker_address=amqp://me:hush@host",
            ],
            [
                ("MICRO_REGISTRY", "memory"),
                ("MICRO_SERVER_METADATA_FILE", secret.to_str().unwrap()),
            ],
        )
        .unwrap()
        .linger(std::time::Duration::ZERO)
        .start()
        .await
        .unwrap();
    let text = crate::asking::get(&running, "/settings").await.body;
    assert!(!text.contains("hush"), "{text}");
    let settings = ask(&running, "/settings").await;
    let find = |name: &str| {
        let settings = settings["settings"].as_array().unwrap();
        settings
            .iter()
            .find(|setting| setting["name"] == name)
            .unwrap()
            .clone()
    };
    assert_eq!(find("admin_address")["source"], "flag");
    assert_eq!(find("registry")["source"], "environment MICRO_REGISTRY");
    assert_eq!(find("server_version")["source"], "code");
    assert_eq!(find("server_version")["value"], "2.0.0");
    assert_eq!(find("client_retries")["source"], "default");
    assert_eq!(find("server_metadata")["value"], "(hidden)");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn the_last_failed_calls_are_told_with_their_decisions() {
    let registry = Memory::new();
    let running = service("caller", &registry).start().await.unwrap();
    assert_eq!(ask(&running, "/why").await["failed"], json!([]));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let closed = taken.local_addr().unwrap().to_string();
    drop(taken);
    let call = || {
        running
            .client()
            .request("nobody", "Say.Hello", Frame::default())
    };
    call().address(closed.clone()).retries(1).await.unwrap_err();
    call().await.unwrap_err();
    let why = ask(&running, "/why").await;
    let failed = why["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 2);
    // The last comes first.
    assert_eq!(failed[0]["why"]["service"], "nobody");
    assert_eq!(failed[0]["why"]["steps"][0]["step"], "chosen");
    assert_eq!(failed[0]["why"]["steps"][0]["node"], json!(null));
    let tried: Vec<_> = failed[1]["why"]["steps"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|step| step["step"] == "tried")
        .collect();
    assert_eq!(tried.len(), 2, "{why}");
    assert_eq!(tried[0]["address"], *closed);
    assert_eq!(tried[0]["cause"], "unreachable");

    for _ in 0..70 {
        call().await.unwrap_err();
    }
    let why = ask(&running, "/why").await;
    assert_eq!(why["failed"].as_array().unwrap().len(), 64);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn every_call_that_fails_is_told_once_by_its_name_and_no_longer_than_needed() {
    let registry = Memory::new();
    let say = echo().count(|_, _, mut out| async move {
        out.send(Frame("first".into())).await?;
        Err(Error::internal("say", "broken"))
    });
    let running = service("say", &registry).handle(say).start().await.unwrap();
    let say = running.client().target("say");
    // A reply that cannot be read.
    let garbage = || Frame(b"\xff\xff\xff".to_vec().into());
    let unread = || say.unary::<_, String>("Say.Hello", garbage());
    unread().await.unwrap_err();
    unread().explain().await.result.unwrap_err();
    // A stream that breaks when it is open.
    let count = say.server_stream::<_, Frame>("Say.Count", Frame::default());
    let mut replies = count.await.unwrap();
    replies.next().await.unwrap().unwrap();
    replies.next().await.unwrap().unwrap_err();
    // A wrapper that refuses, and says much but not why.
    let refuses = wrapper::from_fn(|_: Request, _: Next| async {
        Err(Error::unavailable("guard", "é".repeat(1_000_000)))
    });
    let refused = say.unary::<_, Frame>("Say.Hello", Frame::default());
    refused.wrap(refuses).await.unwrap_err();
    // A request that is made by hand, and a call of a target that is.
    let codec = Arc::new(Protobuf::new("application/protobuf"));
    let no = Method::dynamic("Say.No", Kind::Unary);
    let request = Request::new(Context::default(), "say", no, codec, Body::One("".into()));
    say.invoker().invoke(request).await.unwrap_err();
    let by_hand = Target::new("say", say.invoker().clone());
    let call = by_hand.unary::<_, Frame>("Say.No", Frame::default());
    call.await.unwrap_err();

    let why = ask(&running, "/why").await;
    let failed = why["failed"].as_array().unwrap();
    let told = failed.iter().rev().map(|failed| {
        let why = &failed["why"];
        assert_eq!(why["service"], "say", "{failed}");
        let text = |value: &serde_json::Value| value.as_str().map(str::to_owned);
        (text(&why["endpoint"]).unwrap(), text(&why["cause"]))
    });
    let told: Vec<_> = told.collect();
    let told: Vec<_> = told
        .iter()
        .map(|(endpoint, cause)| (&**endpoint, cause.as_deref()))
        .collect();
    assert_eq!(
        told,
        [
            ("Say.Hello", Some("garbled")),
            ("Say.Hello", Some("garbled")),
            ("Say.Count", Some("answered")),
            ("Say.Hello", None),
            ("Say.No", Some("answered")),
            ("Say.No", Some("answered")),
        ]
    );
    let long = failed[2]["error"]["detail"].as_str().unwrap();
    assert!(long.len() <= 4100 && long.ends_with('…'), "{}", long.len());
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_node_that_speaks_nothing_of_ours_is_told_as_unusable_and_a_budget_with_its_calls() {
    let registry = Memory::new();
    let mut entry = Entry::new("foreign", "1");
    let mut node = Node::new("foreign-1", "127.0.0.1:1");
    node.metadata.insert("protocol".into(), "smoke".into());
    entry.nodes.push(node);
    registry
        .register(&entry, RegisterOptions::default())
        .await
        .unwrap();
    let running = service("caller", &registry).start().await.unwrap();
    let call = running
        .client()
        .request("foreign", "Say.Hello", Frame::default());
    call.retries(0).await.unwrap_err();
    let nodes = ask(&running, "/nodes").await;
    let node = &nodes["destinations"][0]["nodes"][0];
    assert_eq!(node["standing"], "unusable");
    assert!(node["reason"].as_str().unwrap().contains("speaks smoke"));
    let budget = &ask(&running, "/breakers").await["budgets"][0];
    assert_eq!(
        *budget,
        json!({"name": "foreign", "calls": 1, "retries": 0, "allowed": 10, "refused": 0})
    );
    running.stop().await.unwrap();
}

#[tokio::test]
async fn nodes_are_told_with_how_their_schemas_and_figures_stand() {
    let world = World::default();
    let greeters = nodes(&world, &[V1, &v2(), &v3()]).await;
    let running = service("caller", &world.registry)
        .transport(world.network.clone())
        .start()
        .await
        .unwrap();
    let own = descriptor(V1);
    let typed = running.client().typed_target("greeter", own);
    let told = loop {
        let _: Frame = typed
            .unary(&own.methods[0], Frame::default())
            .await
            .unwrap();
        let told = ask(&running, "/nodes").await["destinations"][0]["nodes"].clone();
        let asked = |node: &serde_json::Value| node["schemas"][0]["fits"] == "asked";
        if !told.as_array().unwrap().iter().any(asked) {
            break told;
        }
    };
    let find = |id: &str| {
        let mut told = told.as_array().unwrap().iter();
        told.find(|node| node["id"] == id).unwrap()
    };
    let same = json!([{"service": "p.S", "fits": "same", "barred": []}]);
    assert_eq!(find("greeter-one")["schemas"], same);
    assert_eq!(find("greeter-two")["schemas"][0]["fits"], "compatible");
    let differs = &find("greeter-three")["schemas"][0];
    assert_eq!(differs["fits"], "differs");
    assert_eq!(differs["barred"][0]["method"], "A");
    let words = differs["barred"][0]["difference"].as_str().unwrap();
    assert!(words.contains("age"), "{words}");
    for node in told.as_array().unwrap() {
        assert_eq!(
            (&node["in_flight"], &node["share"]),
            (&json!(0), &json!(1.0))
        );
    }
    drop(greeters);
    running.stop().await.unwrap();
}
