//! Streams on the client, against servers that are scripted.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::transport::{Connection, Memory, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::capture::{Message, cut};
use crate::generated::greeter::*;
use crate::harness::*;

const SECOND: Duration = Duration::from_secs(1);

/// A scripted server's side of one connection.
struct Far {
    io: Connection,
    read: Vec<u8>,
}

impl Far {
    /// The next request; `None` when the client has closed.
    async fn next(&mut self) -> Option<Message> {
        loop {
            if let Some((message, length)) = cut(&self.read) {
                self.read.drain(..length);
                return Some(message);
            }
            if self.io.io.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }

    async fn say(&mut self, headers: &str, body: &[u8]) {
        let length = body.len();
        let head = format!("HTTP/1.1 200 OK\r\n{headers}Content-Length: {length}\r\n\r\n");
        let bytes = [head.as_bytes(), body].concat();
        self.io.io.write_all(&bytes).await.unwrap();
    }
}

/// A client and the server's side of the connection that it will make.
async fn scripted() -> (GreeterClient, oneshot::Receiver<Far>) {
    let memory = Memory::new();
    let mut listener = memory.listen("node").await.unwrap();
    let environment = environment(Arc::new(memory));
    let greeter = client(&Mucp::default(), "node", environment.clone(), false);
    let (send, receive) = oneshot::channel();
    environment.tasks.spawn(async move {
        let io = listener.accept().await.unwrap();
        let _ = send.send(Far {
            io,
            read: Vec::new(),
        });
        std::future::pending::<()>().await;
    });
    (greeter, receive)
}

fn number(n: i64) -> SumRequest {
    SumRequest { n, fail: false }
}

#[tokio::test(start_paused = true)]
async fn a_go_servers_silence_after_our_end_is_the_end() {
    let (greeter, far) = scripted().await;
    let (mut out, mut input) = greeter.sum().await.unwrap();
    let mut far = far.await.unwrap();
    out.send(number(1)).await.unwrap();
    let open = far.next().await.unwrap();
    let asked = open.get("Micro-Stream-Ends").unwrap();
    assert_eq!(open.get("Micro-Stream"), Some(asked));
    assert_eq!(far.next().await.unwrap().body, [8, 1]);
    // As Go echoes what it does not know.
    far.say(&format!("Micro-Stream-Ends: {asked}\r\n"), &[8, 1])
        .await;
    assert_eq!(input.message().await.unwrap().unwrap().total, 1);
    // Before our end, silence means nothing.
    let next = tokio::time::timeout(3600 * SECOND, input.message()).await;
    assert!(next.is_err());
    out.finish().await.unwrap();
    assert_eq!(far.next().await.unwrap().get("Micro-Error"), Some("EOS"));
    let start = Instant::now();
    // What comes after a while is still heard, and the wait begins anew.
    let late = async {
        tokio::time::sleep(SECOND).await;
        far.say("", &[8, 9]).await;
        far
    };
    let (far, message) = tokio::join!(late, input.message());
    assert_eq!(message.unwrap().unwrap().total, 9);
    assert!(input.message().await.unwrap().is_none());
    assert_eq!(start.elapsed(), 3 * SECOND);
    drop(input);
    let mut far = far;
    assert_eq!(far.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn our_servers_end_is_waited_for() {
    let (greeter, far) = scripted().await;
    let (out, mut input) = greeter.sum().await.unwrap();
    let mut far = far.await.unwrap();
    far.say("Micro-Stream-Ends: open\r\n", b"").await;
    far.say("", &[8, 1]).await;
    assert_eq!(input.message().await.unwrap().unwrap().total, 1);
    out.finish().await.unwrap();
    let next = tokio::time::timeout(3600 * SECOND, input.message()).await;
    assert!(next.is_err());
    far.say("", &[8, 2]).await;
    far.say("Micro-Error: EOS\r\n", b"").await;
    assert_eq!(input.message().await.unwrap().unwrap().total, 2);
    assert!(input.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_says_nothing_at_all_is_an_error() {
    let (greeter, far) = scripted().await;
    let (out, mut input) = greeter.sum().await.unwrap();
    let _far = far.await.unwrap();
    out.finish().await.unwrap();
    let start = Instant::now();
    let error = input.message().await.unwrap_err();
    assert_eq!((error.code(), start.elapsed()), (408, 10 * SECOND));
    assert!(input.message().await.unwrap().is_none());
}

#[tokio::test(start_paused = true)]
async fn an_upload_to_a_go_server_ends_with_its_one_reply() {
    let (greeter, far) = scripted().await;
    let mut upload = greeter.collect().await.unwrap();
    upload.send(number(1)).await.unwrap();
    let mut far = far.await.unwrap();
    let start = Instant::now();
    // The reply may take its time.
    let slow = async {
        while far.next().await.unwrap().get("Micro-Error").is_none() {}
        tokio::time::sleep(3600 * SECOND).await;
        far.say("", &[8, 7]).await;
    };
    let ((), reply) = tokio::join!(slow, upload.finish());
    assert_eq!(reply.unwrap().total, 7);
    assert_eq!(start.elapsed(), 3600 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_goes_within_a_stream_is_an_error() {
    for method in ["sum", "count"] {
        let (greeter, far) = scripted().await;
        let (mut send, error) = match method {
            "sum" => {
                let (out, mut input) = greeter.sum().await.unwrap();
                drop(far.await.unwrap());
                (Some(out), input.message().await.unwrap_err())
            }
            _ => {
                let mut count = greeter.count(CountRequest::default()).await.unwrap();
                drop(far.await.unwrap());
                (None, count.message().await.unwrap_err())
            }
        };
        assert_eq!(
            (error.id(), error.detail()),
            ("go.micro.client.transport", "unexpected EOF")
        );
        if let Some(out) = &mut send {
            assert!(out.send(number(1)).await.is_err());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_sender_stops_at_the_servers_error() {
    let (greeter, far) = scripted().await;
    let mut upload = greeter.collect().await.unwrap();
    let mut far = far.await.unwrap();
    upload.send(number(1)).await.unwrap();
    let error = r#"{"id":"a","code":409,"detail":"enough"}"#;
    far.say(&format!("Micro-Error: {error}\r\n"), b"").await;
    settle().await;
    assert_eq!(upload.send(number(2)).await.unwrap_err().code(), 409);
    assert_eq!(upload.finish().await.unwrap_err().detail(), "enough");
    // The open, one message, and the end that Go's clients send too.
    let mut seen = Vec::new();
    while let Some(message) = far.next().await {
        seen.push(message.get("Micro-Error").map(str::to_owned));
    }
    assert_eq!(seen, [None, None, Some("EOS".into())]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_tells_the_server() {
    // A stream of messages that is given up is no finished one.
    let (greeter, far) = scripted().await;
    let (mut out, input) = greeter.sum().await.unwrap();
    out.send(number(1)).await.unwrap();
    drop((out, input));
    let mut far = far.await.unwrap();
    assert!(far.next().await.is_some() && far.next().await.is_some());
    let last = far.next().await.unwrap();
    assert!(last.get("Micro-Error").unwrap().contains("\"code\":408"));
    assert_eq!(far.next().await, None);

    // The receiver goes first, the sender later.
    let (greeter, far) = scripted().await;
    let (mut out, input) = greeter.sum().await.unwrap();
    drop(input);
    out.send(number(1)).await.unwrap();
    drop(out);
    let mut far = far.await.unwrap();
    assert!(far.next().await.is_some() && far.next().await.is_some());
    assert!(far.next().await.unwrap().get("Micro-Error").is_some());

    // A server stream has no input to be taken for whole.
    let (greeter, far) = scripted().await;
    drop(greeter.count(CountRequest::default()).await.unwrap());
    let mut far = far.await.unwrap();
    assert!(far.next().await.is_some() && far.next().await.is_some());
    assert_eq!(far.next().await.unwrap().get("Micro-Error"), Some("EOS"));
    assert_eq!(far.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_given_up_upload_fails_at_the_handler() {
    let server = serve().await;
    let greeter = server.client();
    let mut upload = greeter.collect().await.unwrap();
    upload.send(number(1)).await.unwrap();
    settle().await;
    drop(upload);
    settle().await;
    // Its handler ended with an error or was dropped; it did not reply as to a whole upload.
    assert_eq!((server.peer.started(), server.peer.dropped()), (1, 1));
    assert_eq!(server.core.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sender_that_is_dropped_ends_the_input_for_a_receiver_that_looks_on() {
    let server = serve().await;
    let (mut out, mut input) = server.client().sum().await.unwrap();
    out.send(number(1)).await.unwrap();
    drop(out);
    assert_eq!(input.message().await.unwrap().unwrap().total, 1);
    assert!(input.message().await.unwrap().is_none());
    assert_eq!(server.peer.dropped(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_for_a_slow_server_and_all_arrives() {
    let (greeter, far) = scripted().await;
    let (mut out, _input) = greeter.sum().await.unwrap();
    let mut far = far.await.unwrap();
    assert!(far.next().await.is_some());
    let mut sent = 0;
    let flood = async {
        loop {
            out.send(number(7)).await.unwrap();
            sent += 1;
        }
    };
    assert!(tokio::time::timeout(SECOND, flood).await.is_err());
    // The pipe's 64 KiB and the stream's, at some 270 bytes a message.
    assert!((200..1000).contains(&sent), "{sent}");
    // All that was sent is on its way, though nobody holds the sender now.
    for _ in 0..sent {
        assert_eq!(far.next().await.unwrap().body, [8, 7]);
    }
    let more = tokio::time::timeout(SECOND, far.next()).await;
    assert!(more.is_err());
    // And it goes on.
    out.send(number(8)).await.unwrap();
    assert_eq!(far.next().await.unwrap().body, [8, 8]);
    out.finish().await.unwrap();
    assert_eq!(far.next().await.unwrap().get("Micro-Error"), Some("EOS"));
}

#[tokio::test(start_paused = true)]
async fn both_halves_work_in_tasks_of_their_own() {
    let server = serve().await;
    let (mut out, mut input) = server.client().sum().await.unwrap();
    let receive = async {
        let mut last = 0;
        for _ in 0..5000 {
            last = input.message().await.unwrap().unwrap().total;
        }
        last
    };
    let send = async {
        for _ in 0..5000 {
            out.send(number(1)).await.unwrap();
        }
        out.finish().await.unwrap();
    };
    let ((), last) = tokio::join!(send, receive);
    assert_eq!(last, 5000);
    assert!(input.message().await.unwrap().is_none());
}

#[tokio::test]
async fn both_halves_work_on_threads_of_their_own_over_tcp() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(4)
        .enable_all()
        .build()
        .unwrap();
    let work = async {
        let setup = Setup {
            transport: Arc::new(micro_runtime::transport::Tcp),
            ..Setup::default()
        };
        let server = setup.serve().await;
        for size in [2000, 20] {
            let (mut out, mut input) = server.client().sum().await.unwrap();
            let (done, receive) = oneshot::channel();
            server.tasks.spawn(async move {
                let mut last = 0;
                for _ in 0..size {
                    last = input.message().await.unwrap().unwrap().total;
                }
                assert!(input.message().await.unwrap().is_none());
                let _ = done.send(last);
            });
            server.tasks.spawn(async move {
                for _ in 0..size {
                    out.send(number(1)).await.unwrap();
                }
                out.finish().await.unwrap();
            });
            assert_eq!(receive.await.unwrap(), size);
        }
    };
    runtime.spawn(work).await.unwrap();
    runtime.shutdown_background();
}
