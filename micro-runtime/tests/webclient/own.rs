//! Against our own server.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::call::Dispatch;
use micro_runtime::protocol::{Connect, Grpc, GrpcWeb, HttpVersion, Protocol, Web};
use micro_runtime::router::{Core, CoreOptions};
use micro_runtime::server::Server;
use micro_runtime::transport::Connection;
use tokio::net::TcpListener;

use crate::net::client;
use crate::say::{Probe, Say, SayClient, Word, count, full_error, sized, word};

/// A server, and a client that calls it in `protocol`.
async fn net(protocol: impl Protocol) -> (Arc<Probe>, SayClient) {
    let probe = Arc::new(Probe::default());
    let mut options = CoreOptions::default();
    options.name = "test.say".into();
    let service = Arc::new(Say(probe.clone())) as Arc<dyn Dispatch>;
    let core = Core::new(options, [service]).unwrap();
    let server = Server::new(core, vec![Arc::new(Grpc::new()), Arc::new(Web::default())]).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((io, peer)) = listener.accept().await {
            server.attach(Connection::new(io, peer.to_string(), "server"));
        }
    });
    (probe, client(protocol, &address).await)
}

fn connect(http: HttpVersion) -> Connect {
    let mut connect = Connect::new();
    connect.http = http;
    connect.compress = Some(512);
    connect
}

fn grpc_web(http: HttpVersion) -> GrpcWeb {
    let mut web = GrpcWeb::new();
    web.http = http;
    web.compress = true;
    web
}

/// The same of both dialects over both versions of HTTP.
macro_rules! of_all {
    ($($name:ident)*) => {$(
        mod $name {
            use micro_runtime::protocol::HttpVersion::{Http1, Http2};

            #[tokio::test]
            async fn connect_http1() {
                super::check::$name(super::connect(Http1)).await;
            }

            #[tokio::test]
            async fn connect_http2() {
                super::check::$name(super::connect(Http2)).await;
            }

            #[tokio::test]
            async fn grpc_web_http1() {
                super::check::$name(super::grpc_web(Http1)).await;
            }

            #[tokio::test]
            async fn grpc_web_http2() {
                super::check::$name(super::grpc_web(Http2)).await;
            }
        }
    )*};
}

of_all! {
    all_four_kinds
    errors_come_whole
    metadata_goes_both_ways
    deadlines_and_cancels_reach_the_handler
    a_stream_given_up_drops_its_handler
    large_messages_go_both_ways
}

#[cfg(feature = "zstd")]
#[tokio::test]
async fn what_is_sent_may_be_in_zstd() {
    use micro_runtime::protocol::Compression;

    let mut connect = connect(HttpVersion::Http1);
    connect.compression = Compression::Zstd;
    check::large_messages_go_both_ways(connect).await;
    let mut web = grpc_web(HttpVersion::Http2);
    web.compression = Compression::Zstd;
    check::large_messages_go_both_ways(web).await;
}

mod check {
    use super::*;

    pub async fn all_four_kinds(protocol: impl Protocol) {
        let (_, say) = net(protocol).await;
        assert_eq!(say.hello(word("hi")).await.unwrap(), word("hi"));
        assert_eq!(say.hello(Word::default()).await.unwrap(), Word::default());
        let three = Word {
            number: 3,
            ..Word::default()
        };
        let mut reply = say.count(three.clone()).full().await.unwrap();
        let mut numbers = Vec::new();
        while let Some(word) = reply.message.message().await.unwrap() {
            numbers.push(word.number);
        }
        assert_eq!(numbers, [0, 1, 2]);
        assert_eq!(reply.metadata.get("opening"), Some("here"));
        assert_eq!(reply.message.trailers().get("sum"), Some("3"));
        let mut upload = say.collect().await.unwrap();
        upload.send(three.clone()).await.unwrap();
        upload.send(three.clone()).await.unwrap();
        assert_eq!(upload.finish().await.unwrap().number, 6);
        let (mut send, mut receive) = say.sum().await.unwrap();
        for sum in [3, 6, 9] {
            send.send(three.clone()).await.unwrap();
            assert_eq!(receive.message().await.unwrap().unwrap().number, sum);
        }
        send.finish().await.unwrap();
        assert_eq!(receive.message().await.unwrap(), None);
    }

