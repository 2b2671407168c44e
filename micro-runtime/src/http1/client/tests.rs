//! Questions over connections in memory, to servers that do what a test wants.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::*;
use crate::transport::{Listener, Memory};

const SOON: Duration = Duration::from_secs(5);

/// A server at `server:1` and a client that takes bodies of up to 1000 bytes.
async fn pair() -> (Http, Box<dyn Listener>) {
    let network = Memory::new();
    let listener = network.listen("server:1").await.unwrap();
    (Http::new("test", Arc::new(network), 1000), listener)
}

fn get(target: &str) -> Ask<'_> {
    Ask {
        method: "GET",
        address: "server:1",
        target,
        headers: &[],
        body: Bytes::new(),
        repeatable: true,
    }
}

async fn ask(http: &Http, ask: Ask<'_>) -> Result<Answer> {
    http.ask(&ask, Instant::now() + SOON).await
}

async fn accept(listener: &mut dyn Listener) -> Box<dyn Io> {
    let accepted = timeout(SOON, listener.accept()).await;
    accepted.expect("a connection").unwrap().io
}

/// Reads until what was read ends with `end`.
async fn read(io: &mut dyn Io, end: &str) -> String {
    let mut text = Vec::new();
    while !text.ends_with(end.as_bytes()) {
        let byte = timeout(SOON, io.read_u8()).await;
        text.push(byte.expect("more of the question").unwrap());
    }
    String::from_utf8(text).unwrap()
}

/// Reads a question without a body and answers it.
async fn answer(io: &mut dyn Io, text: &str) {
    read(io, "\r\n\r\n").await;
    io.write_all(text.as_bytes()).await.unwrap();
}

/// The answer to one question where the server sends `text` and closes.
async fn answered_with(text: &str) -> Result<Answer> {
    let (http, mut listener) = pair().await;
    let server = async {
        answer(&mut *accept(&mut *listener).await, text).await;
    };
    tokio::join!(ask(&http, get("/")), server).0
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_question_is_written_and_its_answer_read() {
    let (http, mut listener) = pair().await;
    let put = Ask {
        method: "PUT",
        headers: &[("X-Token", "t"), ("Content-Type", "application/json")],
        body: Bytes::from_static(b"{}"),
        ..get("/v1/a?b=")
    };
    let server = async {
        let mut io = accept(&mut *listener).await;
        let asked = read(&mut *io, "{}").await;
        let text = "HTTP/1.1 404 Not Found\r\nx-index: 7\r\nContent-Length: 4\r\n\r\nnope";
        io.write_all(text.as_bytes()).await.unwrap();
        asked
    };
    let (answer, asked) = tokio::join!(ask(&http, put), server);
    assert_eq!(
        asked,
        "PUT /v1/a?b= HTTP/1.1\r\nHost: server:1\r\nX-Token: t\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
    );
    let answer = answer.unwrap();
    assert_eq!((answer.status, &answer.body()[..]), (404, &b"nope"[..]));
    assert_eq!(
        (answer.header("X-Index"), answer.header("X")),
        (Some("7"), None)
    );
}

#[tokio::test]
async fn bodies_of_each_form_are_read() {
    for (text, body) in [
        (OK, "ok"),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n\r\n",
            "abc",
        ),
        ("HTTP/1.1 200 OK\r\n\r\nto the end", "to the end"),
        ("HTTP/1.0 200 OK\r\n\r\nto the end", "to the end"),
        ("HTTP/1.1 204 No Content\r\n\r\n", ""),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""),
    ] {
        let answer = answered_with(text).await.unwrap();
        assert_eq!(answer.body(), body, "{text}");
    }
}

