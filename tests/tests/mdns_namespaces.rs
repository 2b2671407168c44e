//! Who finds whom by multicast DNS in the networks that there are, each a namespace of the kernel's
//! that the test makes: loopback alone, loopback with a route for multicast, a link with IPv6 alone;
//! a machine with thirty nodes; a node that is killed.
//!
//! Each of our programs has a folder of its own for the files of this machine's services, so that
//! multicast alone makes them find each other.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use micro_tests::fleet::Fleet;
use micro_tests::netns::{Namespace, Network};
use micro_tests::peers::{Ended, Program};
use tempfile::TempDir;

/// Folders that are private, as the local registry wants them, and apart.
struct Apart(Vec<TempDir>);

impl Apart {
    fn new() -> Self {
        Self(Vec::new())
    }

    /// `program` with a folder of its own.
    fn put(&mut self, program: Program) -> Program {
        let folder = tempfile::tempdir().unwrap();
        let program = program.variable("XDG_RUNTIME_DIR", folder.path());
        self.0.push(folder);
        program
    }

    fn ours(&mut self, namespace: &Namespace) -> Program {
        let program = Program::ours(env!("CARGO_BIN_EXE_micro-interop"), "greeter");
        self.put(program)
            .within(namespace)
            .with(&["registry=mdns", "protocol=mucp"])
    }

    fn ttl(&mut self, namespace: &Namespace, name: &str) -> Program {
        let program = Program::ours(env!("CARGO_BIN_EXE_micro-mdns"), name);
        self.put(program).within(namespace)
    }
}

fn go(namespace: &Namespace) -> Program {
    Program::go("greeter")
        .within(namespace)
        .with(&["registry=mdns"])
}

