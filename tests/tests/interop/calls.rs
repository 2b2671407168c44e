//! Every call of the interop program.

use micro_tests::peers::{Ended, Program};
use serde_json::Value;

use crate::{Direction, Report};

type Checked = Result<(), String>;

/// One way to make a call, and what must come of it.
pub(crate) struct Case {
    flags: Vec<String>,
    check: Box<dyn Fn(&Ended) -> Checked>,
}

pub(crate) fn run(direction: Direction, report: &mut Report) {
    let server = direction.serve("greeter");
    let caller = direction.caller("greeter").with(&[&server.as_flag()]);
    for (call, cases) in cases(direction) {
        report.row(direction, call, |content_type| {
            cell(&caller, content_type, &cases)
        });
    }
}

/// Makes the calls of a row.
pub(crate) fn cell(caller: &Program, content_type: &str, cases: &[Case]) -> Result<String, String> {
    for case in cases {
        one(caller, content_type, case)?;
    }
    Ok("ok".to_owned())
}

fn one(caller: &Program, content_type: &str, case: &Case) -> Checked {
    let content_type = format!("content_type={content_type}");
    let flags: Vec<&str> = std::iter::once(&*content_type)
        .chain(case.flags.iter().map(String::as_str))
        .collect();
    let ended = caller.run(&flags);
    (case.check)(&ended).map_err(|words| format!("{words}\n{ended}"))
}

/// The rows of the table, each with its cases.
pub(crate) fn cases(direction: Direction) -> Vec<(&'static str, Vec<Case>)> {
    vec![
        ("hello", hello()),
        ("errors of each kind", errors(direction)),
        ("deadlines", deadlines(direction)),
        ("metadata", metadata(direction)),
        ("server stream", server_stream(direction)),
        ("client stream", client_stream()),
        ("stream both ways", both_ways()),
        ("by endpoint, unknown endpoints", by_endpoint(direction)),
        ("Debug.Health, Debug.Stats", debug()),
    ]
}

fn hello() -> Vec<Case> {
    let long = "long ".repeat(20_000);
    let text = "w\u{f6}rld \u{4f60}\u{597d} \u{1f958} \"quoted\" <b>&amp;";
    let reply = |name: &str| {
        let quoted = Value::from(format!("Hello {name}")).to_string();
        // As Go's encoding/json escapes it.
        quoted
            .replace('<', "\\u003c")
            .replace('>', "\\u003e")
            .replace('&', "\\u0026")
    };
    let says = |name: &str| vec![format!("OK {{\"msg\":{}}}", reply(name))];
    let hello = says("world").remove(0);
    vec![
        case(&["call=hello"], lines(says("world"))),
        case(&["call=hello", "arg="], lines(says(""))),
        case(&["call=hello", &format!("arg={text}")], lines(says(text))),
        case(&["call=hello", &format!("arg={long}")], lines(says(&long))),
        case(
            &["call=hello", "n=3", "conn_close"],
            lines(vec![hello.clone(); 3]),
        ),
        case(&["call=hello", "parallel=3"], lines(vec![hello; 3])),
    ]
}

