//! mucp and the protocols of the web on one connection.

use std::time::Duration;

use crate::net::{Port, json, mucp, settle};

#[tokio::test(start_paused = true)]
async fn requests_of_mucp_and_of_json_alternate_on_one_connection() {
    let port = Port::new();
    let mut raw = port.dial();
    for n in 0..20 {
        let body = format!("{{\"name\":\"{n}\"}}");
        let said = format!("{{\"msg\":\"Hello {n}\"}}");
        let answer = raw.ask(mucp("Greeter.Hello", &body)).await;
        assert_eq!((answer.status, answer.body.trim_end()), (200, &*said));
        assert_eq!(answer.field("Micro-Endpoint"), Some("Greeter.Hello"));
        let answer = raw.ask(json("Hello", &body)).await;
        assert_eq!((answer.status, &answer.body), (200, &said));
        assert_eq!(answer.field("Micro-Endpoint"), None);
    }
}

#[tokio::test(start_paused = true)]
async fn pipelined_requests_of_both_are_answered_in_order() {
    let port = Port::new();
    let mut raw = port.dial();
    let mut all = String::new();
    for n in 0..60 {
        // Those that sleep would be overtaken, were they not waited for.
        let slow = n % 5 == 0;
        let body = match slow {
            true => "{\"ms\":\"100\"}".to_owned(),
            false => format!("{{\"name\":\"{n}\"}}"),
        };
        all += &match (slow, n % 3) {
            (true, 0) => mucp("Greeter.Sleep", &body),
            (true, _) => json("Sleep", &body),
            (false, 0) => mucp("Greeter.Hello", &body),
            (false, _) => json("Hello", &body),
        };
    }
    raw.send(all).await;
    for n in 0..60 {
        let answer = raw.answer().await;
        let expected = match n % 5 {
            0 => "{\"msg\":\"slept\"}".to_owned(),
            _ => format!("{{\"msg\":\"Hello {n}\"}}"),
        };
        assert_eq!(answer.body.trim_end(), expected, "{answer:?}");
        assert_eq!(answer.field("Micro-Endpoint").is_some(), n % 3 == 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_of_the_web_waits_for_the_stream_of_mucp_before_it() {
    let port = Port::new();
    let mut raw = port.dial();
    let field = "Micro-Stream: 1\r\nContent-Length: ";
    let opening = mucp("Greeter.Sum", "{}").replace("Content-Length: ", field);
    raw.send(opening).await;
    let number = mucp("Greeter.Sum", "{\"n\":100}").replace("Content-Length: ", field);
    raw.send(number).await;
    raw.send(json("Hello", "{}")).await;
    settle().await;
    let answer = raw.answer().await;
    assert_eq!(answer.field("Micro-Stream"), Some("1"), "{answer:?}");
    // The stream is open as long as its caller does not end it, which it cannot any more.
    assert!(raw.is_silent_for(Duration::from_secs(60)).await);
    assert_eq!(port.peer.dropped(), 0);
    drop(raw);
    settle().await;
    assert_eq!(port.peer.dropped(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_connection_at_rest_between_both_is_closed_after_the_idle_time() {
    let port = Port::new();
    for first in [json("Hello", "{}"), mucp("Greeter.Hello", "{}")] {
        let mut raw = port.dial();
        assert_eq!(raw.ask(first).await.status, 200);
        assert!(raw.is_silent_for(Duration::from_secs(85)).await);
        assert_eq!(raw.rest().await, "");
    }
    settle().await;
    assert_eq!(port.server.connections(), 0);
}