    pub async fn errors_come_whole(protocol: impl Protocol) {
        let (_, say) = net(protocol).await;
        let error = say.hello(word("error")).await.unwrap_err();
        assert_eq!(error, full_error());
        assert_eq!(error.grpc_code(), Some(5));
        // Connect names a type without a host.
        let details = |error: &micro_runtime::Error| -> Vec<_> {
            let details = error.details().iter();
            let name = |url: &str| url.rsplit('/').next().unwrap().to_owned();
            details
                .map(|detail| (name(&detail.type_url), detail.value.clone()))
                .collect()
        };
        assert_eq!(details(&error), details(&full_error()));
        assert_eq!(error.metadata().get("retry-after"), Some("3"));
        let error = say.hello(word("borrowed")).await.unwrap_err();
        assert!(!error.is_unprocessed());
        let mut stream = say
            .count(Word {
                text: "fail".into(),
                number: 1,
                ..Word::default()
            })
            .await
            .unwrap();
        assert_eq!(stream.message().await.unwrap().unwrap().number, 0);
        let error = stream.message().await.unwrap_err();
        assert_eq!((error.code(), error.detail()), (409, "no more"));
        let missing = say.0.unary::<_, Word>("Say.Missing", word("x")).await;
        assert_eq!(missing.unwrap_err().grpc_code(), Some(12));
    }

    pub async fn metadata_goes_both_ways(protocol: impl Protocol) {
        let (_, say) = net(protocol).await;
        let reply = say
            .hello(word("metadata"))
            .metadata("Tenant", "blue")
            .metadata("trace-bin", "AAEC")
            .full()
            .await
            .unwrap();
        let seen = &reply.message.text;
        assert!(
            seen.contains("tenant=blue;") && seen.contains("trace-bin=AAEC;"),
            "{seen}"
        );
        for hidden in ["connect-", "x-grpc-web", "grpc-", "content-"] {
            assert!(!seen.contains(hidden), "{hidden}: {seen}");
        }
        assert_eq!(reply.metadata.get("seen"), Some("yes"));
        assert_eq!(reply.trailers.get("took"), Some("long"));
    }

    pub async fn deadlines_and_cancels_reach_the_handler(protocol: impl Protocol) {
        let (probe, say) = net(protocol).await;
        let limit = Duration::from_secs(2);
        let left = say.hello(word("remaining")).timeout(limit).await.unwrap();
        assert!(
            (1_000_000..=2_001_000).contains(&left.number),
            "{}",
            left.number
        );
        let call = say.hello(word("wait")).timeout(Duration::from_millis(100));
        assert!(call.await.unwrap_err().is_timeout());
        probe.until(|probe| count(&probe.dropped) == 1).await;
    }

    pub async fn a_stream_given_up_drops_its_handler(protocol: impl Protocol) {
        let (probe, say) = net(protocol).await;
        let mut stream = say
            .count(Word {
                text: "wait".into(),
                number: 1,
                ..Word::default()
            })
            .await
            .unwrap();
        assert_eq!(stream.message().await.unwrap().unwrap().number, 0);
        drop(stream);
        probe.until(|probe| count(&probe.dropped) == 1).await;
        assert_eq!(say.hello(word("next")).await.unwrap(), word("next"));
    }

    pub async fn large_messages_go_both_ways(protocol: impl Protocol) {
        let (_, say) = net(protocol).await;
        let large = sized("x", 3 << 20);
        assert_eq!(say.hello(large.clone()).await.unwrap(), large);
        let (mut send, mut receive) = say.sum().await.unwrap();
        for _ in 0..3 {
            let (sent, received) = tokio::join!(send.send(large.clone()), receive.message());
            sent.unwrap();
            assert_eq!(received.unwrap().unwrap().data.len(), 3 << 20);
        }
    }
}
