//! Shares by the weights that nodes name.

use micro_runtime::selector::Strategy;

use crate::fleet::{Fleet, NODES};

/// Weights 0, 1, 2 and 4 by turns; those of 1 do not say so, or not in a number.
async fn fleet(count: usize) -> Fleet {
    Fleet::new(count, Strategy::Weighted, |at, node| {
        let weight = ["0", "heavy", "2.0", "4"][at % 4];
        node.metadata.insert("weight".into(), weight.into());
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn each_weight_has_its_share() {
    let fleet = fleet(NODES).await;
    for (weight, share) in [("0", 0.0), ("heavy", 1.0), ("2.0", 2.0), ("4", 4.0)] {
        let of_weight = fleet.share(50_000, 0, |entry| entry.metadata("weight") == Some(weight));
        let off = of_weight - share / 7.0;
        // Five standard deviations.
        assert!(off.abs() < 0.012, "{weight}: {of_weight}");
    }
}

#[tokio::test(start_paused = true)]
async fn shares_are_kept_among_those_that_are_left() {
    let fleet = fleet(8).await;
    let nodes = fleet.view.nodes();
    let out = |at: usize| nodes.list[at].eject(0);
    out(3);
    out(7);
    let share = fleet.share(20_000, 0, |entry| entry.metadata("weight") == Some("2.0"));
    assert!((share - 2.0 / 3.0).abs() < 0.02, "{share}");
    for at in [1, 2, 5, 6] {
        out(at);
    }
    // Nodes without weight are the last resort: each alike.
    let counts = fleet.counts(10_000, 0);
    let of = |at: usize| counts.get(nodes.list[at].id()).copied().unwrap_or(0);
    assert_eq!(of(0) + of(4), 10_000, "{counts:?}");
    assert!((4_750..=5_250).contains(&of(0)), "{counts:?}");
}
