//! Calls of the web over HTTP/1.1: how requests are read and answers are framed.

use std::time::Duration;

use crate::net::{Port, Raw, envelope, json, request};

fn connect(method: &str, messages: &[Vec<u8>]) -> Vec<u8> {
    let body = messages.concat();
    let mut bytes = format!(
        "POST /greeter.Greeter/{method} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n\
         Connect-Protocol-Version: 1\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .into_bytes();
    bytes.extend(body);
    bytes
}

async fn next_message(raw: &mut Raw, body: &mut Vec<u8>) -> String {
    loop {
        if let Some([_, a, b, c, d]) = body.get(..5) {
            let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
            if body.len() >= 5 + length {
                let message = body.drain(..5 + length).skip(5).collect();
                return String::from_utf8(message).unwrap();
            }
        }
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend(raw.take(1).await);
        }
        let line = String::from_utf8(line).unwrap();
        let size = usize::from_str_radix(line.trim_end(), 16).unwrap();
        assert!(size > 0, "the stream has ended");
        body.extend(raw.take(size).await);
        raw.take(2).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_in_json_is_answered_with_its_length_and_the_connection_is_kept() {
    let port = Port::new();
    let mut raw = port.dial();
    for name in ["John", "Mary"] {
        let answer = raw
            .ask(json("Hello", &format!("{{\"name\":\"{name}\"}}")))
            .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.body, format!("{{\"msg\":\"Hello {name}\"}}"));
        assert_eq!(answer.field("content-type"), Some("application/json"));
        assert_eq!(answer.field("connection"), None);
        assert!(answer.field("date").unwrap().ends_with(" GMT"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_answer_has_its_length_too() {
    let port = Port::new();
    let mut raw = port.dial();
    let name = "x".repeat(300_000);
    let answer = raw
        .ask(json("Hello", &format!("{{\"name\":\"{name}\"}}")))
        .await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.body.len(), name.len() + "{\"msg\":\"Hello \"}".len());
    let length = answer.body.len().to_string();
    assert_eq!(answer.field("content-length"), Some(&*length));
}

#[tokio::test(start_paused = true)]
async fn a_body_in_chunks_is_the_same_as_one_with_a_length() {
    let port = Port::new();
    let mut raw = port.dial();
    raw.send(
        "POST /greeter.Greeter/Hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    for part in ["7;a=b\r\n{\"name\"\r\n", "8\r\n:\"John\"}\r\n"] {
        raw.send(part).await;
        assert!(raw.is_silent_for(Duration::from_secs(1)).await);
    }
    raw.send("0\r\nX-Sum: 1\r\n\r\n").await;
    assert_eq!(raw.answer().await.body, "{\"msg\":\"Hello John\"}");
    let answer = raw.ask(json("Hello", "{}")).await;
    assert_eq!(answer.body, "{\"msg\":\"Hello \"}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_answered_in_chunks_as_its_messages_come() {
    let port = Port::new();
    let mut raw = port.dial();
    raw.send(connect("Count", &[envelope(0, "{\"to\":\"10000\"}")]))
        .await;
    let answer = raw.answer().await;
    assert_eq!(answer.status, 200, "{}", answer.head);
    assert_eq!(answer.field("transfer-encoding"), Some("chunked"));
    assert!(answer.body.contains("{\"n\":\"10000\"}"));
    // One that is whole before anything has left says its length.
    raw.send(connect("Count", &[envelope(0, "{\"to\":\"3\"}")]))
        .await;
    let answer = raw.answer().await;
    assert!(answer.field("content-length").is_some(), "{answer:?}");
    assert!(answer.body.contains("{\"n\":\"3\"}"), "{answer:?}");
    // The connection goes on.
    let answer = raw.ask(json("Hello", "{}")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(start_paused = true)]
async fn both_directions_of_a_stream_move_at_once() {
    let port = Port::new();
    let mut raw = port.dial();
    raw.send(
        "POST /greeter.Greeter/Sum HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/connect+json\r\n\
         Transfer-Encoding: chunked\r\n\r\n",
    )
    .await;
    let mut body = Vec::new();
    for (n, total) in [(1, 1), (2, 3), (3, 6)] {
        let message = envelope(0, &format!("{{\"n\":\"{n}\"}}"));
        raw.send(format!("{:x}\r\n", message.len())).await;
        raw.send(message).await;
        raw.send("\r\n").await;
        if n == 1 {
            let head = raw.head().await;
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        }
        let said = next_message(&mut raw, &mut body).await;
        assert_eq!(said, format!("{{\"total\":\"{total}\"}}"));
    }
    raw.send("0\r\n\r\n").await;
    assert_eq!(next_message(&mut raw, &mut body).await, "{}");
    assert_eq!(raw.take(5).await, b"0\r\n\r\n");
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_expects_our_word_is_told_to_go_on() {
    let port = Port::new();
    let mut raw = port.dial();
    let fields = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
    let body = "{\"name\":\"John\"}";
    let whole = request("POST", "Hello", fields, body);
    let (head, _) = whole.split_at(whole.len() - body.len());
    raw.send(head).await;
    assert_eq!(raw.head().await, "HTTP/1.1 100 Continue\r\n\r\n");
    let answer = raw.ask(body).await;
    assert_eq!(answer.body, "{\"msg\":\"Hello John\"}");
    // Who did not wait gets the answer alone.
    let answer = raw.ask(&whole).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_before_its_body_is_not_told_to_go_on() {
    let port = Port::new();
    let mut raw = port.dial();
    let fields = "Content-Type: application/json\r\nExpect: 100-continue\r\n";
    let whole = request("POST", "Unknown", fields, "{}");
    let answer = raw.ask(whole.trim_end_matches("{}")).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(raw.rest().await, "");
    let mut raw = port.dial();
    let other = "Content-Type: application/json\r\nExpect: a-miracle\r\n";
    let answer = raw.ask(request("POST", "Hello", other, "{}")).await;
    assert_eq!(answer.status, 417, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn callers_of_http_1_0_get_what_they_can_read() {
    let port = Port::new();
    let old = |text: String| text.replace("HTTP/1.1", "HTTP/1.0");
    let mut raw = port.dial();
    let kept = "Content-Type: application/json\r\nConnection: keep-alive\r\n";
    let answer = raw.ask(old(request("POST", "Hello", kept, "{}"))).await;
    assert_eq!(answer.field("connection"), Some("keep-alive"));
    let answer = raw.ask(old(json("Hello", "{}"))).await;
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(raw.rest().await, "");
    // The end of a stream is the end of the connection.
    let mut raw = port.dial();
    let stream = connect("Count", &[envelope(0, "{\"to\":\"2\"}")]);
    raw.send(old(String::from_utf8(stream).unwrap())).await;
    let all = raw.rest().await;
    assert!(!all.contains("chunked"), "{all}");
    assert!(all.contains("{\"n\":\"2\"}"), "{all}");
}

#[tokio::test(start_paused = true)]
async fn other_methods_than_post_are_answered_as_they_can_be_read() {
    let port = Port::new();
    let mut raw = port.dial();
    let fields = "Content-Type: application/json\r\n";
    raw.send(request("HEAD", "Hello", fields, "")).await;
    // Without a body, so the next answer follows its head at once.
    let head = raw.head().await;
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    let answer = raw.ask(request("DELETE", "Hello", fields, "")).await;
    assert_eq!(answer.status, 405, "{answer:?}");
    let answer = raw.ask(request("OPTIONS", "Hello", "", "")).await;
    assert!(answer.status >= 200, "{answer:?}");
    let answer = raw.ask(json("Hello", "{}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_nobody_reads_stands_not_before_the_next_request() {
    let port = Port::new();
    let mut raw = port.dial();
    let answer = raw.ask(json("Unknown", &"x".repeat(100_000))).await;
    assert_eq!(answer.status, 404, "{answer:?}");
    let answer = raw.ask(json("Hello", "{}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_closes_when_the_caller_asks_for_it() {
    let port = Port::new();
    let mut raw = port.dial();
    let fields = "Content-Type: application/json\r\nConnection: close\r\n";
    let answer = raw.ask(request("POST", "Hello", fields, "{}")).await;
    assert_eq!(
        (answer.status, answer.field("connection")),
        (200, Some("close"))
    );
    assert_eq!(raw.rest().await, "");
}

#[tokio::test(start_paused = true)]
async fn a_stop_waits_for_the_call_and_tells_its_connection_to_close() {
    let port = Port::new();
    let mut busy = port.dial();
    let mut idle = port.dial();
    assert_eq!(idle.ask(json("Hello", "{}")).await.status, 200);
    busy.send(json("Sleep", "{\"ms\":\"500\"}")).await;
    crate::net::settle().await;
    let (left, answer) = tokio::join!(port.server.stop(Duration::from_secs(5)), busy.answer());
    assert_eq!(left, 0);
    assert_eq!(answer.body, "{\"msg\":\"slept\"}");
    assert_eq!(answer.field("connection"), Some("close"));
    assert_eq!(idle.rest().await, "");
    assert_eq!(port.tasks.running(), 0);
}
