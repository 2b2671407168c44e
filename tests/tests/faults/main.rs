//! What faults cost: three nodes under a constant load of calls while one of them, or what they are
//! found by, fails. Every call is counted by who makes it and by the handlers.
//!
//! Callers have the settings that every service has, and say nothing of a call but whether it is
//! idempotent. No idempotent call fails. Of the others those fail at most that were on their way to
//! the faulty node, and none runs twice.
//!
//! Each fault lasts eight seconds, or as many as `MICRO_FAULTS_SECONDS` says. The counts are printed
//! (`--nocapture`) and left in `target/faults-table.md`, or `-short.md` where a fault lasts less than
//! 30 seconds; of the long form `UPDATE_GOLDEN=1` puts them into `docs/FAULTS.md`.
#![allow(missing_docs, unreachable_pub)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod causes;
mod fault;
mod stage;
mod storm;
mod verdict;

use fault::Fault;
use stage::{Nodes, Stage};

/// A fault of our nodes, over each protocol.
fn ours(fault: Fault) {
    Stage::play(fault, Nodes::Ours);
}

/// A fault of nodes of Go Micro: over `first`, and over its other protocol where there is time.
fn go(fault: Fault, first: Nodes) {
    Stage::play(fault, first);
    if stage::is_long() {
        let other = match first {
            Nodes::GoMucp => Nodes::GoGrpc,
            _ => Nodes::GoMucp,
        };
        Stage::play(fault, other);
    }
}

#[test]
fn a_node_is_killed_with_9() {
    ours(Fault::Killed);
}

#[test]
fn a_node_stands_still() {
    ours(Fault::Stopped);
}

#[test]
fn a_node_answers_late() {
    ours(Fault::Slow);
}

#[test]
fn the_network_of_a_node_is_parted() {
    ours(Fault::Partitioned);
}

#[test]
fn a_node_answers_garbage() {
    ours(Fault::Garbage);
}

#[test]
fn a_node_has_no_more_file_descriptors() {
    ours(Fault::Descriptors);
}

#[test]
fn consul_is_killed_and_comes_back_empty() {
    ours(Fault::Consul);
}

#[test]
fn all_nodes_are_restarted_one_after_the_other() {
    ours(Fault::Rolling);
}

#[test]
fn a_node_of_go_micro_is_killed_with_9() {
    go(Fault::Killed, Nodes::GoMucp);
}

#[test]
fn a_node_of_go_micro_stands_still() {
    go(Fault::Stopped, Nodes::GoGrpc);
}

#[test]
fn a_node_of_go_micro_answers_late() {
    go(Fault::Slow, Nodes::GoMucp);
}

#[test]
fn the_network_of_a_node_of_go_micro_is_parted() {
    go(Fault::Partitioned, Nodes::GoGrpc);
}

#[test]
fn a_node_of_go_micro_answers_garbage() {
    go(Fault::Garbage, Nodes::GoMucp);
}

#[test]
fn a_node_of_go_micro_has_no_more_file_descriptors() {
    go(Fault::Descriptors, Nodes::GoGrpc);
}

#[test]
fn consul_is_killed_and_comes_back_empty_among_nodes_of_go_micro() {
    go(Fault::Consul, Nodes::GoMucp);
}

#[test]
fn all_nodes_of_go_micro_are_restarted_one_after_the_other() {
    go(Fault::Rolling, Nodes::GoGrpc);
}