fn errors(direction: Direction) -> Vec<Case> {
    let detail = "no <such> \"thing\" & \u{e9}";
    let parsed = |code: i32, status: &str| {
        let detail = r#"no \u003csuch\u003e \"thing\" \u0026 é"#;
        format!(
            r#"PARSED {{"id":"greeter.fail","code":{code},"detail":"{detail}","status":"{status}"}}"#
        )
    };
    let fail = |kind: &str, detail: &str, parsed: String| {
        case(
            &[
                "call=fail",
                &format!("arg={kind}"),
                &format!("arg2={detail}"),
            ],
            fails(parsed),
        )
    };
    // An error that is text alone comes to who speaks to Go over gRPC as a status, and its client makes
    // an error of its own of that.
    let status = |code: i32, words: &str, status: &str| {
        format!(
            r#"PARSED {{"id":"go.micro.client","code":{code},"detail":"{words}","status":"{status}"}}"#
        )
    };
    let of_text = |words: &str| format!(r#"PARSED {{"detail":"{words}"}}"#);
    let late = "context deadline exceeded";
    let (plain, ctx) = match direction {
        Direction::GrpcGoToRust => {
            let server = "Internal Server Error";
            (status(500, "boom boom", server), status(500, late, server))
        }
        Direction::GrpcRustToGo => (
            status(500, "boom boom", "Internal Server Error"),
            status(408, late, "Request Timeout"),
        ),
        _ => (of_text("boom boom"), of_text(late)),
    };
    let mut cases = vec![
        fail("notfound", detail, parsed(404, "Not Found")),
        fail("internal", detail, parsed(500, "Internal Server Error")),
        fail("timeout", detail, parsed(408, "Request Timeout")),
        fail("custom", detail, parsed(418, "I'm a teapot")),
        fail("plain", "boom boom", plain),
        fail("ctx", "", ctx),
        fail(
            "odd",
            "",
            r#"PARSED {"id":"greeter.fail","code":400,"detail":"unknown kind \"odd\"","status":"Bad Request"}"#
                .to_owned(),
        ),
    ];
    let panics = ["call=fail", "arg=panic", "arg2=boom"];
    cases.push(if direction == Direction::RustToGo || direction == Direction::GoToGo {
        // Go's server does not answer a call whose handler panics.
        case(&[&panics[..], &["conn_timeout=300ms"]].concat(), fails_with_code(408))
    } else {
        let parsed = r#"PARSED {"id":"go.micro.server","code":500,"detail":"panic recovered: boom","status":"Internal Server Error"}"#;
        case(&panics, fails(parsed.to_owned()))
    });
    cases
}

fn deadlines(direction: Direction) -> Vec<Case> {
    let mut cases = vec![
        case(
            &["call=sleep", "arg=20"],
            lines(vec![r#"OK {"msg":"slept"}"#.to_owned()]),
        ),
        case(
            &["call=sleep", "arg=5000", "timeout=100ms"],
            fails_with_code(408),
        ),
    ];
    // Go's gRPC plugin takes it for the limit of dialling alone.
    if direction != Direction::GrpcGoToRust {
        cases.push(case(
            &["call=sleep", "arg=5000", "conn_timeout=100ms"],
            fails_with_code(408),
        ));
    }
    cases
}

fn metadata(direction: Direction) -> Vec<Case> {
    // grpc-go sends no other.
    let value = match direction {
        Direction::GrpcGoToRust => "Val e",
        _ => "Val \u{e9}",
    };
    let seen = |most: i64| {
        move |ended: &Ended| {
            let reply = ended.line("OK ").ok_or("no reply")?;
            let reply: Value = serde_json::from_str(reply).map_err(|error| error.to_string())?;
            for (key, value) in [("foo", "bar"), ("x-custom-key", value), ("lower_case", "1")] {
                // Go canonicalises keys, we keep how they came.
                let found = reply["metadata"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .find(|(known, _)| known.eq_ignore_ascii_case(key));
                if found.and_then(|(_, value)| value.as_str()) != Some(value) {
                    return Err(format!("{key} is not {value}"));
                }
            }
            let left = reply["deadline_ns"].as_i64().unwrap_or_default();
            if left <= 0 || left > most {
                return Err(format!("the handler has {left} ns left"));
            }
            Ok(())
        }
    };
    let metadata = format!("metadata=foo=bar,X-Custom-Key={value},lower_case=1");
    let metadata = &*metadata;
    // Each try of a call has its own limit, but for Go's gRPC plugin.
    let mut cases = match direction {
        Direction::GrpcGoToRust => vec![case(&["call=echo", metadata], seen(30_000_000_000))],
        _ => vec![
            case(&["call=echo", metadata], seen(5_000_000_000)),
            case(
                &["call=echo", metadata, "conn_timeout=1500ms"],
                seen(1_500_000_000),
            ),
        ],
    };
    if !direction.calls_go() || direction.is_grpc() {
        // Over mucp Go tells a server nothing of its own deadline.
        cases.push(case(
            &["call=echo", metadata, "timeout=1200ms"],
            seen(1_200_000_000),
        ));
    }
    cases
}

fn server_stream(direction: Direction) -> Vec<Case> {
    // Go's server needs a pause after each message.
    let many = if direction.serves_go() { 40 } else { 2000 };
    let numbers = |to: usize| -> Vec<String> {
        let numbers = (1..=to).map(|n| format!(r#"OK {{"n":{n}}}"#));
        numbers.chain(["EOF".to_owned()]).collect()
    };
    vec![
        case(&["call=count", "arg=3"], lines(numbers(3))),
        case(&["call=count", "arg=0"], lines(numbers(0))),
        case(
            &["call=count", &format!("arg={many}")],
            lines(numbers(many)),
        ),
        case(&["call=count", "arg=3", "silent_close"], lines(numbers(3))),
        case(
            &["call=count", "arg=3", "stream_timeout=3s"],
            lines(numbers(3)),
        ),
        case(
            &["call=count", "arg=2", "arg2=fail"],
            stream_fails(2, "greeter.count"),
        ),
    ]
}

fn client_stream() -> Vec<Case> {
    let total = |total: &str| lines(vec![format!("OK {total}"), "after: EOF".to_owned()]);
    vec![
        case(&["call=collect", "arg=4"], total(r#"{"total":10}"#)),
        case(&["call=collect", "arg=0"], total("{}")),
        case(&["call=collect", "arg=500"], total(r#"{"total":125250}"#)),
    ]
}

fn both_ways() -> Vec<Case> {
    let totals = |to: i64| -> Vec<String> {
        (1..=to)
            .map(|n| format!(r#"OK {{"total":{}}}"#, n * (n + 1) / 2))
            .collect()
    };
    vec![
        case(&["call=sum", "arg=3"], lines(totals(3))),
        case(&["call=sum", "arg=0"], lines(vec![])),
        case(&["call=sum", "arg=200"], lines(totals(200))),
        case(&["call=sum", "arg=3", "silent_close"], lines(totals(3))),
        case(
            &["call=sum", "arg=2", "n=3"],
            lines([totals(2), totals(2), totals(2)].concat()),
        ),
        case(&["call=sum", "arg=3", "arg2=fail"], |ended: &Ended| {
            ends_with_error(ended, &totals_before_error(), "greeter.sum")
        }),
    ]
}

fn totals_before_error() -> [&'static str; 2] {
    [r#"OK {"total":1}"#, r#"OK {"total":3}"#]
}

fn by_endpoint(direction: Direction) -> Vec<Case> {
    let [method, service] = match direction.is_grpc() {
        true => ["unknown service Greeter.Nope", "unknown service Nope"],
        false => [
            "rpc: can't find method Nope",
            "rpc: can't find service Nope",
        ],
    };
    let ill_formed = match direction {
        // Go's client sends a path without a slash, which is none in HTTP/2.
        Direction::GrpcGoToRust => "PROTOCOL_ERROR",
        _ if direction.is_grpc() => "malformed method name",
        _ => "rpc: service/endpoint request ill-formed: Greeter",
    };

    let raw = |endpoint: &str, words: &'static str| {
        case(
            &["call=raw", &format!("arg={endpoint}"), "arg2=x"],
            move |ended: &Ended| match ended.line("ERR ") {
                Some(error) if error.contains(words) => Ok(()),
                _ => Err(format!("no error with {words:?}")),
            },
        )
    };
    vec![
        case(
            &["call=raw", "arg=Greeter.Hello", "arg2=x"],
            lines(vec![r#"OK {"msg":"Hello x"}"#.to_owned()]),
        ),
        raw("Greeter.Nope", method),
        raw("Nope.Hello", service),
        raw("Greeter", ill_formed),
    ]
}

fn debug() -> Vec<Case> {
    let stats = |ended: &Ended| {
        let stats: Value = ended
            .line("OK ")
            .and_then(|reply| serde_json::from_str(reply).ok())
            .ok_or("no reply")?;
        let number = |key: &str| stats[key].as_u64().unwrap_or_default();
        if number("timestamp") >= number("started") && number("started") > 0 && number("memory") > 0
        {
            Ok(())
        } else {
            Err("the numbers make no sense".to_owned())
        }
    };
    vec![
        case(
            &["call=health"],
            lines(vec![r#"OK {"status":"ok"}"#.to_owned()]),
        ),
        case(&["call=stats"], stats),
    ]
}

fn case(flags: &[&str], check: impl Fn(&Ended) -> Checked + 'static) -> Case {
    Case {
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        check: Box::new(check),
    }
}

/// All went well and exactly these lines were said.
fn lines(want: Vec<String>) -> impl Fn(&Ended) -> Checked {
    move |ended| {
        if ended.is_ok() && ended.lines == want {
            Ok(())
        } else {
            Err(format!("want {want:.200?}"))
        }
    }
}

/// It failed with exactly this error, and the wire form of it was shown.
fn fails(parsed: String) -> impl Fn(&Ended) -> Checked {
    move |ended| {
        let [first, second, third] = &*ended.lines else {
            return Err("want three lines".to_owned());
        };
        let as_asked = *first == parsed && second.starts_with("ERR ") && third == "FAILED 1 of 1";
        if as_asked && ended.code == Some(1) {
            Ok(())
        } else {
            Err(format!("want {parsed}"))
        }
    }
}

/// It failed with this code.
fn fails_with_code(code: i32) -> impl Fn(&Ended) -> Checked {
    move |ended| match ended.line("ERR ") {
        Some(error) if ended.code == Some(1) && error.contains(&format!("\"code\":{code},")) => {
            Ok(())
        }
        _ => Err(format!("want code {code}")),
    }
}

fn stream_fails(numbers: usize, id: &'static str) -> impl Fn(&Ended) -> Checked {
    let before: Vec<String> = (1..=numbers)
        .map(|n| format!(r#"OK {{"n":{n}}}"#))
        .collect();
    move |ended| ends_with_error(ended, &before, id)
}

/// A stream that gave these messages and then the error that the handler ended it with.
fn ends_with_error<T: AsRef<str>>(ended: &Ended, before: &[T], id: &str) -> Checked {
    let error =
        format!(r#"{{"id":"{id}","code":409,"detail":"stream failed","status":"Conflict"}}"#);
    let messages_came = before
        .iter()
        .map(AsRef::as_ref)
        .eq(ended.lines.iter().take(before.len()));
    let error_came = ended.lines.len() == before.len() + 2
        && ended
            .lines
            .get(before.len())
            .is_some_and(|line| line.contains(&error));
    if messages_came && error_came && ended.code == Some(1) {
        Ok(())
    } else {
        Err(format!("want {} messages, then {error}", before.len()))
    }
}
