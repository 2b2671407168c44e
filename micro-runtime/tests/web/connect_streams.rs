//! Connect's streams.

use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use serde_json::{Value, json};

use crate::raw::{Answer, Raw, frame, framed, gunzip, gzip, post, read, some};
use crate::teller::{Net, Words, count, number, words};
use micro_runtime::codegen::prost::Message;

const PROTO: (&str, &str) = ("content-type", "application/connect+proto");
const JSON: (&str, &str) = ("content-type", "application/connect+json");

fn end(answer: &Answer) -> (Vec<Words>, Value) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.trailers.is_none());
    let (messages, end) = answer.messages();
    (messages, serde_json::from_str(&end).unwrap())
}

fn numbers(messages: &[Words]) -> Vec<i64> {
    messages.iter().map(|message| message.big_number).collect()
}

#[tokio::test]
async fn a_server_stream_ends_with_json() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let answer = raw
        .ask(post("Count", &[PROTO]), framed(&number("", 3)))
        .await;
    assert_eq!(answer.header("content-type"), "application/connect+proto");
    assert_eq!(answer.header("opening"), "here");
    let (messages, end) = end(&answer);
    assert_eq!(numbers(&messages), [0, 1, 2]);
    assert_eq!(end, json!({"metadata": {"sum": ["3"]}}));

    let body = frame(0, br#"{"bigNumber":"2"}"#);
    let answer = raw.ask(post("Count", &[JSON]), body).await;
    let frames = answer.frames();
    assert_eq!(answer.header("content-type"), "application/connect+json");
    let texts: Vec<_> = frames
        .iter()
        .map(|(flag, text)| (*flag, std::str::from_utf8(text).unwrap()))
        .collect();
    assert_eq!(
        texts,
        [
            (0, "{}"),
            (0, r#"{"bigNumber":"1"}"#),
            (2, r#"{"metadata":{"sum":["2"]}}"#)
        ]
    );
}

#[tokio::test]
async fn an_error_ends_a_stream_after_what_was_sent() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    for sent in [0, 2] {
        let answer = raw
            .ask(post("Count", &[PROTO]), framed(&number("error", sent)))
            .await;
        assert_eq!(answer.header("opening"), "here");
        let (messages, end) = end(&answer);
        assert_eq!(messages.len() as i64, sent);
        assert_eq!(
            end,
            json!({
                "error": {
                    "code": "not_found",
                    "message": "no such <thing> é \"\n",
                    "details": [{"type": "test.Words", "value": "CgF4"}],
                },
                "metadata": {"retry-after": ["3"], "sum": [sent.to_string()]},
            })
        );
    }
}

#[tokio::test]
async fn client_streams_and_both_ways_are_served() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let three: Vec<u8> = (1..4).flat_map(|n| framed(&number("a", n))).collect();
    let answer = raw.ask(post("Collect", &[PROTO]), three.clone()).await;
    let (messages, said) = end(&answer);
    assert_eq!(messages, [number("aaa", 6)]);
    assert_eq!(said, json!({"metadata": {"done": ["yes"]}}));
    let answer = raw.ask(post("Collect", &[PROTO]), vec![]).await;
    assert_eq!(end(&answer).0, [Words::default()]);
    // All asked before anything is answered.
    let answer = raw.ask(post("Talk", &[PROTO]), three).await;
    assert_eq!(numbers(&end(&answer).0), [1, 3, 6]);
    // In turns.
    let (response, mut out) = raw.open(post("Talk", &[PROTO]));
    out.send_data(framed(&number("", 5)).into(), false).unwrap();
    let mut response = response.await.unwrap();
    for sum in [5, 10, 15] {
        let frames = some(response.body_mut(), 1).await;
        assert_eq!(Words::decode(&*frames[0].1).unwrap().big_number, sum);
        out.send_data(framed(&number("", 5)).into(), sum == 15)
            .unwrap();
    }
    let rest = some(response.body_mut(), 2).await;
    assert_eq!((rest[1].0, &*rest[1].1), (2, &b"{}"[..]));
}

#[tokio::test]
async fn one_message_is_neither_none_nor_two() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let one = framed(&number("", 1));
    for body in [vec![], [one.clone(), one.clone()].concat()] {
        let answer = raw.ask(post("Count", &[PROTO]), body).await;
        let (messages, end) = end(&answer);
        assert!(messages.is_empty());
        assert_eq!(end["error"]["code"], "unimplemented");
    }
    // Also where the second comes later.
    let (response, mut out) = raw.open(post("Count", &[PROTO]));
    out.send_data(one.clone().into(), false).unwrap();
    tokio::task::yield_now().await;
    out.send_data(one.into(), true).unwrap();
    let answer = read(response.await.unwrap()).await;
    assert_eq!(end(&answer).1["error"]["code"], "unimplemented");
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn messages_are_compressed_one_by_one() {
    let mut settings = Grpc::new();
    settings.compress = true;
    let net = Net::with(settings, Limits::default());
    let mut raw = Raw::new(&net).await;
    let packed = ("connect-content-encoding", "gzip");
    let accepts = ("connect-accept-encoding", "gzip");
    let long = words(&"again and ".repeat(500)).encode_to_vec();
    let body = [frame(1, &gzip(&long)), framed(&words("!"))].concat();
    let answer = raw
        .ask(post("Collect", &[PROTO, packed, accepts]), body.clone())
        .await;
    assert_eq!(answer.header("connect-content-encoding"), "gzip");
    let frames = answer.frames();
    let reply = Words::decode(&*gunzip(&frames[0].1)).unwrap();
    assert_eq!((frames[0].0, reply.text.len()), (1, 5001));
    assert_eq!(frames[1].0, 2);

    let answer = raw.ask(post("Collect", &[PROTO]), body).await;
    assert_eq!(end(&answer).1["error"]["code"], "internal");
    let unknown = ("connect-content-encoding", "zip");
    let answer = raw.ask(post("Collect", &[PROTO, unknown]), vec![]).await;
    let (_, end) = end(&answer);
    assert_eq!(end["error"]["code"], "unimplemented");
    assert!(answer.header("connect-accept-encoding").contains("gzip"));
}

#[tokio::test]
async fn a_deadline_ends_a_stream() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let timeout = ("connect-timeout-ms", "30");
    let answer = raw
        .ask(post("Count", &[PROTO, timeout]), framed(&number("wait", 2)))
        .await;
    let (messages, end) = end(&answer);
    assert_eq!(messages.len(), 2);
    assert_eq!(end["error"]["code"], "deadline_exceeded");
    assert_eq!(count(&net.probe.dropped), 1);
}

#[tokio::test]
async fn a_caller_who_is_gone_drops_the_handler_of_a_stream() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let (response, mut out) = raw.open(post("Collect", &[PROTO]));
    out.send_data(framed(&words("hold")).into(), false).unwrap();
    net.probe.until(|probe| count(&probe.received) == 1).await;
    out.send_reset(h2::Reason::CANCEL);
    drop(response);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
}