/// A call of `name` that is known by its name alone. Go Micro asks once and does not wait for those
/// that are slow, so a machine with much to do gets three tries; whoever is not there is not found in
/// any.
fn found(caller: &Program, name: &str) -> bool {
    let flags = [&*format!("name={name}"), "call=hello", "arg=you"];
    let mut last = None;
    for _ in 0..3 {
        let ended: Ended = caller.run(&flags);
        if ended.is_ok() {
            assert_eq!(ended.line("OK "), Some(r#"{"msg":"Hello you"}"#), "{ended}");
            return true;
        }
        last = Some(ended);
    }
    println!("{}", last.unwrap());
    false
}

#[test]
fn on_loopback_alone_ours_are_found_and_find_all() {
    let network = Namespace::new(Network::Loopback);
    let mut apart = Apart::new();
    let _ours = apart.ours(&network).serve(&["name=ours"]);
    let _go = go(&network).serve(&["name=go"]);
    assert!(found(&apart.ours(&network), "ours"));
    assert!(found(&apart.ours(&network), "go"));
    // Go Micro's client cannot send its question here; where it can, this is a test of nothing.
    assert!(!found(&go(&network), "go"));
}

#[test]
fn with_a_route_for_multicast_all_find_all() {
    let network = Namespace::new(Network::Multicast);
    let mut apart = Apart::new();
    let _ours = apart.ours(&network).serve(&["name=go.micro.srv.ours"]);
    let _go = go(&network).serve(&["name=go.micro.srv.go"]);
    for server in ["go.micro.srv.ours", "go.micro.srv.go"] {
        assert!(found(&apart.ours(&network), server), "{server} by ours");
        assert!(found(&go(&network), server), "{server} by Go Micro");
    }
}

#[test]
fn on_a_link_with_ipv6_alone_all_find_all() {
    let [here, there] = Namespace::linked();
    let mut apart = Apart::new();
    let _ours = apart
        .ours(&there)
        .serve(&["name=ours", "address=[fd12::2]:0"]);
    let _go = go(&there).serve(&["name=go", "address=[fd12::2]:0"]);
    for server in ["ours", "go"] {
        assert!(found(&apart.ours(&here), server), "{server} by ours");
        assert!(found(&go(&here), server), "{server} by Go Micro");
    }
}

#[test]
fn a_service_on_loopback_is_told_to_nobody_else() {
    let [here, there] = Namespace::linked();
    let mut apart = Apart::new();
    let _ours = apart.ours(&there).serve(&["name=ours"]);
    assert!(found(&apart.ours(&there), "ours"));
    let stranger = apart.ours(&here).run(&["name=ours", "call=hello"]);
    // Else it would have tried its own loopback.
    assert!(
        stranger.to_string().contains("ours: not found"),
        "{stranger}"
    );
}

#[test]
fn a_network_that_comes_later_is_used() {
    let [here, there] = [Network::Loopback; 2].map(Namespace::new);
    let mut apart = Apart::new();
    let _ours = apart
        .ours(&there)
        .serve(&["name=ours", "address=[::]:0", "advertise=fd12::2"]);
    let caller = apart.ours(&here);
    assert!(!found(&caller, "ours"));
    here.link(&there);
    // Interfaces are looked at every ten seconds.
    let deadline = Instant::now() + Duration::from_secs(20);
    while !found(&caller, "ours") {
        assert!(Instant::now() < deadline, "the link is not used");
    }
    assert!(found(&go(&here), "ours"));
}

#[test]
fn thirty_nodes_on_one_machine_are_all_found() {
    let network = Namespace::new(Network::Multicast);
    let mut apart = Apart::new();
    let program = apart.ours(&network);
    let fleet = Fleet::start(&program, "many", 30);
    let ours = apart.ours(&network).with(&["set=selector=roundrobin"]);
    let call = |caller: &Program, calls: usize, name: &str| {
        let calls = format!("n={calls}");
        let arg = format!("arg={name}");
        let ended = caller.run(&["name=many", "call=hello", &calls, &arg]);
        assert!(ended.is_ok(), "{ended}");
    };
    // Ours takes each in its turn. Go Micro's takes any: of 900 calls the 30 get one each, but for
    // once in 600 billion times.
    call(&ours, 60, "ours");
    call(&go(&network), 900, "go");
    let ran = fleet.stop();
    for caller in ["ours", "go"] {
        let nodes: BTreeSet<_> = ran.of(caller).iter().collect();
        assert_eq!(nodes.len(), 30, "found by {caller}: {nodes:?}");
    }
}

/// `word`, a number and milliseconds, or `word` and milliseconds.
fn lines(ended: &Ended, word: &str) -> Vec<(usize, Duration)> {
    let numbers = |line: &str| line.split(' ').map(|n| n.parse().unwrap()).collect();
    let lines = ended
        .lines
        .iter()
        .filter_map(|line| line.strip_prefix(word));
    lines
        .map(|line| {
            let numbers: Vec<u64> = numbers(line.trim());
            let millis = Duration::from_millis(*numbers.last().unwrap());
            (usize::try_from(numbers[0]).unwrap(), millis)
        })
        .collect()
}

#[test]
fn a_killed_node_is_left_alone_at_once_and_gone_after_its_time() {
    // A shorter one would be taken for this: what is told holds for ten seconds at least.
    const TTL: u64 = 10;
    let network = Namespace::new(Network::Loopback);
    let mut apart = Apart::new();
    let ttl = format!("ttl={TTL}");
    let mut serve = || apart.ttl(&network, "mortal").serve(&[&ttl]);
    let (_first, _second, mut third) = (serve(), serve(), serve());
    let started = Instant::now();
    let mut caller = apart.ttl(&network, "mortal").launch(&["time=25"]);
    caller.wait_for("NODES 3");
    // More than its time: those that live are asked and stay.
    let lived = Duration::from_secs(TTL + 2);
    std::thread::sleep(lived.saturating_sub(started.elapsed()));
    third.kill();
    let killed = started.elapsed();
    let ended = caller.finish();
    assert!(ended.is_ok(), "{ended}");

    let nodes = lines(&ended, "NODES");
    let counts: Vec<_> = nodes.iter().map(|(count, _)| *count).collect();
    assert_eq!(counts, [3, 2], "{ended}");
    // The caller's clock began a little later than ours.
    let gone = nodes[1].1;
    assert!(gone + Duration::from_secs(1) > killed, "{ended}");
    assert!(gone < killed + Duration::from_secs(TTL + 1), "{ended}");

    // The call that was under way is cut off, and one finds out that nobody is there. Should the node
    // be tried again, then after a second, after two more…
    let at = |word| lines(&ended, word).iter().map(|(_, at)| *at).collect();
    let (cut, refused): (Vec<_>, Vec<_>) = (at("CUT"), at("REFUSED"));
    assert!(cut.len() <= 1, "{ended}");
    assert!((1..=3).contains(&refused.len()), "{ended}");
    for (pair, least) in refused.windows(2).zip([900, 1_900]) {
        assert!(pair[1] - pair[0] > Duration::from_millis(least), "{ended}");
    }
    assert!(cut.iter().chain(&refused).all(|at| *at < gone), "{ended}");
}
