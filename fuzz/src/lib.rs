//! What the targets share: one peer of ours, and the bytes of the other.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::call::Frame;
use micro_runtime::client::{Client, ClientOptions};
use micro_runtime::protocol::Protocol;
use micro_runtime::registry::Memory;
use micro_runtime::router::{Core, CoreOptions};
use micro_runtime::transport::{Connection, Memory as Network, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longer than any of our time limits, on a clock that does not wait.
const LONG: Duration = Duration::from_secs(600);

fn run(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build();
    runtime.expect("a runtime without IO").block_on(async {
        tokio::time::timeout(LONG, future)
            .await
            .expect("no input may hold a connection for ever");
    });
}

/// A server of `protocol` reads `input`, whatever it is, and the connection ends.
pub fn server(protocol: Arc<dyn Protocol>, input: &[u8]) {
    run(async {
        let core = Core::new(CoreOptions::default(), []).expect("nothing to serve");
        let (ours, theirs) = tokio::io::duplex(64 * 1024);
        let serving = protocol.serve(Connection::new(theirs, "peer", "local"), Arc::new(core));
        let (mut read, mut write) = tokio::io::split(ours);
        let feed = async {
            // A server may close before it has read all.
            let _ = write.write_all(input).await;
            let _ = write.shutdown().await;
        };
        let drain = async {
            let mut sink = [0; 4096];
            while matches!(read.read(&mut sink).await, Ok(1..)) {}
        };
        tokio::join!(serving, feed, drain);
    });
}

/// A client of `protocol` calls, and gets `input` for an answer.
pub fn client(protocol: Arc<dyn Protocol>, input: &[u8]) {
    run(async {
        let network = Network::new();
        let mut listener = network.listen("peer").await.expect("a network of its own");
        let mut options = ClientOptions::new(
            Arc::new(Memory::new()),
            Arc::new(network),
            vec![protocol.clone()],
        );
        options.fallback = protocol.name();
        let client = Client::new(options).expect("default options");
        let call = client
            .request("peer", "Say.Hello", Frame::default())
            .address("peer")
            .retries(0);
        let answer = async {
            let Connection { io, .. } = listener.accept().await.expect("a connection");
            let (mut read, mut write) = tokio::io::split(io);
            let _ = write.write_all(input).await;
            let _ = write.shutdown().await;
            let mut sink = [0; 4096];
            while matches!(read.read(&mut sink).await, Ok(1..)) {}
        };
        tokio::select! {
            biased;
            _ = call.into_future() => {}
            () = answer => {}
        }
    });
}
