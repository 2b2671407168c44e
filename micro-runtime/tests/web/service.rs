//! A whole service on a port of TCP, asked in HTTP/1.1 as curl and browsers do.

use std::time::Duration;

use micro_runtime::registry::Memory;
use micro_runtime::{Result, Service};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::teller::{Handlers, TellerServer};

fn service() -> Service {
    Service::new("test.teller")
        .registry(Memory::new())
        .linger(Duration::ZERO)
        .handle(TellerServer::new(Handlers::default()))
}

/// What is answered to a request with this start, these fields and this body.
async fn ask(address: &str, start: &str, fields: &str, body: &str) -> String {
    let mut tcp = TcpStream::connect(address).await.unwrap();
    let length = body.len();
    let request = format!(
        "{start} HTTP/1.1\r\nHost: {address}\r\n{fields}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    tcp.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    tcp.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn one_port_answers_json_and_pages_of_allowed_origins() -> Result<()> {
    let running = service()
        .allowed_origins(["https://App.example/"])
        .start()
        .await?;
    let address = running.address();
    let say = "POST /test.Teller/Say";
    let json = "Content-Type: application/json\r\n";
    let answer = ask(address, say, json, r#"{"text":"x","big_number":7}"#).await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(
        answer.ends_with("\r\n\r\n{\"text\":\"x\",\"bigNumber\":\"7\"}"),
        "{answer}"
    );

    let page = "Origin: https://app.example\r\n";
    let wants = "Access-Control-Request-Method: POST\r\n";
    let preflight = [page, wants].concat();
    let answer = ask(address, "OPTIONS /test.Teller/Say", &preflight, "").await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    let allowed = "access-control-allow-origin: https://app.example\r\n";
    assert!(answer.contains(allowed), "{answer}");

    let count = "POST /test.Teller/Count";
    // {"bigNumber": 1} in protobuf, in gRPC-Web's text.
    let text = [page, "Content-Type: application/grpc-web-text\r\n"].concat();
    let answer = ask(address, count, &text, "AAAAAAIQAQ==").await;
    assert!(answer.contains(allowed), "{answer}");
    assert!(answer.contains("opening: here\r\n"), "{answer}");
    assert!(answer.contains("\r\n\r\nAAAAAAA="), "{answer}");

    let evil = ["Origin: https://evil.example\r\n", json].concat();
    let answer = ask(address, say, &evil, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    running.stop().await
}

#[tokio::test]
async fn by_default_no_page_may_call() -> Result<()> {
    let running = service().start().await?;
    let fields = "Origin: https://app.example\r\nContent-Type: application/json\r\n";
    let answer = ask(running.address(), "POST /test.Teller/Say", fields, "{}").await;
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
    running.stop().await
}

#[tokio::test]
async fn what_is_no_origin_stops_the_start() {
    for wrong in ["app.example", "https://app.example/path", ""] {
        let started = service().allowed_origins([wrong]).start().await;
        let error = started.err().unwrap();
        assert_eq!(error.code(), 400);
        assert!(error.detail().contains("https://example.org"), "{error}");
    }
}
