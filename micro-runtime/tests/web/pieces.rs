//! Requests of HTTP/1.1 whose bytes arrive in pieces.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::teller::Net;

#[tokio::test]
async fn a_request_is_answered_wherever_its_bytes_are_cut() {
    let net = Net::new();
    let one = "POST /test.Teller/Say HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nc\r\n{\"text\":\"x\"}\r\n0\r\n\r\n";
    for at in 1..one.len() {
        let mut io = net.connect();
        for _ in 0..3 {
            let (first, second) = one.as_bytes().split_at(at);
            io.write_all(first).await.unwrap();
            for _ in 0..5 {
                tokio::task::yield_now().await;
            }
            io.write_all(second).await.unwrap();
            let mut answer = Vec::new();
            while !answer.ends_with(b"{\"text\":\"x\"}") {
                let came = io.read_buf(&mut answer).await.unwrap();
                let text = String::from_utf8_lossy(&answer);
                assert_ne!(came, 0, "cut at {at}: {text}");
            }
            assert!(answer.starts_with(b"HTTP/1.1 200 OK\r\n"));
        }
    }
}
