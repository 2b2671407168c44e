//! For how long a node is left alone, and how it comes back.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::client::{ClientOptions, RetryBudget};
use micro_runtime::error::why::Cause;
use micro_runtime::registry::{NodeEntry, Standing};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::fleet::{Fleet, Mood, TRY, Told, idempotent, plain, seeds};
use crate::scripted::{Answer, DIALLED, Frame, Setup, frame};

/// A client that gives a node little time.
fn short(options: &mut ClientOptions) {
    options.call.attempt_timeout = TRY;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_stays_away_is_left_alone_for_growing_times() {
    for mood in [Mood::Refuses, Mood::Loses, Mood::Silent, Mood::Slow] {
        for seed in seeds(1) {
            let _told = Told(seed);
            let fleet = Fleet::with(3, seed, short).await;
            fleet.set(0, mood);
            let mut seen: Vec<(u32, Duration)> = Vec::new();
            let look = |fleet: &Fleet| {
                if let Standing::Ejected(left, _, times) = fleet.standing(0)
                    && seen.last().is_none_or(|(last, _)| *last != times)
                {
                    seen.push((times, left));
                }
            };
            fleet
                .load(50, Duration::from_secs(100), idempotent, look)
                .await;
            assert!(seen.len() >= 7, "{mood:?}: {seen:?}");
            // What answers no question is asked again soon; what does, and fails, costs calls.
            let longest = match mood {
                Mood::Slow => [1, 2, 4, 8, 16, 30, 30],
                _ => [1, 2, 4, 5, 5, 5, 5],
            };
            let second = Duration::from_secs(1);
            // The time begins with the question.
            let asked = if mood == Mood::Silent {
                second
            } else {
                Duration::ZERO
            };
            for ((times, left), longest) in seen.iter().zip(longest) {
                // A fifth less at random, and looked at within 10 ms; one that is tried before its time
                // is over has the rest of it, too.
                let longest = Duration::from_secs(longest);
                let least = (longest * 4 / 5).saturating_sub(asked).max(second * 4 / 5);
                let fits = *left <= longest && *left + Duration::from_millis(20) >= least;
                assert!(fits, "{mood:?}, time {times}: {left:?} of {longest:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_there_but_fails_is_tried_by_one_call_at_a_time() {
    for seed in seeds(1) {
        let _told = Told(seed);
        let fleet = Fleet::with(3, seed, short).await;
        fleet.set(0, Mood::Slow);
        let begin = Duration::from_secs(3);
        fleet.load(200, begin, idempotent, |_| {}).await;
        let at = fleet.now();
        fleet
            .load(200, Duration::from_secs(120), idempotent, |_| {})
            .await;
        // After 4 s, 8, 16, 30, 30, …
        let met = fleet.met_since(at);
        assert!((4..=8).contains(&met), "{met}");

        fleet.set(0, Mood::Well);
        let failed = fleet
            .load(200, Duration::from_secs(31), plain, |_| {})
            .await;
        assert_eq!((failed, fleet.standing(0)), (0, Standing::In));
        assert!(fleet.entries[0].back_at() > at);
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_was_away_for_long_has_calls_again_within_six_seconds() {
    for mood in [Mood::Refuses, Mood::Silent, Mood::Loses] {
        for seed in seeds(3) {
            let _told = Told(seed);
            let fleet = Fleet::with(3, seed, short).await;
            fleet.set(0, mood);
            let long = Duration::from_secs(90);
            fleet.load(50, long, idempotent, |_| {}).await;
            let asked = |fleet: &Fleet| fleet.questions.lock().unwrap().len();
            let before = asked(&fleet);
            let minute = Duration::from_secs(60);
            fleet.load(50, minute, idempotent, |_| {}).await;
            // Every four to five seconds.
            let asked = asked(&fleet) - before;
            assert!(asked <= 16, "{mood:?}: {asked}");
            fleet.set(0, Mood::Well);
            let at = fleet.now();
            let soon = Duration::from_millis(6_500);
            fleet.load(50, soon, idempotent, |_| {}).await;
            let back = fleet.entries[0].back_at().saturating_sub(at);
            assert!((1..=6_000).contains(&back), "{mood:?}: after {back} ms");
            assert_eq!(fleet.standing(0), Standing::In, "{mood:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_tries_a_node_that_is_just_asked_however_long_that_takes() {
    let fleet = Fleet::with(3, 1, |options| {
        options.outliers.answer_within = Duration::from_secs(8);
    })
    .await;
    fleet.set(0, Mood::Silent);
    let look = |fleet: &Fleet| {
        let standing = fleet.standing(0);
        assert!(!matches!(standing, Standing::OnTrial(_)), "{standing:?}");
    };
    let half = Duration::from_secs(30);
    fleet.load(50, half, plain, look).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_given_by_hand_that_answers_nobody_is_spared_for_a_while() {
    let began = tokio::time::Instant::now();
    let silent = |address: &str, number| match address {
        "silent:1" if number != DIALLED => Answer::Never,
        _ => Answer::Echo,
    };
    let setup = Setup::new(&[], silent).await;
    let seen: Arc<Mutex<Option<Arc<NodeEntry>>>> = Arc::default();
    let all = seen.clone();
    let look = move |nodes: &[Arc<NodeEntry>]| {
        *all.lock().unwrap() = nodes.first().cloned();
        Some(0)
    };
    // It has no others that it could be compared with, so it is not left alone.
    let call = setup
        .call()
        .address("silent:1")
        .address("well:1")
        .strategy(look);
    let call = call.timeout(Duration::from_secs(1));
    assert!(call.await.is_err());
    let entry = seen.lock().unwrap().take().unwrap();
    let standing = || entry.standing(u64::try_from(began.elapsed().as_millis()).unwrap());
    assert_eq!(standing(), Standing::Probed);
    sleep(Duration::from_secs(3)).await;
    assert_eq!(standing(), Standing::Probed);
    sleep(Duration::from_secs(4)).await;
    assert_eq!(standing(), Standing::In);
}

#[tokio::test(start_paused = true)]
async fn a_silent_node_meets_few_calls_though_all_are_in_a_hurry() {
    let hurried = |setup: &crate::scripted::Setup| {
        let call = setup.call().timeout(Duration::from_secs(1));
        async move { call.await.map(|_| ()) }
    };
    for seed in seeds(2) {
        let _told = Told(seed);
        let fleet = Fleet::new(3, seed).await;
        fleet.set(0, Mood::Silent);
        let minute = Duration::from_secs(60);
        fleet.load(50, minute, hurried, |_| {}).await;
        let at = fleet.now();
        fleet.load(50, minute * 10, hurried, |_| {}).await;
        // The task gives up after three minutes: then a call tries, and a task again.
        let met = fleet.met_since(at);
        assert!(met <= 5, "{met}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_that_nobody_pays_for_is_no_trial() {
    let fleet = Fleet::with(2, 1, |options| {
        options.call.retry_budget = Some(RetryBudget::percent(0).at_least(0));
    })
    .await;
    fleet.set(1, Mood::Slow);
    fleet.entries[0].eject(fleet.now());
    sleep(Duration::from_secs(2)).await;
    let slow = |nodes: &[Arc<NodeEntry>]| {
        let slow = nodes.iter().position(|node| node.id().ends_with('1'));
        slow.or(Some(0))
    };
    let call = fleet.setup.call().idempotent().strategy(slow);
    call.hedge(Duration::from_millis(50)).await.unwrap();
    assert!(matches!(fleet.standing(0), Standing::OnTrial(_)));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_opens_without_a_word_brings_no_node_back() {
    let fleet = Fleet::new(1, 1).await;
    fleet.entries[0].eject(fleet.now());
    fleet.set(0, Mood::Mute);
    sleep(Duration::from_secs(2)).await;
    let target = fleet.setup.client.target("greeter");
    let stream = target.server_stream::<_, Frame>("Say.Count", frame("hi"));
    let _stream = stream.await.unwrap();
    assert_ne!(fleet.standing(0), Standing::In);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_comes_and_goes_is_left_alone_longer_and_longer() {
    for seed in seeds(1) {
        let _told = Told(seed);
        let fleet = Fleet::new(3, seed).await;
        let mut met = Vec::new();
        for _ in 0..60 {
            let at = fleet.now();
            fleet.set(0, Mood::Loses);
            let second = Duration::from_secs(1);
            fleet.load(300, second, idempotent, |_| {}).await;
            met.push(fleet.met_since(at));
            fleet.set(0, Mood::Well);
            fleet.load(300, second, idempotent, |_| {}).await;
        }
        let (early, late) = (
            met[..10].iter().sum::<usize>(),
            met[30..].iter().sum::<usize>(),
        );
        println!("seed {seed}: met {met:?}");
        // A hundred calls a second would have met it.
        assert!(early <= 60, "{early} in 20 s");
        assert!(late <= 60, "{late} in 60 s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_answers_questions_now_and_then_costs_fewer_and_fewer_calls() {
    for seed in seeds(2) {
        let _told = Told(seed);
        let fleet = Fleet::new(3, seed).await;
        let mut met = Vec::new();
        for _ in 0..30 {
            let at = fleet.now();
            fleet.set(0, Mood::Silent);
            let silent = Duration::from_secs(4);
            fleet.load(300, silent, idempotent, |_| {}).await;
            met.push(fleet.met_since(at));
            fleet.set(0, Mood::Well);
            let well = Duration::from_secs(1);
            fleet.load(300, well, idempotent, |_| {}).await;
        }
        let late = met[10..].iter().sum::<usize>();
        println!("seed {seed}: met {met:?}");
        assert!(late <= 15, "{late} in 100 s");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_does_well_for_long_begins_anew() {
    let fleet = Fleet::new(3, 1).await;
    let seconds = Duration::from_secs;
    fleet.set(0, Mood::Loses);
    fleet.load(200, seconds(20), idempotent, |_| {}).await;
    fleet.set(0, Mood::Well);
    fleet.load(200, seconds(120), idempotent, |_| {}).await;
    fleet.set(0, Mood::Loses);
    let mut first = None;
    let look = |fleet: &Fleet| {
        if let Standing::Ejected(_, cause, times) = fleet.standing(0) {
            first.get_or_insert((cause, times));
        }
    };
    fleet.load(200, seconds(1), idempotent, look).await;
    assert_eq!(first, Some((Cause::Lost, 1)));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_deregistered_gets_no_more_calls_and_those_in_flight_go_on() {
    for seed in seeds(1) {
        let _told = Told(seed);
        let fleet = Fleet::new(3, seed).await;
        fleet.set(0, Mood::Slow);
        let mut calls = JoinSet::new();
        for _ in 0..30 {
            calls.spawn(plain(&fleet.setup));
        }
        sleep(Duration::from_millis(50)).await;
        let in_flight = fleet.met_since(0);
        assert!(in_flight > 0);

        let mut gone = (*fleet.entries[0].service).clone();
        gone.nodes = vec![fleet.entries[0].node.clone()];
        fleet.registry.deregister(&gone).await.unwrap();
        // The watch is told, and a call that begins then goes elsewhere.
        sleep(Duration::from_millis(1)).await;
        fleet
            .load(300, Duration::from_secs(1), idempotent, |_| {})
            .await;
        assert_eq!(fleet.met_since(0), in_flight);
        let ended = calls.join_all().await;
        assert!(ended.iter().all(Result::is_ok), "{ended:?}");
    }
}
