//! What pages of other origins may do.

use http::Method;
use micro_runtime::codegen::prost::Message;
use micro_runtime::protocol::Grpc;
use micro_runtime::router::Limits;

use crate::raw::{Raw, framed, post, request};
use crate::teller::{Net, count, number, words};

const ORIGIN: (&str, &str) = ("origin", "https://app.example");
const PROTO: (&str, &str) = ("content-type", "application/proto");
const WEB: (&str, &str) = ("content-type", "application/grpc-web");

/// The names that a header lists.
fn list(value: &str) -> Vec<&str> {
    value.split(',').map(str::trim).collect()
}

#[tokio::test]
async fn a_preflight_of_an_allowed_origin_is_answered() {
    let net = Net::of_origin("https://app.example");
    let mut raw = Raw::new(&net).await;
    let headers = [
        ORIGIN,
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "content-type,connect-protocol-version, x-tenant",
        ),
    ];
    let asked = request(Method::OPTIONS, "/test.Teller/Say", &headers);
    let answer = raw.get(asked).await;
    assert_eq!(answer.status, 204);
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!(allowed, "https://app.example");
    assert_eq!(answer.header("access-control-allow-methods"), "GET, POST");
    let sent = list(answer.header("access-control-allow-headers"));
    for name in [
        "content-type",
        "connect-protocol-version",
        "connect-timeout-ms",
        "grpc-timeout",
        "x-grpc-web",
        "x-user-agent",
        "x-tenant",
    ] {
        assert!(sent.contains(&name), "{name}");
    }
    assert!(
        answer
            .header("access-control-max-age")
            .parse::<u32>()
            .unwrap()
            > 0
    );
    assert!(list(answer.header("vary")).contains(&"Origin"));
    assert!(!answer.head.contains_key("access-control-allow-credentials"));
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn a_page_reads_what_the_answer_says() {
    let net = Net::of_origin("https://app.example");
    let mut raw = Raw::new(&net).await;
    let asked = words("metadata");
    let answer = raw
        .ask(post("Say", &[PROTO, ORIGIN]), asked.encode_to_vec())
        .await;
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, allowed), (200, "https://app.example"));
    assert_eq!(answer.header("vary"), "Origin");
    let exposed = list(answer.header("access-control-expose-headers"));
    for name in ["seen", "raw-bin", "trailer-took"] {
        assert!(exposed.contains(&name), "{name} in {exposed:?}");
    }
    // An error is for the page as well, whichever way it is told.
    let failing = words("error");
    let answer = raw.ask(post("Say", &[WEB, ORIGIN]), framed(&failing)).await;
    let exposed = list(answer.header("access-control-expose-headers"));
    for name in ["grpc-status", "grpc-message", "grpc-status-details-bin"] {
        assert!(exposed.contains(&name), "{name} in {exposed:?}");
    }
    let answer = raw.ask(post("Other", &[PROTO, ORIGIN]), vec![]).await;
    let allowed = answer.header("access-control-allow-origin");
    assert_eq!((answer.status, allowed), (404, "https://app.example"));
    let answer = raw
        .ask(post("Count", &[WEB, ORIGIN]), framed(&number("", 1)))
        .await;
    let exposed = list(answer.header("access-control-expose-headers"));
    assert_eq!(exposed, ["opening"]);
    // Answers to others differ: who keeps them is told.
    let answer = raw.ask(post("Say", &[PROTO]), vec![]).await;
    assert_eq!(answer.header("vary"), "Origin");
    assert!(!answer.head.contains_key("access-control-allow-origin"));
}

#[tokio::test]
async fn pages_of_other_origins_are_refused_before_dispatch() {
    let net = Net::of_origin("https://app.example");
    let mut raw = Raw::new(&net).await;
    for origin in [
        "https://evil.example",
        "http://app.example",
        "https://app.example.evil.example",
        "null",
    ] {
        let headers = [("origin", origin)];
        let preflight = [
            ("origin", origin),
            ("access-control-request-method", "POST"),
        ];
        let with = |content_type| [("content-type", content_type), headers[0]];
        for asked in [
            request(Method::OPTIONS, "/test.Teller/Say", &preflight),
            request(
                Method::GET,
                "/test.Teller/Look?encoding=json&message=%7B%7D",
                &headers,
            ),
            post("Say", &with("application/json")),
            post("Say", &with("application/proto")),
            post("Say", &with("application/grpc-web-text")),
            post("Say", &with("application/grpc")),
            post("Count", &with("application/connect+json")),
            post("Say", &headers),
        ] {
            let what = format!("{asked:?}");
            let answer = raw.ask(asked, vec![]).await;
            assert_eq!(answer.status, 403, "{what}");
            assert!(!answer.head.contains_key("access-control-allow-origin"));
        }
    }
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn by_default_no_page_may_call_and_a_star_lets_all() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let answer = raw.ask(post("Say", &[PROTO, ORIGIN]), vec![]).await;
    assert_eq!(answer.status, 403);
    let answer = raw.ask(post("Say", &[PROTO]), vec![]).await;
    assert_eq!((answer.status, answer.header("vary")), (200, ""));

    let net = Net::of_origin("*");
    let mut raw = Raw::new(&net).await;
    let answer = raw.ask(post("Say", &[PROTO, ORIGIN]), vec![]).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn a_form_is_refused_with_the_header_to_send() {
    let net = Net::of_origin("*");
    let mut raw = Raw::new(&net).await;
    for form in [
        "text/plain",
        "text/plain;charset=UTF-8",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
    ] {
        let answer = raw
            .ask(post("Say", &[("content-type", form)]), r#"{"text":"x"}"#)
            .await;
        assert_eq!(answer.status, 415, "{form}");
        let words = "Content-Type: application/json";
        assert!(answer.text().contains(words), "{}", answer.text());
    }
    let answer = raw.ask(post("Say", &[]), "{}").await;
    assert_eq!(answer.status, 415);
    assert!(answer.text().contains("Content-Type: application/json"));
    assert_eq!(count(&net.probe.started), 0);
}

#[tokio::test]
async fn a_name_that_leads_to_loopback_is_refused_in_every_dialect() {
    let mut settings = Grpc::new();
    settings.loopback_only = true;
    let net = Net::with(settings, Limits::default());
    let mut raw = Raw::new(&net).await;
    for content_type in [
        "application/json",
        "application/grpc-web",
        "application/connect+json",
        "application/grpc",
    ] {
        let mut asked = post("Say", &[("content-type", content_type)]);
        *asked.uri_mut() = "http://rebound.example/test.Teller/Say".parse().unwrap();
        let answer = raw.ask(asked, vec![]).await;
        assert_eq!(answer.status, 403, "{content_type}");
    }
    let asked = post("Say", &[PROTO]);
    assert_eq!(raw.ask(asked, vec![]).await.status, 200);
}
