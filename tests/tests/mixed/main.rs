//! Everything at once on one port, for a while: each protocol, unary calls and streams, new
//! connections, calls given up, deadlines, connections that are cut and callers that are killed. Each
//! call has exactly one answer or error, and in the end nothing is left: no task, no call, no
//! connection and no memory.
//!
//! Fifteen seconds, or as many as `MICRO_MIXED_SECONDS` says. What it did is printed (`--nocapture`).
#![allow(missing_docs, unreachable_pub)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

mod caller;
mod server;

use std::process::Stdio;
use std::time::Duration;

use micro_runtime::tasks::Tasks;
use micro_tests::child::{memory, this_test};
use micro_tests::cut::{Cut, How, Proxy, Side};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use caller::{Caller, Random, Tally, json};
use server::{HELD, Server};

/// What our clients speak.
const PROTOCOLS: [&str; 5] = ["mucp", "braid", "grpc", "connect", "grpc-web"];
/// Where the child processes are told what to call.
const ADDRESS: &str = "MICRO_TESTS_MIXED_ADDRESS";
/// What the server may hold more at the end than after the first seconds, in KiB.
const KEPT: u64 = 48 * 1024;

fn seconds() -> Duration {
    let given = std::env::var("MICRO_MIXED_SECONDS").ok();
    let given = given.map(|given| given.parse().expect("a number of seconds"));
    Duration::from_secs(given.unwrap_or(15))
}

/// A process that calls until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a caller of the other test, to be killed"]
async fn calls() {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_line(&mut String::new());
        std::process::exit(0);
    });
    let address = std::env::var(ADDRESS).expect("the other test starts it");
    let mut callers = JoinSet::new();
    for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
        let seed = u64::from(std::process::id()) << 8;
        let caller = Caller {
            protocol,
            address: address.clone(),
            name: format!("killed-{}-{protocol}", std::process::id()),
            cut: true,
            tasks: Tasks::new(),
            random: Random(seed + number as u64),
            number: 0,
        };
        callers.spawn(caller.run(Instant::now() + Duration::from_secs(3600)));
    }
    while callers.join_next().await.is_some() {}
}

/// Kills callers again and again, without a word to the server.
async fn kills(address: String, until: Instant) -> u64 {
    let mut killed = 0;
    while Instant::now() < until {
        let child = this_test("calls")
            .env(ADDRESS, &address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.unwrap();
        sleep(Duration::from_millis(1_500 + 137 * (killed % 5))).await;
        child.kill().unwrap();
        child.wait().unwrap();
        killed += 1;
    }
    killed
}

/// Cuts connections of a proxy again and again.
async fn cuts(proxy: &Proxy, until: Instant) {
    let mut random = Random(77);
    while Instant::now() < until {
        let side = match random.below(2) {
            0 => Side::Request,
            _ => Side::Reply,
        };
        let how = match random.below(2) {
            0 => How::Close,
            _ => How::Reset,
        };
        let after = usize::try_from(random.below(3_000)).unwrap();
        proxy.cut(Cut { side, after, how });
        sleep(Duration::from_millis(random.below(60))).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_that_are_given_up_end_at_the_server_whatever_the_protocol() {
    let mut server = Server::start();
    let mut left = Vec::new();
    for protocol in PROTOCOLS {
        for kind in [5, 6, 7] {
            let mut caller = Caller {
                protocol,
                address: server.address.clone(),
                name: protocol.to_owned(),
                cut: false,
                tasks: Tasks::new(),
                random: Random(0x2545_f491_4f6c_dd1d),
                number: 0,
            };
            let greeter = caller.greeter();
            for _ in 0..10 {
                caller.one(&greeter, kind).await.unwrap();
            }
            let ended = async {
                while server.counts().calls > 0 {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            if timeout(Duration::from_secs(5), ended).await.is_err() {
                left.push(format!("{protocol}, kind {kind}: {:?}", server.counts()));
            }
        }
    }
    assert!(left.is_empty(), "{left:#?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_at_once_has_one_answer_a_call_and_leaves_nothing() {
    let mut server = Server::start();
    let first = server.counts();
    let tasks = Tasks::new();
    let address = server.address.clone();
    let proxy = Proxy::before(&address).await.unwrap();
    // Warm first, so that what is made once does not look like a leak.
    let load = |until: Instant, round: &str| {
        let mut callers = JoinSet::new();
        for (number, protocol) in PROTOCOLS.into_iter().enumerate() {
            for (kind, address) in [
                ("direct", &*address),
                ("again", &*address),
                ("cut", proxy.address()),
            ] {
                let caller = Caller {
                    protocol,
                    address: address.to_owned(),
                    name: format!("{round}-{kind}-{protocol}"),
                    cut: kind == "cut",
                    tasks: tasks.clone(),
                    random: Random(0x2545_f491_4f6c_dd1d + number as u64 * 31 + kind.len() as u64),
                    number: 0,
                };
                callers.spawn(caller.run(until));
            }
        }
        callers.spawn(json(address.clone(), until));
        callers
    };
    let mut warm = load(Instant::now() + Duration::from_secs(2), "warm");
    while let Some(ended) = warm.join_next().await {
        ended.unwrap();
    }
    let (theirs, ours) = (server.counts().memory, memory(std::process::id(), HELD));

    let until = Instant::now() + seconds();
    let mut callers = load(until, "long");
    let all = async {
        let mut tally = Tally::default();
        while let Some(ended) = callers.join_next().await {
            tally.add(ended.unwrap());
        }
        tally
    };
    let killing = kills(address.clone(), until);
    let (tally, killed, ()) = tokio::join!(all, killing, cuts(&proxy, until));
    println!("{tally:?}, {killed} callers killed");
    assert!(tally.answered > 100 && tally.given_up > 10, "{tally:?}");

    let settled = async {
        loop {
            let counts = server.counts();
            if (counts.tasks, counts.calls, counts.connections) == (first.tasks, 0, 0)
                && tasks.running() == 0
            {
                return counts;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let settled = timeout(Duration::from_secs(15), settled).await;
    let last = settled.unwrap_or_else(|_| {
        panic!(
            "something is left: {} tasks of the clients, {:?} of the server, which began with {first:?}",
            tasks.running(),
            server.counts()
        )
    });
    assert_eq!(last.doubled, 0, "calls that ran twice");
    let ours_now = memory(std::process::id(), HELD);
    println!(
        "server: {} KiB at first, {theirs} warm, {} at the end; clients: {ours} warm, {ours_now} at the end",
        first.memory, last.memory
    );
    assert!(last.memory < theirs + KEPT, "the server holds {last:?}");
    assert!(ours_now < ours + KEPT, "the clients hold {ours_now} KiB");
}