#[tokio::test]
async fn what_is_no_whole_answer_is_an_error_that_names_the_server() {
    let long = format!("HTTP/1.1 200 OK\r\n\r\n{}", "x".repeat(1001));
    for (text, words) in [
        ("", "closed without an answer"),
        ("HTTP/1.1 200 OK\r\nContent-Le", "unexpected EOF"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhalf",
            "unexpected EOF",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhalf",
            "unexpected EOF",
        ),
        ("SSH-2.0-OpenSSH\r\n\r\n", ""),
        ("<html>\r\n\r\n", ""),
        ("HTTP/1.1 100 Continue\r\n\r\n", "informational"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n",
            "too long",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "too long",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\n",
            "too long",
        ),
        (&*long, "too long"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx",
            "twice",
        ),
    ] {
        let error = answered_with(text).await.unwrap_err();
        let told = error.to_string();
        assert!(told.contains("GET server:1: "), "{text}: {told}");
        assert!(told.contains(words), "{text}: {told}");
    }
}

#[tokio::test]
async fn who_speaks_something_else_is_not_waited_for() {
    for text in [
        "220 mail.example.com ESMTP ready\r\n",
        "\u{ef}\u{bf}",
        "HTTP/2",
    ] {
        let (http, mut listener) = pair().await;
        let server = async {
            let mut io = accept(&mut *listener).await;
            read(&mut *io, "\r\n\r\n").await;
            io.write_all(text.as_bytes()).await.unwrap();
            // The connection stays open.
            io
        };
        let (asked, _open) = tokio::join!(ask(&http, get("/")), server);
        let told = asked.unwrap_err().to_string();
        assert!(told.contains("neither HTTP/1.0 nor HTTP/1.1"), "{told}");
    }
}

#[tokio::test]
async fn where_nobody_listens_the_question_was_not_asked() {
    let http = Http::new("test", Arc::new(Memory::new()), 1000);
    let error = ask(&http, get("/")).await.unwrap_err();
    assert!(error.is_unprocessed(), "{error}");
}

#[tokio::test]
async fn a_connection_serves_one_question_after_the_other() {
    let (http, mut listener) = pair().await;
    let server = async {
        let mut io = accept(&mut *listener).await;
        for _ in 0..3 {
            answer(&mut *io, OK).await;
        }
        io
    };
    let asked = async {
        for _ in 0..3 {
            ask(&http, get("/")).await.unwrap();
        }
    };
    let (_io, ()) = tokio::join!(server, asked);
    assert_eq!(http.idle().len(), 1);
}

#[tokio::test]
async fn a_connection_that_cannot_go_on_is_not_kept() {
    for text in [
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\n\r\nok",
        // What nobody has asked for would be taken for the next answer.
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    ] {
        let (http, mut listener) = pair().await;
        let server = async { answer(&mut *accept(&mut *listener).await, text).await };
        let (answer, ()) = tokio::join!(ask(&http, get("/")), server);
        assert_eq!(answer.unwrap().body(), "ok");
        assert!(http.idle().is_empty(), "{text}");
    }
}

/// A client that keeps a connection whose other end is given too.
async fn kept() -> (Http, Box<dyn Listener>, Box<dyn Io>) {
    let (http, mut listener) = pair().await;
    let server = async {
        let mut io = accept(&mut *listener).await;
        answer(&mut *io, OK).await;
        io
    };
    let (first, io) = tokio::join!(ask(&http, get("/")), server);
    first.unwrap();
    assert_eq!(http.idle().len(), 1);
    (http, listener, io)
}

#[tokio::test]
async fn a_kept_connection_that_has_ended_or_speaks_unasked_is_passed_over() {
    for unasked in ["", "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"] {
        let (http, mut listener, mut io) = kept().await;
        io.write_all(unasked.as_bytes()).await.unwrap();
        drop(io);
        let once = Ask {
            repeatable: false,
            ..get("/")
        };
        let server = async { answer(&mut *accept(&mut *listener).await, OK).await };
        let (second, ()) = tokio::join!(ask(&http, once), server);
        assert_eq!(second.unwrap().body(), "ok");
    }
}

#[tokio::test]
async fn only_what_may_be_asked_twice_is_asked_again_where_a_kept_connection_dies() {
    for repeatable in [true, false] {
        let (http, mut listener, mut io) = kept().await;
        let question = Ask {
            repeatable,
            ..get("/")
        };
        let server = async {
            read(&mut *io, "\r\n\r\n").await;
            drop(io);
            if repeatable {
                answer(&mut *accept(&mut *listener).await, OK).await;
            }
        };
        let (second, ()) = tokio::join!(ask(&http, question), server);
        assert_eq!(second.is_ok(), repeatable, "{second:?}");
    }
}

