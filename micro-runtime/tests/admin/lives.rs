//! Health and readiness from start to stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use micro_runtime::call::Frame;
use micro_runtime::registry::Memory;
use micro_runtime::server::ServingStatus;
use micro_runtime::{Error, Service};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::asking::{get, send, service};
use crate::support::Say;

#[tokio::test]
async fn a_service_that_runs_is_live_and_ready() {
    let running = service("ready", &Memory::new()).start().await.unwrap();
    let health = get(&running, "/health").await;
    assert_eq!(
        (health.status, health.json()),
        (200, json!({"live": true, "reasons": []}))
    );
    let ready = get(&running, "/ready").await;
    let expected = json!({"ready": true, "state": "serving", "reasons": []});
    assert_eq!((ready.status, ready.json()), (200, expected));
    running.health().set("", ServingStatus::NotServing);
    assert_eq!(get(&running, "/health").await.status, 503);
    assert_eq!(get(&running, "/ready").await.status, 503);
    running.health().set("", ServingStatus::Serving);
    assert_eq!(get(&running, "/ready").await.status, 200);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn readiness_ends_with_the_beginning_of_a_stop_and_the_listener_with_its_end() {
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
    let (stopping, go_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let running = service("stopping", &Memory::new())
        .handle(say)
        .before_stop({
            let (stopping, go_on) = (stopping.clone(), go_on.clone());
            move || async move {
                stopping.notify_one();
                go_on.notified().await;
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let address = running.admin_address().unwrap().to_owned();
    let call = running
        .client()
        .request("stopping", "Say.Hello", Frame::default());
    let call = tokio::spawn(async move { call.await });
    entered.notified().await;
    let stop = tokio::spawn(running.stop());
    stopping.notified().await;
    let ask = |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let address = address.clone();
        async move { send(&address, &request).await.unwrap() }
    };
    let ready = ask("/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json()["state"], "stopping");
    assert_eq!(ask("/health").await.status, 200);
    go_on.notify_one();
    // A call is what the stop still waits for; who looks sees it.
    loop {
        let ready = ask("/ready").await;
        assert_eq!(ready.status, 503);
        let reasons = ready.json()["reasons"].clone();
        if reasons.as_array().unwrap().len() == 2 {
            assert_eq!(reasons[1], "the service is not registered");
            break;
        }
    }
    assert_eq!(ask("/calls").await.json()["running"], 1);
    go.notify_one();
    call.await.unwrap().unwrap();
    stop.await.unwrap().unwrap();
    assert!(TcpStream::connect(&address).await.is_err());
}

#[tokio::test]
async fn a_service_that_starts_is_live_and_not_ready() {
    let seen = Arc::new(std::sync::Mutex::new(None));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap().to_string();
    drop(taken);
    let running = service("starting", &Memory::new())
        .admin_address(&*address)
        .after_start({
            let (seen, address) = (seen.clone(), address.clone());
            move || async move {
                let request = "GET /ready HTTP/1.1\r\nHost: localhost\r\n\r\n";
                *seen.lock().unwrap() = send(&address, request).await;
                Ok(())
            }
        })
        .start()
        .await
        .unwrap();
    let answer = seen.lock().unwrap().take().unwrap();
    assert_eq!(answer.status, 503);
    assert_eq!(answer.json()["state"], "starting");
    assert_eq!(get(&running, "/ready").await.status, 200);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_check_that_fails_takes_readiness_away_and_lets_live() {
    let well = Arc::new(AtomicBool::new(false));
    let check = {
        let well = well.clone();
        move || {
            let well = well.load(Ordering::SeqCst);
            async move {
                match well {
                    true => Ok(()),
                    false => Err(Error::unavailable("test", "no database")),
                }
            }
        }
    };
    let running = service("unwell", &Memory::new())
        .register_check(check)
        .start()
        .await
        .unwrap();
    // A restart would not bring back what the check misses.
    let health = get(&running, "/health").await;
    assert_eq!(
        (health.status, health.json()),
        (200, json!({"live": true, "reasons": []}))
    );
    let ready = get(&running, "/ready").await;
    assert_eq!(ready.status, 503);
    assert_eq!(
        ready.json()["reasons"],
        json!([
            "the service is not registered",
            "the service's own check fails"
        ])
    );
    running.health().set("", ServingStatus::NotServing);
    let health = get(&running, "/health").await;
    assert_eq!(health.status, 503);
    assert_eq!(
        health.json()["reasons"],
        json!(["the program says that it does not serve"])
    );
    let ready = get(&running, "/ready").await.json();
    assert_eq!(ready["reasons"].as_array().unwrap().len(), 3, "{ready}");
    drop(running);
}

#[tokio::test]
async fn a_service_that_is_dropped_takes_its_listener_along() {
    let running = service("dropped", &Memory::new()).start().await.unwrap();
    let address = running.admin_address().unwrap().to_owned();
    drop(running);
    // Its task ends at its next turn.
    while TcpStream::connect(&address).await.is_ok() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_environment_asks_for_a_listener_and_flags_win() {
    let start = |args: &'static [&'static str]| async move {
        Service::new("set")
            .registry(Memory::new())
            .linger(std::time::Duration::ZERO)
            .init_from(args.iter().copied(), [("MICRO_ADMIN_ADDRESS", "[::1]:0")])
            .unwrap()
            .start()
            .await
            .unwrap()
    };
    let running = start(&["set", "--admin_address=127.0.0.1:0"]).await;
    assert!(running.admin_address().unwrap().starts_with("127.0.0.1:"));
    running.stop().await.unwrap();
}
