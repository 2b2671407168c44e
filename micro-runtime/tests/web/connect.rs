//! Connect's unary calls, by POST and by GET.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{URL_SAFE, URL_SAFE_NO_PAD};
use http::Method;
use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;
use serde_json::{Value, json};

use crate::raw::{Answer, Raw, gunzip, gzip, post, request};
use crate::teller::{Net, Words, count, number, words};

const PROTO: (&str, &str) = ("content-type", "application/proto");
const JSON: (&str, &str) = ("content-type", "application/json");
const VERSION: (&str, &str) = ("connect-protocol-version", "1");

fn error(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[tokio::test]
async fn a_unary_call_is_one_message_each_way() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let sent = number("x", 1 << 60);
    let answer = raw
        .ask(post("Say", &[PROTO, VERSION]), sent.encode_to_vec())
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/proto");
    assert_eq!(
        answer.header("content-length"),
        answer.body.len().to_string()
    );
    assert_eq!(Words::decode(&*answer.body).unwrap(), sent);
    assert!(answer.trailers.is_none());

    let json = r#"{"text":"x","bigNumber":"1152921504606846976"}"#;
    let answer = raw.ask(post("Say", &[JSON, VERSION]), json).await;
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.text(), json);

    let answer = raw
        .ask(post("Say", &[PROTO]), words("peer").encode_to_vec())
        .await;
    assert_eq!(Words::decode(&*answer.body).unwrap().text, "connect");
}

#[tokio::test]
async fn metadata_goes_in_and_comes_back_in_the_head() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let headers = [
        PROTO,
        VERSION,
        ("tenant", "blue"),
        ("key-bin", "AAEC"),
        ("twice", "a"),
        ("twice", "b"),
        ("connect-timeout-ms", "5000"),
        ("accept-encoding", "gzip"),
        ("user-agent", "test/1"),
    ];
    let answer = raw
        .ask(post("Say", &headers), words("metadata").encode_to_vec())
        .await;
    let seen = Words::decode(&*answer.body).unwrap().metadata;
    let seen: Vec<_> = seen.iter().map(|(k, v)| (&**k, &**v)).collect();
    assert_eq!(
        seen,
        [
            ("key-bin", "AAEC"),
            ("tenant", "blue"),
            ("twice", "a, b"),
            ("user-agent", "test/1")
        ]
    );
    assert_eq!(answer.header("seen"), "yes");
    assert_eq!(answer.header("raw-bin"), "AAEC");
    assert_eq!(answer.header("trailer-took"), "long");
    assert_eq!(answer.header("trailer-end-bin"), "AwQ");
}

#[tokio::test]
async fn an_error_is_json_with_a_status() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let answer = raw
        .ask(
            post("Say", &[PROTO, VERSION]),
            words("error").encode_to_vec(),
        )
        .await;
    assert_eq!(answer.status, 404);
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("retry-after"), "3");
    assert_eq!(
        error(&answer.body),
        json!({
            "code": "not_found",
            "message": "no such <thing> é \"\n",
            "details": [{"type": "test.Words", "value": "CgF4"}],
        })
    );
    for (code, name, status) in [
        (1, "canceled", 499),
        (2, "unknown", 500),
        (3, "invalid_argument", 400),
        (4, "deadline_exceeded", 504),
        (5, "not_found", 404),
        (6, "already_exists", 409),
        (7, "permission_denied", 403),
        (8, "resource_exhausted", 429),
        (9, "failed_precondition", 400),
        (10, "aborted", 409),
        (11, "out_of_range", 400),
        (12, "unimplemented", 501),
        (13, "internal", 500),
        (14, "unavailable", 503),
        (15, "data_loss", 500),
        (16, "unauthenticated", 401),
    ] {
        let asked = words(&format!("code {code}")).encode_to_vec();
        let answer = raw.ask(post("Say", &[PROTO]), asked).await;
        assert_eq!(answer.status, status, "{name}");
        assert_eq!(error(&answer.body)["code"], name);
    }
    // What the handler has set to go back goes with its error.
    let answer = raw
        .ask(post("Say", &[PROTO]), words("both").encode_to_vec())
        .await;
    assert_eq!(
        (answer.header("seen"), answer.header("took")),
        ("yes", "long")
    );
}

#[tokio::test]
async fn a_client_of_ours_reads_go_micros_error_in_the_details() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let ours = ("user-agent", "micro-rust/0.1");
    let answer = raw
        .ask(post("Say", &[PROTO, ours]), words("error").encode_to_vec())
        .await;
    let details = &error(&answer.body)["details"];
    assert_eq!(details[0]["type"], "errors.Error");
    assert_eq!(details[1]["type"], "test.Words");
}

