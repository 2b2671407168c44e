//! Who is let in, and what a flood can do.

use micro_runtime::registry::Memory;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::asking::{get, send, service};

const PATHS: [&str; 11] = [
    "/",
    "/style.css",
    "/health",
    "/ready",
    "/stats",
    "/calls",
    "/nodes",
    "/pools",
    "/breakers",
    "/settings",
    "/why",
];

#[tokio::test]
async fn there_is_no_listener_unless_one_is_asked_for() {
    let running = micro_runtime::Service::new("closed")
        .registry(Memory::new())
        .linger(std::time::Duration::ZERO)
        .start()
        .await
        .unwrap();
    assert_eq!(running.admin_address(), None);
    // Nor are the paths on the service's own port.
    for path in PATHS {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
        let answer = send(running.address(), &request).await.unwrap();
        assert_eq!(answer.status, 404, "{path}");
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_port_alone_is_of_this_machine_alone() {
    for address in ["0", ":0"] {
        let running = service("local", &Memory::new())
            .admin_address(address)
            .start()
            .await
            .unwrap();
        assert!(running.admin_address().unwrap().starts_with("127.0.0.1:"));
        running.stop().await.unwrap();
    }
}

#[tokio::test]
async fn an_address_that_is_wrong_or_taken_stops_the_start() {
    let registry = Memory::new();
    let wrong = service("a", &registry).admin_address("here").start().await;
    assert_eq!(wrong.unwrap_err().code(), 400);
    let first = service("a", &registry).start().await.unwrap();
    let taken = first.admin_address().unwrap().to_owned();
    let second = service("b", &registry).admin_address(taken).start().await;
    assert!(second.unwrap_err().detail().contains("cannot listen"));
    use micro_runtime::registry::Registry as _;
    assert!(registry.get("b").await.is_err() || registry.get("b").await.unwrap().is_empty());
    first.stop().await.unwrap();
}

#[tokio::test]
async fn every_answer_is_guarded_against_other_pages_and_caches() {
    let running = service("guarded", &Memory::new()).start().await.unwrap();
    for path in PATHS {
        let answer = get(&running, path).await;
        assert_eq!(answer.status, 200, "{path}");
        for (name, value) in [
            ("Cache-Control", "no-store"),
            ("X-Content-Type-Options", "nosniff"),
            ("X-Frame-Options", "DENY"),
            ("Referrer-Policy", "no-referrer"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("Connection", "close"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        let policy = answer.header("Content-Security-Policy").unwrap();
        assert!(
            policy.starts_with("default-src 'none'; style-src 'self';"),
            "{policy}"
        );
        assert!(answer.header("Access-Control-Allow-Origin").is_none());
        let length = answer.header("Content-Length").unwrap();
        assert_eq!(length, answer.body.len().to_string());
    }
    assert_eq!(get(&running, "/elsewhere").await.status, 404);
    assert_eq!(get(&running, "/stats/").await.status, 404);
    assert_eq!(get(&running, "/stats?x=y").await.status, 200);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn other_pages_other_hosts_and_other_methods_are_refused() {
    let running = service("strict", &Memory::new()).start().await.unwrap();
    let address = running.admin_address().unwrap();
    for (request, status) in [
        ("GET / HTTP/1.1\r\nHost: localhost\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1:81\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: [::1]\r\n", 200),
        ("GET / HTTP/1.1\r\nHost: evil.example\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: 127.0.0.1.evil.example\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: 10.0.0.1\r\n", 403),
        ("GET / HTTP/1.1\r\nHost: \r\n", 403),
        ("GET / HTTP/1.0\r\n", 403),
        ("GET / HTTP/1.1\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nHost: localhost\r\n",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: http://localhost\r\n",
            403,
        ),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nOrigin: null\r\n", 403),
        ("HEAD / HTTP/1.1\r\nHost: localhost\r\n", 405),
        ("POST / HTTP/1.1\r\nHost: localhost\r\n", 405),
        ("OPTIONS / HTTP/1.1\r\nHost: localhost\r\n", 405),
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n",
            413,
        ),
        ("GET / HTTP/2.0\r\nHost: localhost\r\n", 400),
        ("GET  / HTTP/1.1\r\nHost: localhost\r\n", 400),
    ] {
        let answer = send(address, &format!("{request}\r\n")).await.unwrap();
        assert_eq!(answer.status, status, "{request}");
        assert_eq!(answer.header("Allow").is_some(), status == 405, "{request}");
    }
    let long = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n",
        "x".repeat(20_000)
    );
    assert_eq!(send(address, &long).await.unwrap().status, 431);
    let many = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        "X: y\r\n".repeat(80)
    );
    assert_eq!(send(address, &many).await.unwrap().status, 431);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_listener_on_another_host_takes_any_host_name() {
    let running = service("open", &Memory::new())
        .admin_address("0.0.0.0:0")
        .start()
        .await
        .unwrap();
    let (_, port) = running.admin_address().unwrap().rsplit_once(':').unwrap();
    let request = "GET /health HTTP/1.1\r\nHost: greeter.example:8081\r\n\r\n";
    let answer = send(&format!("127.0.0.1:{port}"), request).await.unwrap();
    assert_eq!(answer.status, 200);
    running.stop().await.unwrap();
}

#[tokio::test]
async fn who_holds_connections_keeps_nobody_out_and_nothing_open() {
    let running = service("flooded", &Memory::new()).start().await.unwrap();
    let address = running.admin_address().unwrap();
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut socket = TcpStream::connect(address).await.unwrap();
        let _ = socket.write_all(b"GET /health HT").await;
        slow.push(socket);
        let request = "GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(send(address, request).await.unwrap().status, 200);
    }
    // The oldest had to give way: their connections are closed without a word.
    for socket in slow.iter_mut().take(100 - 32) {
        let mut nothing = Vec::new();
        let read = socket.read_to_end(&mut nothing).await;
        assert!(read.is_err() || nothing.is_empty());
    }
    running.stop().await.unwrap();
}

#[tokio::test]
async fn a_head_that_does_not_come_is_told_that_it_was_too_slow() {
    let running = service("slow", &Memory::new()).start().await.unwrap();
    for begun in ["", "GET /health HTTP/1.1\r\nHo"] {
        let mut socket = TcpStream::connect(running.admin_address().unwrap())
            .await
            .unwrap();
        socket.write_all(begun.as_bytes()).await.unwrap();
        // From here on waiting costs no time.
        tokio::time::pause();
        let mut answer = String::new();
        socket.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        tokio::time::resume();
    }
    running.stop().await.unwrap();
}
