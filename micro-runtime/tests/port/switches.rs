//! Protocols that are switched off, and those that nobody speaks here.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::protocol::braid::Braid;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::protocol::{Grpc, Protocol, Web};
use micro_runtime::router::Limits;

use micro_runtime::Service;
use micro_runtime::registry::Memory;
use micro_runtime::transport::Memory as Network;

use crate::generated::greeter::GreeterServer;
use crate::greeter::Peer;
use crate::net::{Port, json, mucp};

fn port(protocols: &[&str]) -> Port {
    let named = |name: &&str| -> Arc<dyn Protocol> {
        match *name {
            "braid" => Arc::new(Braid::default()),
            "grpc" => Arc::new(Grpc::new()),
            "mucp" => Arc::new(Mucp::new()),
            _ => Arc::new(Web::new()),
        }
    };
    Port::with(protocols.iter().map(named).collect(), Limits::default())
}

const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

#[tokio::test(start_paused = true)]
async fn mucp_that_is_off_is_refused_in_its_own_way() {
    for spoken in [&["web"][..], &["braid"], &["grpc", "web"]] {
        let port = port(spoken);
        let mut raw = port.dial();
        // Go Micro takes another status for an empty success.
        let answer = raw.ask(mucp("Greeter.Hello", "{}")).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let error = answer.field("Micro-Error").unwrap();
        assert!(error.contains("mucp is switched off"), "{error}");
        assert_eq!(port.server.core().totals().0, 0);
        if spoken.contains(&"web") {
            assert_eq!(raw.ask(json("Hello", "{}")).await.status, 200);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_web_that_is_off_is_refused_in_plain_text() {
    for spoken in [&["mucp"][..], &["braid"], &["grpc", "mucp"]] {
        let port = port(spoken);
        let answer = port.dial().ask(json("Hello", "{}")).await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert!(answer.body.contains("POST / with"), "{answer:?}");
        assert_eq!(port.server.core().totals().0, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn http_2_that_nobody_speaks_is_told_so() {
    let mut raw = port(&["mucp", "braid"]).dial();
    raw.send(PREFACE).await;
    let all = raw.rest().await;
    assert!(
        all.contains("gRPC and the protocols of the web are off here"),
        "{all}"
    );
    for spoken in ["grpc", "web"] {
        let mut raw = port(&[spoken]).dial();
        raw.send(PREFACE).await;
        let settings = raw.take(9).await;
        assert_eq!(settings.get(3), Some(&4), "{settings:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn grpc_over_http_1_is_told_which_version_it_needs() {
    let port = Port::new();
    let grpc = json("Hello", "{}").replace("application/json", "application/grpc+proto");
    let answer = port.dial().ask(grpc).await;
    assert_eq!(answer.status, 505, "{answer:?}");
    assert!(answer.body.contains("HTTP/2"), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_no_call_is_answered_404_in_plain_text() {
    let port = Port::new();
    for target in ["/", "/favicon.ico", "/a/b/c"] {
        let mut raw = port.dial();
        let answer = raw
            .ask(format!("GET {target} HTTP/1.1\r\nHost: x\r\n\r\n"))
            .await;
        assert_eq!(answer.status, 404, "{answer:?}");
        assert_eq!(
            answer.field("content-type"),
            Some("text/plain; charset=utf-8")
        );
        assert!(
            answer.body.contains("/package.Service/Method"),
            "{answer:?}"
        );
        assert_eq!(raw.rest().await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn gos_gob_is_let_go_at_once() {
    let port = Port::new();
    let mut raw = port.dial();
    raw.send(b"\x29\x7f\x03\x01\x01\x07Message\x01\xff\x80\x00\x01\x02\x01\x06Header\x01\xff\x82")
        .await;
    let begun = tokio::time::Instant::now();
    assert_eq!(raw.rest().await, "");
    assert!(begun.elapsed() < Duration::from_secs(1));
}

/// The head of an answer on HTTP/2 to a call of the greeter with this content type.
async fn over_http_2(port: &Port, content_type: &str) -> http::Response<h2::RecvStream> {
    let (mut requests, connection) = h2::client::handshake(port.dial().into_io()).await.unwrap();
    let driver = tokio::spawn(connection);
    let request = http::Request::post("http://localhost/greeter.Greeter/Hello")
        .header("content-type", content_type)
        .body(())
        .unwrap();
    let (response, mut body) = requests.send_request(request, false).unwrap();
    let framed = match content_type.starts_with("application/grpc") {
        true => &b"\0\0\0\0\0"[..],
        false => b"{}",
    };
    body.send_data(framed.into(), true).unwrap();
    let response = response.await.unwrap();
    driver.abort();
    response
}

#[tokio::test(start_paused = true)]
async fn on_http_2_grpc_and_the_web_are_switched_apart() {
    let (grpc, json) = ("application/grpc", "application/json");
    let both = port(&["grpc", "web"]);
    for content_type in [grpc, json] {
        assert_eq!(over_http_2(&both, content_type).await.status(), 200);
    }
    let web = port(&["web", "mucp"]);
    assert_eq!(over_http_2(&web, json).await.status(), 200);
    let refused = over_http_2(&web, grpc).await;
    let status = refused.headers().get("grpc-status");
    assert_eq!(status.unwrap(), "12", "{refused:?}");
    assert_eq!(web.server.core().totals().0, 1);
    let plain = port(&["grpc", "mucp"]);
    assert_eq!(over_http_2(&plain, grpc).await.status(), 200);
    let refused = over_http_2(&plain, json).await;
    assert_eq!(refused.status(), 415);
    let text = refused.into_body().data().await.unwrap().unwrap();
    let text = String::from_utf8(text.to_vec()).unwrap();
    assert!(text.contains("switched off"), "{text}");
    assert_eq!(plain.server.core().totals().0, 1);
}

#[tokio::test]
async fn a_service_answers_what_its_settings_name_and_tells_what_clients_choose() {
    for (names, told) in [
        (&[][..], "braid,grpc,mucp"),
        (&["mucp", "web"], "mucp"),
        (&["web"], "web"),
    ] {
        let service = Service::new("greeter")
            .registry(Memory::new())
            .transport(Network::new())
            .linger(std::time::Duration::ZERO)
            .server_protocols(names.iter().copied())
            .handle(GreeterServer::new(Peer::default()));
        let running = service.start().await.unwrap();
        assert_eq!(running.entry().nodes[0].metadata["protocols"], told);
        running.stop().await.unwrap();
    }
    let service = Service::new("greeter")
        .registry(Memory::new())
        .transport(Network::new())
        .server_protocols(["webb"]);
    let error = service.start().await.unwrap_err();
    assert!(error.detail().contains("braid, grpc, mucp, web"), "{error}");
}
