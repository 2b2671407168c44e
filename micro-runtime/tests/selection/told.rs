//! What a call tells of the canary and the zone that were in force when its node was chosen.

use micro_runtime::error::Why;
use micro_runtime::error::why::{Choice, Step};
use micro_runtime::registry::{Node, NodeEntry};
use micro_runtime::selector::{Canary, Filter, Locality, Strategy};

use crate::scripted::{self, Answer, Setup, cut, refused};

fn node(address: &str, key: &str, value: &str) -> Node {
    let mut node = scripted::node(address);
    node.metadata.insert(key.into(), value.into());
    node
}

fn choices(why: &Why) -> Vec<&Choice> {
    let chosen = why.steps.iter().filter_map(|step| match step {
        Step::Chosen(choice) => Some(choice),
        _ => None,
    });
    chosen.collect()
}

/// Three nodes in `eu-1` and one in `eu-2`, of which those answer that are not named in `gone`.
async fn zones(gone: &'static [&'static str]) -> Setup {
    let nodes = [("a", "eu-1"), ("b", "eu-1"), ("c", "eu-1"), ("d", "eu-2")];
    let nodes = nodes.map(|(address, zone)| node(address, "zone", zone));
    let answer = move |address: &str, _| match gone.contains(&address) {
        true => Answer::Fail(refused()),
        false => Answer::Echo,
    };
    Setup::of(nodes.into(), answer, |options| {
        options.selector = Strategy::RoundRobin;
        options.locality = Some(Locality::zone("eu-1"));
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stays_in_its_zone_says_so() {
    let setup = zones(&[]).await;
    let why = setup.call().explain().await.why;
    let [choice] = &choices(&why)[..] else {
        panic!("{why}")
    };
    let zone = choice.zone.as_ref().unwrap();
    assert_eq!((zone.name.as_str(), zone.inside), ("eu-1", true));
    assert_eq!((zone.known, zone.callable, zone.spills), (3, 3, false));
    assert_eq!(choice.canary, None);
    let text = why.to_string();
    assert!(text.contains("by roundrobin, zone eu-1\n"), "{text}");
    let told = r#""canary":null,"zone":{"name":"eu-1","inside":true,"known":3,"callable":3,"spills":false}"#;
    assert!(why.to_json().contains(told), "{}", why.to_json());

    // Whoever names an address has chosen.
    let why = setup.call().address("d").explain().await.why;
    assert_eq!(choices(&why)[0].zone, None, "{why}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_spills_over_says_from_where_and_how_many_nodes_are_left_there() {
    let setup = zones(&["a", "b"]).await;
    // Until both are found out.
    for _ in 0..6 {
        setup.call().await.unwrap();
    }
    let mut sides = [0, 0];
    for _ in 0..100 {
        let why = setup.call().explain().await.why;
        let [choice] = &choices(&why)[..] else {
            panic!("{why}")
        };
        let zone = choice.zone.as_ref().unwrap();
        assert_eq!(zone.inside, choice.node.as_deref() == Some("node-c"));
        assert_eq!((zone.known, zone.callable, zone.spills), (3, 1, true));
        sides[usize::from(zone.inside)] += 1;
        let words = match zone.inside {
            true => ", zone eu-1\n",
            false => ", spilled over from zone eu-1: 1 of 3 of its nodes can be called\n",
        };
        assert!(why.to_string().contains(words), "{why}");
    }
    assert!(sides.iter().all(|calls| *calls > 10), "{sides:?}");
}

#[tokio::test(start_paused = true)]
async fn a_further_try_outside_the_zone_and_a_zone_without_nodes_are_told_as_such() {
    let nodes = || vec![node("a", "zone", "eu-1"), node("d", "zone", "eu-2")];
    let in_zone = |zone: &'static str| async move {
        let answer = |address: &str, _| match address {
            "a" => Answer::Fail(cut()),
            _ => Answer::Echo,
        };
        Setup::of(nodes(), answer, |options| {
            options.selector = Strategy::RoundRobin;
            options.locality = Some(Locality::zone(zone));
        })
        .await
    };
    let why = in_zone("eu-1")
        .await
        .call()
        .idempotent()
        .explain()
        .await
        .why;
    let choices = choices(&why);
    let inside: Vec<_> = choices
        .iter()
        .map(|choice| choice.zone.as_ref().unwrap().inside)
        .collect();
    assert_eq!(inside, [true, false], "{why}");
    assert!(why.to_string().contains(", outside zone eu-1\n"), "{why}");

    let why = in_zone("eu-3")
        .await
        .call()
        .idempotent()
        .explain()
        .await
        .why;
    assert!(why.to_string().contains(", zone eu-3 has none\n"), "{why}");
}

#[tokio::test(start_paused = true)]
async fn on_which_side_of_a_canary_a_call_went_is_told() {
    let filters = [
        Filter::label("release", "new"),
        Filter::from(|node: &NodeEntry| node.metadata("release") == Some("new")),
    ];
    for filter in filters {
        let nodes = vec![node("a", "release", "new"), node("b", "release", "old")];
        let canary = Canary::new(filter, 0.5);
        let setup = Setup::of(
            nodes,
            |_, _| Answer::Echo,
            |options| {
                options.selector = Strategy::Random;
                options.canary = Some(canary);
            },
        )
        .await;
        for _ in 0..50 {
            let why = setup.call().explain().await.why;
            let [choice] = &choices(&why)[..] else {
                panic!("{why}")
            };
            let is_new = choice.node.as_deref() == Some("node-a");
            assert_eq!(choice.canary, Some(is_new), "{why}");
            let words = match is_new {
                true => ", canary\n",
                false => ", not canary\n",
            };
            assert!(why.to_string().contains(words), "{why}");
            let json = format!("\"canary\":{is_new},");
            assert!(why.to_json().contains(&json), "{}", why.to_json());
        }
    }
}
