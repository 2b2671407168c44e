//! Many calls of all dialects at once on one connection, and how their server ends.

use micro_runtime::codegen::prost::Message;

use crate::raw::{Raw, framed, post, read};
use crate::teller::{Net, Words, count, number, words};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn mixed_calls_on_one_connection_all_end_and_leave_nothing() {
    let net = Net::new();
    let raw = Raw::new(&net).await;
    let workers: Vec<_> = (0..16)
        .map(|worker| {
            let mut raw = Raw {
                requests: raw.requests.clone(),
            };
            tokio::spawn(async move {
                for round in 0..40 {
                    raw.requests = raw.requests.ready().await.unwrap();
                    mixed(&mut raw, (worker + round) % 6).await;
                }
            })
        })
        .collect();
    for worker in workers {
        worker.await.unwrap();
    }
    drop(raw);
    net.server.core().tasks().idle().await;
    assert_eq!(net.server.core().running(), 0);
}

async fn mixed(raw: &mut Raw, kind: usize) {
    let of = |content_type| [("content-type", content_type)];
    match kind {
        0 => {
            let sent = words("x").encode_to_vec();
            let asked = post("Say", &of("application/proto"));
            assert_eq!(raw.ask(asked, sent.clone()).await.body, sent);
        }
        1 => {
            let asked = post("Say", &of("application/json"));
            let answer = raw.ask(asked, r#"{"text":"size 9000"}"#).await;
            assert!(answer.body.len() > 9000);
        }
        2 => {
            let asked = post("Count", &of("application/grpc-web"));
            let answer = raw.ask(asked, framed(&number("", 100))).await;
            assert_eq!(answer.messages().0.len(), 100);
        }
        3 => {
            let asked = post("Count", &of("application/connect+proto"));
            let answer = raw.ask(asked, framed(&number("error", 100))).await;
            assert_eq!(answer.messages().0.len(), 100);
        }
        4 => {
            let (response, mut out) = raw.open(post("Collect", &of("application/connect+proto")));
            for i in 0..50 {
                out.send_data(framed(&number("", i)).into(), i == 49)
                    .unwrap();
            }
            let answer = read(response.await.unwrap()).await;
            assert_eq!(answer.messages().0[0].big_number, 50 * 49 / 2);
        }
        // Given up.
        _ => {
            let (response, mut out) = raw.open(post("Say", &of("application/proto")));
            let body = words("wait").encode_to_vec();
            out.send_data(body.into(), true).unwrap();
            out.send_reset(h2::Reason::CANCEL);
            assert!(response.await.is_err());
        }
    }
}

#[tokio::test]
async fn a_call_that_no_handler_has_seen_says_so() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let stream = [
        ("content-type", "application/connect+proto"),
        ("connect-timeout-ms", "0"),
    ];
    let answer = raw
        .ask(post("Count", &stream), framed(&number("", 1)))
        .await;
    assert_eq!(answer.header("micro-unprocessed"), "1");
    assert!(answer.messages().1.contains("deadline_exceeded"));
    let web = [
        ("content-type", "application/grpc-web"),
        ("grpc-timeout", "0n"),
    ];
    let answer = raw.ask(post("Say", &web), framed(&words("x"))).await;
    assert_eq!(answer.header("micro-unprocessed"), "1");
    assert_eq!(answer.header("grpc-status"), "4");
    assert_eq!(count(&net.probe.started), 0);
    let answer = raw
        .ask(post("Say", &web[..1]), framed(&words("error")))
        .await;
    assert!(!answer.head.contains_key("micro-unprocessed"));
}

#[tokio::test]
async fn dialects_differ_in_framing_alone() {
    // The same call in three ways gives the same message.
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let sent = number("same", -1);
    let connect = raw
        .ask(
            post("Say", &[("content-type", "application/proto")]),
            sent.encode_to_vec(),
        )
        .await;
    let web = raw
        .ask(
            post("Say", &[("content-type", "application/grpc-web")]),
            framed(&sent),
        )
        .await;
    let grpc = raw
        .ask(
            post("Say", &[("content-type", "application/grpc")]),
            framed(&sent),
        )
        .await;
    let words = |bytes: &[u8]| Words::decode(bytes).unwrap();
    assert_eq!(words(&connect.body), sent);
    assert_eq!(words(&web.frames()[0].1), sent);
    assert_eq!(words(&grpc.frames()[0].1), sent);
    assert_eq!(grpc.trailers.unwrap()["grpc-status"], "0");
}
