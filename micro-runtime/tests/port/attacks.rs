//! What browsers can be made to send, and what two parsers would read differently.

use micro_runtime::protocol::Grpc;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::router::Limits;

use crate::net::{Port, all, json, request};

fn on_loopback() -> Port {
    let mut grpc = Grpc::new();
    grpc.loopback_only = true;
    let mut mucp = Mucp::new();
    mucp.loopback_only = true;
    Port::with(all(grpc, mucp), Limits::default())
}

#[tokio::test(start_paused = true)]
async fn a_simple_form_post_without_preflight_is_refused_and_told_which_header_to_send() {
    let port = Port::new();
    for content_type in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let fields = format!("Content-Type: {content_type}\r\n");
        let mut raw = port.dial();
        let answer = raw.ask(request("POST", "Hello", &fields, "{}")).await;
        assert_eq!(answer.status, 415, "{answer:?}");
        let text = format!("{}{}", answer.head, answer.body);
        assert!(text.contains("Content-Type: application/json"), "{text}");
    }
    assert_eq!(port.server.core().totals().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_another_origin_reaches_no_handler() {
    let port = Port::new();
    let fields = "Content-Type: application/json\r\nOrigin: http://evil.example\r\n";
    for (method, fields) in [
        ("Hello", fields.to_owned()),
        ("Unknown", fields.to_owned()),
        ("Hello", fields.replace("json", "grpc-web+proto")),
        ("Hello", fields.replace("json", "connect+json")),
    ] {
        let answer = port
            .dial()
            .ask(request("POST", method, &fields, "{}"))
            .await;
        assert_eq!(answer.status, 403, "{answer:?}");
    }
    assert_eq!(port.server.core().totals().0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_name_that_was_rebound_to_loopback_reaches_no_handler() {
    let port = on_loopback();
    for request in [
        json("Hello", "{}"),
        json("Unknown", "{}"),
        json("Hello", "{}").replace("application/json", "application/grpc-web+proto"),
        "GET /favicon.ico HTTP/1.1\r\nHost: localhost:1\r\n\r\n".to_owned(),
        "GET /greeter.Greeter/Hello?connect=v1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n".to_owned(),
    ] {
        let rebound = request.replace("localhost:1", "rebound.example:1");
        let answer = port.dial().ask(rebound).await;
        assert_eq!(answer.status, 403, "{answer:?}");
        let text = format!("{}{}", answer.head, answer.body);
        assert!(text.contains("loopback"), "{text}");
    }
    assert_eq!(port.server.core().totals().0, 0);
    let answer = port.dial().ask(json("Hello", "{}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_cross_site_websocket_is_refused_by_its_origin_and_any_other_clearly() {
    let port = Port::new();
    let upgrade = "GET /greeter.Greeter/Hello HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
         Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n";
    let cross = format!("{upgrade}Origin: http://evil.example\r\n\r\n");
    let answer = port.dial().ask(cross).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let mucp =
        format!("{upgrade}Micro-Endpoint: Greeter.Hello\r\nOrigin: http://evil.example\r\n\r\n");
    let answer = port.dial().ask(mucp).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    let mut raw = port.dial();
    let answer = raw.ask(format!("{upgrade}\r\n")).await;
    assert_eq!(answer.status, 501, "{answer:?}");
    assert!(answer.body.contains("WebSocket"), "{answer:?}");
    assert_eq!(raw.rest().await, "");
    let rebound = upgrade.replace("localhost", "rebound.example");
    let answer = on_loopback().dial().ask(format!("{rebound}\r\n")).await;
    assert_eq!(answer.status, 403, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_offer_of_http_2_is_passed_over() {
    let port = Port::new();
    let fields = "Content-Type: application/json\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";
    let answer = port
        .dial()
        .ask(request("POST", "Hello", fields, "{}"))
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn what_two_parsers_may_read_differently_is_refused_and_ends_the_connection() {
    let port = Port::new();
    let smuggled = json("Hello", "{}");
    for framing in [
        "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}",
        "Content-Length: 2, 2\r\n\r\n{}",
        "Content-Length: +2\r\n\r\n{}",
        "Content-Length : 2\r\n\r\n{}",
        "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "X: y\r\n z: folded\r\n\r\n",
        "X: y\n\r\n",
        "X: y\rZ: z\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2 \r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}x\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n0x2\r\n{}\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n x\r\n\r\n",
        "Host: other\r\n\r\n",
    ] {
        let mut raw = port.dial();
        // On a connection that the web owns already.
        assert_eq!(raw.ask(json("Hello", "{}")).await.status, 200);
        let head = "POST /greeter.Greeter/Hello HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        raw.send(format!("{head}{framing}{smuggled}")).await;
        let all = raw.rest().await;
        assert_eq!(all.matches("HTTP/1.1 ").count(), 1, "{framing:?}: {all}");
        let refused = ["HTTP/1.1 400 ", "HTTP/1.1 501 "];
        assert!(
            refused.iter().any(|line| all.starts_with(line)),
            "{framing:?}: {all}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_without_host_is_refused() {
    let port = Port::new();
    let none = json("Hello", "{}").replace("Host: localhost:1\r\n", "");
    let answer = port.dial().ask(&none).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let answer = port.dial().ask(none.replace("HTTP/1.1", "HTTP/1.0")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_begins_with_no_request_is_told_so_at_once() {
    let port = Port::new();
    for opening in [
        "INVALID CONNECTION PREFACE\r\n\r\n",
        "GET / HTTQ/1.1\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n",
    ] {
        let mut raw = port.dial();
        let asked = tokio::time::Instant::now();
        raw.send(opening).await;
        let answer = raw.answer().await;
        assert_eq!(answer.status, 400, "{opening:?}: {answer:?}");
        assert!(asked.elapsed().is_zero(), "{opening:?}");
    }
}
