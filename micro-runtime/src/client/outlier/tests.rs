use super::*;

fn nodes(count: usize) -> Nodes {
    let addresses: Vec<_> = (0..count)
        .map(|number| format!("n{number}").into())
        .collect();
    Nodes::from_addresses(&addresses, 1)
}

#[test]
fn a_share_is_at_least_one_of_two_and_never_all() {
    let mut outliers = Outliers::default();
    let most = |outliers: &Outliers, totals: &[usize]| -> Vec<usize> {
        totals.iter().map(|total| outliers.most(*total)).collect()
    };
    let totals = [0, 1, 2, 3, 4, 10, 10_000];
    assert_eq!(most(&outliers, &totals), [0, 0, 1, 1, 2, 5, 5_000]);
    outliers.share = 0.01;
    assert_eq!(most(&outliers, &totals), [0, 0, 1, 1, 1, 1, 100]);
    outliers.share = 1.0;
    assert_eq!(most(&outliers, &totals), [0, 0, 1, 2, 3, 9, 9_999]);
    assert_eq!(most(&Outliers::off(), &totals), [0; 7]);
}

#[test]
fn however_many_ask_no_more_than_the_share_is_left_alone() {
    for total in [2, 3, 5, 64, 65, 1_000] {
        let (nodes, outliers) = (nodes(total), Outliers::default());
        let (share, tasks) = (Share::default(), Tasks::new());
        let peers = Peers {
            nodes: &nodes,
            share: &share,
        };
        let why = (Cause::Lost, Found::Calls);
        for now in [1_000, 1_001, 1_200] {
            for entry in &nodes.list {
                peers.eject(entry, why, (now, &outliers), &tasks);
            }
            let out = nodes.list.iter().filter(|entry| entry.is_ejected(now));
            assert_eq!(out.count(), outliers.most(total), "of {total} at {now}");
        }
    }
}

#[test]
fn only_who_does_worse_than_the_others_is_low() {
    let outliers = Outliers::default();
    assert!(outliers.is_low(0.4, &[1.0, 1.0]));
    assert!(!outliers.is_low(0.9, &[1.0, 1.0]), "by chance");
    assert!(
        !outliers.is_low(0.1, &[0.1, 0.12, 0.08]),
        "all do as badly: it is not the node"
    );
    assert!(
        !outliers.is_low(0.4, &[1.0, 0.1, 0.9, 0.2]),
        "they differ by more than that"
    );
}
