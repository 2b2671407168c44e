//! A key, or a client, stays with its node.

use micro_runtime::selector::{Pick, SelectOptions, Strategy, select};

use crate::fleet::{Fleet, by_key, keys, node};

async fn fleet(count: usize) -> Fleet {
    Fleet::new(count, Strategy::Sticky(by_key()), |_, _| {}).await
}

#[tokio::test(start_paused = true)]
async fn keys_stay_with_their_nodes_while_others_come_and_go() {
    let fleet = fleet(20).await;
    let homes = |fleet: &Fleet| -> Vec<String> {
        let homes = keys(200).map(|key| fleet.pick(Some(&key), 0).id().to_owned());
        homes.collect()
    };
    let before = homes(&fleet);
    for at in 0..20 {
        fleet.comes(node(&format!("new-{at}"))).await;
    }
    assert_eq!(homes(&fleet), before, "new nodes get new keys alone");
    let new = (0..200).filter(|at| {
        let entry = fleet.pick(Some(&format!("other-{at}")), 0);
        entry.id().starts_with("new")
    });
    assert!((60..140).contains(&new.count()));
    let gone = before[0].clone();
    fleet.goes(&gone).await;
    let after = homes(&fleet);
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before == after, *before != gone);
    }
    // Where they have gone they stay.
    fleet.comes(node(&gone)).await;
    assert_eq!(homes(&fleet), after);
}

#[tokio::test(start_paused = true)]
async fn a_client_stays_with_one_node_until_that_is_left_alone() {
    let fleet = fleet(100).await;
    let own = fleet.pick(None, 0);
    assert_eq!(fleet.counts(100, 0).len(), 1);
    own.eject(0);
    let other = fleet.pick(None, 1);
    assert!(!other.is_same(&own));
    own.restore(2);
    assert!(fleet.pick(None, 3).is_same(&other), "it has settled there");
}

#[tokio::test(start_paused = true)]
async fn while_a_call_tries_whether_its_node_is_back_others_settle_nowhere_else() {
    let fleet = fleet(100).await;
    let own = fleet.pick(None, 0);
    own.eject(0);
    assert!(fleet.pick(None, 2_000).is_same(&own), "its trial");
    assert!(!fleet.pick(None, 2_001).is_same(&own));
    own.restore(2_002);
    assert!(fleet.pick(None, 2_003).is_same(&own));
}

#[tokio::test(start_paused = true)]
async fn a_second_try_goes_elsewhere_and_the_next_call_comes_back() {
    let fleet = fleet(100).await;
    let own = fleet.pick(None, 0);
    let tried = [own.clone()];
    let call = SelectOptions::default();
    let pick = Pick::at(0).after(&tried);
    let other = select(&fleet.view.nodes(), &call, &fleet.client, pick).unwrap();
    assert!(!other.is_same(&own));
    assert!(fleet.pick(None, 0).is_same(&own));
}
