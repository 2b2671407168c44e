//! HTTP/1.1 that comes slowly or not at all.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{sleep, timeout};

use crate::victim::{Changed, Victim};

fn impatient() -> Victim {
    Victim::with(Changed {
        first_request: Some(300),
        request_read: Some(500),
        write: Some(1_000),
        ..Changed::default()
    })
}

#[tokio::test]
async fn heads_and_bodies_that_trickle_are_not_waited_for() {
    let victim = impatient();
    let head = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n";
    let body = b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nMicro-Service: greeter\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{";
    victim
        .floods(async {
            let mut tasks = tokio::task::JoinSet::new();
            for number in 0..200 {
                let mut socket = victim.connect().await;
                tasks.spawn(async move {
                    let begin: &[u8] = if number % 2 == 0 { head } else { body };
                    socket.write_all(begin).await.unwrap();
                    let (mut read, mut write) = socket.split();
                    let trickle = async {
                        while write.write_all(b"x").await.is_ok() {
                            sleep(Duration::from_millis(50)).await;
                        }
                    };
                    let mut answer = Vec::new();
                    let ended = async { read.read_to_end(&mut answer).await };
                    tokio::select! {
                        biased;
                        _ = ended => {}
                        () = trickle => {}
                    }
                });
            }
            let all = async { while tasks.join_next().await.is_some() {} };
            timeout(Duration::from_secs(10), all)
                .await
                .expect("all are closed");
        })
        .await;
    victim.assert_held("slow loris", 32);
}

#[tokio::test]
async fn a_caller_that_does_not_read_its_reply_is_let_go() {
    let victim = impatient();
    victim
        .floods(async {
            let mut sockets = Vec::new();
            for _ in 0..20 {
                let mut socket = victim.connect().await;
                let body = "{\"name\":\"long 4000000\"}";
                let request = format!("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nMicro-Service: greeter\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                socket.write_all(request.as_bytes()).await.unwrap();
                sockets.push(socket);
            }
            sleep(Duration::from_secs(3)).await;
            victim.assert_held("replies that are not read, over HTTP/1.1", 256);
            drop(sockets);
        })
        .await;
    victim.settles(64).await;
}

#[tokio::test]
async fn a_length_without_a_body_sets_nothing_aside() {
    let victim = Victim::start();
    victim
        .floods(async {
            let mut sockets = Vec::new();
            for _ in 0..200 {
                let mut socket = victim.connect().await;
                socket.write_all(b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nMicro-Service: greeter\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Length: 60000000\r\n\r\n{").await.unwrap();
                sockets.push(socket);
            }
            sleep(Duration::from_millis(500)).await;
        })
        .await;
    victim.assert_held("lengths without bodies", 32);
}
