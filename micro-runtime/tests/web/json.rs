//! Plain JSON: what `curl --json` sends and reads.

use crate::raw::{Raw, post};
use crate::teller::{Net, count};

#[tokio::test]
async fn a_json_post_is_a_call() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
    ] {
        let headers = [
            ("content-type", content_type),
            ("accept", "application/json"),
        ];
        let asked = r#" {"text":"x", "big_number": 7, "data":"AQI="} "#;
        let answer = raw.ask(post("Say", &headers), asked).await;
        assert_eq!(answer.status, 200, "{content_type}");
        assert_eq!(answer.header("content-type"), "application/json");
        let reply = r#"{"text":"x","bigNumber":"7","data":"AQI="}"#;
        assert_eq!(answer.text(), reply);
    }
    // The package may be another's, or missing: Go Micro's names have none.
    for path in ["/test.Teller/Say", "/go.micro.Teller/Say", "/Teller/Say"] {
        let headers = [("content-type", "application/json")];
        let asked = crate::raw::request(http::Method::POST, path, &headers);
        assert_eq!(raw.ask(asked, "{}").await.text(), "{}", "{path}");
    }
}

#[tokio::test]
async fn json_that_cannot_be_read_is_the_callers_mistake() {
    let net = Net::new();
    let mut raw = Raw::new(&net).await;
    let json = [("content-type", "application/json")];
    for wrong in [
        "{",
        "[]",
        "7",
        r#"{"text":7}"#,
        r#"{"bigNumber":"x"}"#,
        r#"{} {}"#,
        "\u{feff}{}",
    ] {
        let answer = raw.ask(post("Say", &json), wrong.to_owned()).await;
        assert_eq!(answer.status, 400, "{wrong}: {}", answer.text());
        assert!(answer.text().starts_with(r#"{"code":"invalid_argument","#));
    }
    let proto = [("content-type", "application/proto")];
    let answer = raw.ask(post("Say", &proto), vec![0xff]).await;
    assert_eq!(answer.status, 400);
    let latin = [("content-type", "application/json; charset=iso-8859-1")];
    let answer = raw.ask(post("Say", &latin), "{}").await;
    assert_eq!(answer.status, 415);
    assert_eq!(count(&net.probe.started), 0);
}
