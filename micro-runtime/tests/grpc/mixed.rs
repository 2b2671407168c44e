//! All at once: protocols on one port, kinds of calls on one connection, and wrong bytes.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use micro_runtime::Result;
use micro_runtime::call::Dispatch;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::protocol::{Braid, Destination, Environment, Grpc, Protocol};
use micro_runtime::router::{Core, CoreOptions};
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::generated::greeter::GreeterServer;
use crate::greeter::Peer;
use crate::net::Net;
use crate::pipes::{Pipes, client};
use crate::say::{Say, SayClient, Word, sized, word};

#[tokio::test]
async fn one_port_tells_three_protocols_apart() -> Result<()> {
    let tasks = Tasks::new();
    let mut options = CoreOptions::default();
    options.tasks = tasks.group();
    let service: Arc<dyn Dispatch> = Arc::new(Say::default());
    let core = Core::new(options, [service])?;
    let all: Vec<Arc<dyn Protocol>> = vec![
        Arc::new(Braid::default()),
        Arc::new(Grpc::new()),
        Arc::new(Mucp::new()),
    ];
    let server = Server::new(core, all.clone())?;
    let (pipes, mut dialled) = Pipes::new(64 * 1024);
    tasks.spawn(async move {
        while let Some(io) = dialled.recv().await {
            server.attach(Connection::new(io, "caller", "server"));
        }
    });
    for protocol in all {
        let environment = Environment {
            transport: pipes.clone(),
            tasks: tasks.clone(),
            pool_size: 1,
            pool_ttl: Duration::from_secs(60),
            max_message: 64 << 20,
        };
        let node = Destination {
            address: "server".into(),
            id: "node-1".into(),
            legacy: false,
        };
        let say = client(&protocol.channel(node, &environment));
        assert_eq!(say.hello(word("peer")).await?.text, protocol.name());
    }
    Ok(())
}

#[tokio::test]
async fn recordings_with_wrong_bytes_end_and_the_server_lives_on() {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below as u64) as usize
    };
    for name in ["grpc_unary", "grpc_server_stream", "grpc_bidi_stream"] {
        let whole = crate::vectors::recorded(&format!("{name}.c2s.bin"));
        for _ in 0..300 {
            let mut bytes = whole.clone();
            for _ in 0..1 + random(4) {
                // The preface is the sniffer's.
                let at = 24 + random(bytes.len() - 24);
                match random(3) {
                    0 => bytes[at] = random(256) as u8,
                    1 => bytes[at] ^= 1 << random(8),
                    _ => bytes.truncate(at.max(40)),
                }
            }
            let mut options = CoreOptions::default();
            options.tasks = Tasks::new();
            let service: Arc<dyn Dispatch> = Arc::new(GreeterServer::new(Peer::default()));
            let core = Arc::new(Core::new(options, [service]).unwrap());
            let (mut client, io) = tokio::io::duplex(64 * 1024);
            client.write_all(&bytes).await.unwrap();
            client.shutdown().await.unwrap();
            let read = async {
                let mut answer = Vec::new();
                let _ = client.read_to_end(&mut answer).await;
            };
            // In this task, where a panic would be seen.
            let grpc = Grpc::new();
            let served = async {
                grpc.serve(Connection::new(io, "caller", "server"), core.clone())
                    .await;
                core.tasks().idle().await;
            };
            let both = async { tokio::join!(read, served) };
            tokio::time::timeout(Duration::from_secs(20), both)
                .await
                .unwrap_or_else(|_| panic!("{name} goes on for ever: {bytes:?}"));
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mixed_calls_at_once_all_end_and_leave_nothing() -> Result<()> {
    let net = Net::new();
    let workers: Vec<_> = (0..24_u64)
        .map(|worker| {
            let say = net.say.clone();
            tokio::spawn(async move {
                for round in 0..60 {
                    mixed(&say, (worker + round) % 6).await?;
                }
                Ok::<_, micro_runtime::Error>(())
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap()?;
    }
    assert_eq!(net.pipes.dials.load(Ordering::SeqCst), 1);
    net.channel.close();
    net.server.core().tasks().idle().await;
    assert_eq!(net.server.core().running(), 0);
    Ok(())
}

async fn mixed(say: &SayClient, kind: u64) -> Result<()> {
    let number = |number| Word {
        number,
        ..Word::default()
    };
    match kind {
        0 => assert_eq!(say.hello(sized("echo", 20_000)).await?.data.len(), 20_000),
        1 => {
            let mut replies = say.count(number(200)).await?;
            let mut came = 0;
            while replies.message().await?.is_some() {
                came += 1;
            }
            assert_eq!(came, 200);
        }
        2 => {
            let (mut send, mut receive) = say.sum().await?;
            for i in 0..20 {
                send.send(sized("", 3_000 + i)).await?;
                receive.message().await?.unwrap();
            }
            send.finish().await?;
            assert!(receive.message().await?.is_none());
        }
        3 => {
            let mut upload = say.collect().await?;
            for i in 0..50 {
                upload.send(number(i)).await?;
            }
            assert_eq!(upload.finish().await?.number, 50 * 49 / 2);
        }
        // Given up: at once, or in the middle.
        4 => {
            let call = async { say.hello(word("wait")).await };
            let limit = Duration::from_millis(1);
            assert!(tokio::time::timeout(limit, call).await.is_err());
        }
        _ => {
            let mut replies = say.count(number(2_000)).await?;
            for _ in 0..10 {
                replies.message().await?.unwrap();
            }
        }
    }
    Ok(())
}
