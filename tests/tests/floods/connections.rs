//! Connections that do nothing.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::frames::opening;
use crate::victim::{Changed, Victim};

#[tokio::test]
async fn idle_connections_cost_little_each() {
    // As many as both processes may have open beside what else they need.
    const MANY: usize = 400;
    let heads: [(&str, Vec<u8>); 3] = [
        ("http/1.1", one_call_of_http1()),
        ("h2", opening(&[])),
        ("braid", crate::braid::opening()),
    ];
    for (name, head) in heads {
        let victim = Victim::start();
        let mut sockets = Vec::new();
        victim
            .floods(async {
                for _ in 0..MANY {
                    let mut socket = victim.connect().await;
                    socket.write_all(&head).await.unwrap();
                    let mut first = [0; 1];
                    socket.read_exact(&mut first).await.unwrap();
                    sockets.push(socket);
                }
            })
            .await;
        let each = victim.more().now * 1024 / MANY as u64;
        println!("{name}: {each} bytes for each idle connection");
        victim.assert_held("idle connections", 48);
    }
}

fn one_call_of_http1() -> Vec<u8> {
    b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nMicro-Service: greeter\r\nMicro-Endpoint: Greeter.Hello\r\nContent-Length: 12\r\n\r\n{\"name\":\"x\"}".to_vec()
}

#[tokio::test]
async fn connections_over_the_limit_are_refused_and_the_others_served() {
    let victim = Victim::with(Changed {
        connections: Some(20),
        first_request: Some(60_000),
        ..Changed::default()
    });
    // The callers beside it have theirs before.
    victim
        .floods(async {
            let mut sockets = Vec::new();
            for _ in 0..60 {
                sockets.push(victim.connect().await);
            }
            let mut refused = 0;
            for socket in &mut sockets {
                let mut byte = [0];
                let read = timeout(Duration::from_millis(100), socket.read(&mut byte)).await;
                refused += usize::from(matches!(read, Ok(Ok(0) | Err(_))));
            }
            assert!((40..60).contains(&refused), "{refused} of 60");
        })
        .await;
}
