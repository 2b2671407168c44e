//! One end speaks TLS and the other does not: both are told at once.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Debug;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::Service;
use micro_runtime::registry::Memory;
use micro_runtime::service::Running;
use micro_runtime::transport::tls::ServerTls;
use micro_tests::authority::Authority;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

async fn serve(tls: Option<ServerTls>) -> Running {
    let service = Service::new("safe")
        .registry(Memory::new())
        .linger(Duration::ZERO);
    let service = match tls {
        Some(tls) => service.server_tls(tls),
        None => service,
    };
    service.start().await.unwrap()
}

/// What the server says to a peer that begins with `head`, until it closes.
async fn answer(running: &Running, head: &[u8]) -> Vec<u8> {
    let talk = async {
        let mut socket = TcpStream::connect(running.address()).await.unwrap();
        socket.write_all(head).await.unwrap();
        let mut answer = Vec::new();
        socket.read_to_end(&mut answer).await.unwrap();
        answer
    };
    timeout(Duration::from_secs(2), talk).await.expect("fast")
}

const HTTP1: &[u8] = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nMicro-Service: safe\r\nMicro-Endpoint: Debug.Health\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
const BRAID: &[u8] = b"\xc7\x6d\x69\x63\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// The warnings of a test's thread.
#[derive(Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

impl Warnings {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= Level::WARN
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut words = Words::default();
        event.record(&mut words);
        self.0.lock().unwrap().push(words.0);
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Words(String);

impl Visit for Words {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

#[tokio::test]
async fn plaintext_to_a_tls_port_is_told_so_at_once_and_the_log_says_it_once() {
    let warnings = Warnings::default();
    let _told = tracing::subscriber::set_default(warnings.clone());
    let authority = Authority::new();
    let tls = ServerTls::new(authority.sign("127.0.0.1").identity());
    let running = serve(Some(tls)).await;
    let alert = [0x15, 3, 3, 0, 2, 2, 10];
    assert_eq!(answer(&running, HTTP1).await, alert);
    assert_eq!(answer(&running, BRAID).await, alert);
    // SETTINGS, and a GOAWAY with the reason, as HTTP/2 has it.
    let goaway = answer(&running, HTTP2).await;
    assert_eq!(goaway[3], 4);
    assert_eq!((goaway[12], goaway[25]), (7, 0x0c));
    assert!(goaway.ends_with(b"this port speaks TLS only"));
    let warnings = warnings.all();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("does not speak TLS"), "{warnings:?}");
    running.stop().await.unwrap();
}

#[tokio::test]
async fn tls_to_a_plaintext_port_is_told_so_at_once_and_the_log_says_it_once() {
    let warnings = Warnings::default();
    let _told = tracing::subscriber::set_default(warnings.clone());
    let running = serve(None).await;
    // The beginning of a handshake that offers TLS 1.0 to 1.3, as any client's.
    let hello = b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03";
    for _ in 0..3 {
        let answer = answer(&running, hello).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer}");
        assert!(
            answer.ends_with("this port does not speak TLS\n"),
            "{answer}"
        );
    }
    let warnings = warnings.all();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("speaks TLS"), "{warnings:?}");
    running.stop().await.unwrap();
}