#[tokio::test]
async fn a_deadline_is_in_milliseconds() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let mut ask = async |timeout, text| {
        let headers = [PROTO, ("connect-timeout-ms", timeout)];
        raw.ask(post("Say", &headers), words(text).encode_to_vec())
            .await
    };
    let answer = ask("60000", "remaining").await;
    let left = Words::decode(&*answer.body).unwrap().big_number;
    assert!((50_000..=60_000).contains(&left), "{left}");
    let answer = ask("20", "wait").await;
    assert_eq!(answer.status, 504);
    assert_eq!(error(&answer.body)["code"], "deadline_exceeded");
    assert_eq!(count(&net.probe.dropped), 1);
    let answer = ask("0", "x").await;
    assert_eq!(answer.status, 504);
    assert_eq!(answer.header("micro-unprocessed"), "1");
    for wrong in ["12345678901", "soon", "-1"] {
        let answer = ask(wrong, "x").await;
        assert_eq!(error(&answer.body)["code"], "invalid_argument", "{wrong}");
        assert_eq!(answer.status, 400);
    }
}

#[tokio::test]
async fn a_caller_who_is_gone_drops_the_handler() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let (response, mut out) = raw.open(post("Say", &[PROTO]));
    out.send_data(words("wait").encode_to_vec().into(), true)
        .unwrap();
    net.probe.until(|probe| count(&probe.started) == 1).await;
    out.send_reset(h2::Reason::CANCEL);
    drop(response);
    net.probe.until(|probe| count(&probe.dropped) == 1).await;
}

#[tokio::test]
async fn bodies_are_compressed_where_both_read_it() {
    let mut settings = Grpc::new();
    settings.compress = true;
    let net = Net::with(settings, Limits::default());
    let mut raw = Raw::new(&net).await;
    let sent = words(&"again and ".repeat(500));
    let packed = gzip(&sent.encode_to_vec());
    let encoded = ("content-encoding", "gzip");
    let accepts = ("accept-encoding", "br, gzip;q=0.8");
    let answer = raw
        .ask(post("Say", &[PROTO, encoded, accepts]), packed.clone())
        .await;
    assert_eq!(answer.header("content-encoding"), "gzip");
    assert!(answer.body.len() < 200);
    assert_eq!(Words::decode(&*gunzip(&answer.body)).unwrap(), sent);
    // Small replies, and those to who does not read it, stay as they are.
    let answer = raw
        .ask(post("Say", &[PROTO, accepts]), words("x").encode_to_vec())
        .await;
    assert_eq!(answer.header("content-encoding"), "");
    let answer = raw.ask(post("Say", &[PROTO, encoded]), packed).await;
    assert_eq!(answer.header("content-encoding"), "");
    assert_eq!(Words::decode(&*answer.body).unwrap(), sent);
    // Nothing is an empty message, packed or not.
    let answer = raw.ask(post("Say", &[PROTO, encoded]), vec![]).await;
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    let answer = raw.ask(post("Say", &[PROTO, encoded]), vec![1, 2, 3]).await;
    assert_eq!(error(&answer.body)["code"], "internal");
    let unknown = ("content-encoding", "zip");
    let answer = raw.ask(post("Say", &[PROTO, unknown]), vec![]).await;
    assert_eq!(answer.status, 501);
    assert_eq!(error(&answer.body)["code"], "unimplemented");
    assert!(
        error(&answer.body)["message"]
            .as_str()
            .unwrap()
            .contains("gzip")
    );
    assert!(answer.header("accept-encoding").contains("gzip"));
}