#[tokio::test]
async fn what_began_to_be_answered_is_not_asked_again() {
    let (http, _listener, mut io) = kept().await;
    let server = async {
        answer(&mut *io, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha").await;
        drop(io);
    };
    let (second, ()) = tokio::join!(ask(&http, get("/")), server);
    assert!(second.unwrap_err().detail().contains("unexpected EOF"));
}

#[tokio::test]
async fn an_answer_that_comes_before_all_is_read_counts() {
    let (http, mut listener) = pair().await;
    let put = Ask {
        method: "PUT",
        // More than the connection holds.
        body: Bytes::from(vec![b'x'; 1 << 20]),
        ..get("/")
    };
    let server = async {
        let mut io = accept(&mut *listener).await;
        answer(
            &mut *io,
            "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
        io
    };
    let (answer, _io) = tokio::join!(ask(&http, put), server);
    assert_eq!(answer.unwrap().status, 413);
    assert!(
        http.idle().is_empty(),
        "half a question is still under way on it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_answers_costs_no_more_than_the_deadline() {
    let (http, mut listener, mut io) = kept().await;
    let begun = Instant::now();
    let asked = http.ask(&get("/"), begun + SOON).await;
    assert!(asked.unwrap_err().is_timeout());
    assert_eq!(begun.elapsed(), SOON);
    // The connection is closed, so that the server need not answer either.
    let mut rest = Vec::new();
    io.read_to_end(&mut rest).await.unwrap();
    assert!(rest.starts_with(b"GET / "));
    let server = async { answer(&mut *accept(&mut *listener).await, OK).await };
    let (next, ()) = tokio::join!(ask(&http, get("/")), server);
    assert_eq!(next.unwrap().body(), "ok");
}

#[tokio::test(start_paused = true)]
async fn what_drips_in_costs_no_more_than_the_deadline() {
    let (http, mut listener) = pair().await;
    let server = async {
        let mut io = accept(&mut *listener).await;
        answer(&mut *io, "HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n").await;
        while io.write_all(b"x").await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let (answer, ()) = tokio::join!(ask(&http, get("/")), server);
    assert!(answer.unwrap_err().is_timeout());
}

#[tokio::test(start_paused = true)]
async fn connections_are_kept_for_half_a_minute_and_not_in_any_number() {
    let (http, mut listener) = pair().await;
    let mut open = Vec::new();
    for _ in 0..MAX_IDLE + 4 {
        let (link, io) = tokio::join!(http.transport.dial("server:1"), listener.accept());
        open.push(io.unwrap().io);
        http.keep(
            "server:1",
            Link {
                io: link.unwrap().io,
                decoder: Decoder::new(Role::Response, http.bounds),
                inbox: BytesMut::new(),
            },
        );
    }
    assert_eq!(http.idle().len(), MAX_IDLE);
    tokio::time::advance(IDLE).await;
    assert!(http.kept("server:1").is_none());
    assert!(http.idle().is_empty());
}

#[tokio::test]
async fn what_would_be_two_questions_is_not_sent() {
    let http = Http::new("test", Arc::new(Memory::new()), 1000);
    for wrong in [
        Ask {
            target: "/a b",
            ..get("/")
        },
        Ask {
            target: "/a\r\nX: y",
            ..get("/")
        },
        Ask {
            target: "a",
            ..get("/")
        },
        Ask {
            target: "/é",
            ..get("/")
        },
        Ask {
            headers: &[("X", "a\r\nY: b")],
            ..get("/")
        },
        Ask {
            headers: &[("X: y\r\nZ", "a")],
            ..get("/")
        },
        Ask {
            address: "server:1\r\nX: y",
            ..get("/")
        },
    ] {
        assert_eq!(
            ask(&http, wrong.clone()).await.unwrap_err().code(),
            400,
            "{wrong:?}"
        );
    }
}