#[tokio::test]
async fn a_method_without_side_effects_may_be_got() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let mut get = async |method: &str, query: &str, headers: &[(&str, &str)]| {
        let path = format!("/test.Teller/{method}?{query}");
        raw.get(request(Method::GET, &path, headers)).await
    };
    let json = "connect=v1&encoding=json&message=%7B%22text%22%3A%22a+b%22%7D";
    let answer = get("Look", json, &[]).await;
    assert_eq!((answer.status, answer.text()), (200, r#"{"text":"a b"}"#));
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");

    let sent = number("~~~???", 7).encode_to_vec();
    let packed = gzip(&sent);
    for query in [
        format!("encoding=proto&base64=1&message={}", URL_SAFE.encode(&sent)),
        format!(
            "base64=1&message={}&encoding=proto",
            URL_SAFE_NO_PAD.encode(&sent)
        ),
        format!(
            "encoding=proto&compression=gzip&base64=1&connect=v1&message={}",
            URL_SAFE.encode(&packed)
        ),
    ] {
        let answer = get("Look", &query, &[]).await;
        assert_eq!(answer.status, 200, "{query}");
        assert_eq!(answer.body, sent);
    }

    for (query, status, code) in [
        ("encoding=json", 400, "invalid_argument"),
        ("message=%7B%7D", 400, "invalid_argument"),
        (
            "encoding=json&message=%7B%7D&connect=v2",
            400,
            "invalid_argument",
        ),
        (
            "encoding=json&message=%7B%7D&base64=1",
            400,
            "invalid_argument",
        ),
        ("encoding=json&message=%7B", 400, "invalid_argument"),
        (
            "encoding=json&message=%7B%7D&compression=zip",
            501,
            "unimplemented",
        ),
        ("encoding=xml&message=%7B%7D", 415, ""),
    ] {
        let answer = get("Look", query, &[]).await;
        assert_eq!(answer.status, status, "{query}");
        assert_code(&answer, code);
    }
    let started = count(&net.probe.started);
    let answer = get("Say", json, &[]).await;
    assert_eq!((answer.status, answer.header("allow")), (405, "POST"));
    let answer = get("Count", json, &[]).await;
    assert_eq!(answer.status, 405);
    assert_eq!(count(&net.probe.started), started);
    // The deadline and metadata are in the head as ever.
    let metadata = "encoding=json&message=%7B%22text%22%3A%22metadata%22%7D";
    let headers = [("tenant", "blue"), ("connect-timeout-ms", "5000")];
    let answer = get("Look", metadata, &headers).await;
    assert!(answer.text().contains(r#""tenant":"blue""#), "{answer:?}");
}

#[tokio::test]
async fn what_is_no_call_is_refused_with_a_status() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    for (method, path, headers, status, code) in [
        (
            Method::DELETE,
            "/test.Teller/Say",
            vec![PROTO],
            405,
            "unknown",
        ),
        (Method::PUT, "/test.Teller/Say", vec![JSON], 405, "unknown"),
        (
            Method::POST,
            "/test.Other/Say",
            vec![PROTO],
            404,
            "unimplemented",
        ),
        (
            Method::POST,
            "/test.Teller/Other",
            vec![PROTO],
            404,
            "unimplemented",
        ),
        (
            Method::POST,
            "/favicon.ico",
            vec![PROTO],
            404,
            "unimplemented",
        ),
        (Method::POST, "/a/b/c", vec![PROTO], 404, "unimplemented"),
        (
            Method::POST,
            "/test.Teller/Say",
            vec![("content-type", "application/foo")],
            415,
            "",
        ),
        (
            Method::POST,
            "/test.Teller/Say",
            vec![("content-type", "application/connect+proto")],
            415,
            "",
        ),
        (Method::POST, "/test.Teller/Count", vec![PROTO], 415, ""),
        (
            Method::POST,
            "/test.Teller/Say",
            vec![PROTO, ("connect-protocol-version", "2")],
            400,
            "invalid_argument",
        ),
    ] {
        let answer = raw.ask(request(method, path, &headers), vec![]).await;
        assert_eq!(answer.status, status, "{path} {headers:?}");
        assert_code(&answer, code);
        let lists = answer.header("accept-post").contains("application/");
        assert_eq!(lists, status == 415);
        assert_eq!(answer.head.contains_key("allow"), status == 405);
    }
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn a_panic_is_an_internal_error_and_the_connection_lives_on() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let asked = words("panic").encode_to_vec();
    let answer = raw.ask(post("Say", &[PROTO]), asked).await;
    assert_eq!(answer.status, 500);
    assert_eq!(error(&answer.body)["code"], "internal");
    let answer = raw.ask(post("Say", &[PROTO]), vec![]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_request_whose_body_does_not_come_is_given_up() {
    let mut limits = Limits::default();
    limits.request_read = Duration::from_millis(30);
    let net = Net::with(Grpc::new(), limits);
    let mut raw = Raw::new(&net).await;
    let (response, mut out) = raw.open(post("Say", &[PROTO]));
    out.send_data(vec![10].into(), false).unwrap();
    let answer = crate::raw::read(response.await.unwrap()).await;
    assert_eq!(answer.status, 504);
    assert_eq!(count(&net.probe.started), 0);
}

/// The answer is an error of this code; for none, words for a person.
fn assert_code(answer: &Answer, code: &str) {
    match code {
        "" => assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8"),
        _ => assert_eq!(error(&answer.body)["code"], code, "{answer:?}"),
    }
}
