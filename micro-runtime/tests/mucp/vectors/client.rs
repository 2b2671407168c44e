//! What our client sends for the calls of the captures.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use micro_runtime::codegen::{Kind, Method, Target};
use micro_runtime::protocol::Channel;
use micro_runtime::protocol::mucp::Mucp;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Memory, Transport};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{From, Gap, Ledger};
use crate::capture::{Message, cut, cut_all, names, read};
use crate::generated::greeter::*;
use crate::harness::{Direct, channel, environment, over};

/// The first random number of the clients here: what their streams are called.
pub fn stream() -> String {
    source().number().to_string()
}

fn source() -> Tasks {
    Tasks::seeded(1, SystemTime::UNIX_EPOCH)
}

pub async fn compare_all() -> BTreeSet<&'static str> {
    let ledger = Ledger::default();
    for name in names() {
        compare(&name, &ledger).await;
    }
    ledger.close()
}

async fn compare(name: &str, ledger: &Ledger) {
    let go = cut_all(&read(&format!("{name}.c2s.bin")));
    let replies = cut_replies(&read(&format!("{name}.s2c.bin")));
    let network = Memory::new();
    let host = go[0].get("Host").unwrap().to_owned();
    let record = Arc::new(Mutex::new(Record::default()));
    let tasks = Tasks::new();
    let mut listener = network.listen(&host).await.unwrap();
    let plan = plan(name, replies.len());
    let (recorder, recording) = (record.clone(), tasks.clone());
    tasks.spawn(async move {
        let script = Arc::new(Mutex::new((plan, replies)));
        while let Ok(connection) = listener.accept().await {
            recorder.lock().unwrap().connections += 1;
            let (script, recorder) = (script.clone(), recorder.clone());
            recording.spawn(async move { answer(connection.io, script, recorder).await });
        }
    });
    let mut environment = environment(Arc::new(network));
    environment.tasks = source();
    let way = channel(&Mucp::default(), &host, &environment, false);
    call(name, &go[0], way).await;
    // The recorder sees the close.
    tokio::time::sleep(Duration::from_millis(1)).await;
    tasks.abort_all();
    let record = std::mem::take(&mut *record.lock().unwrap());
    ledger.compare(From::Client, name, &go, &record.messages);
    let connections = match name {
        "error_closes_connection" | "unary_timeout_retry" => 2,
        _ => 1,
    };
    if record.connections != connections {
        let gap = Gap::Connections {
            go: connections,
            ours: record.connections,
        };
        ledger.note(From::Client, name, gap);
    }
}

#[derive(Default)]
struct Record {
    messages: Vec<Message>,
    connections: usize,
}

type Script = Arc<Mutex<(Vec<usize>, Vec<Vec<u8>>)>>;

/// How many captured replies go out after each request.
fn plan(name: &str, replies: usize) -> Vec<usize> {
    match name {
        "server_stream"
        | "server_stream_error"
        | "server_stream_json"
        | "stream_timeout_header" => vec![0, replies],
        "client_stream" => vec![0, 0, 0, 0, replies],
        name if name.contains("stream") => [0].into_iter().chain(vec![1; replies]).collect(),
        // The first try is not answered.
        "unary_timeout_retry" => vec![0, 0],
        _ => vec![1; replies],
    }
}

fn cut_replies(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut replies = Vec::new();
    while let Some((_, length)) = cut(bytes) {
        replies.push(bytes[..length].to_vec());
        bytes = &bytes[length..];
    }
    assert!(bytes.is_empty());
    replies
}

async fn answer(
    mut io: Box<dyn micro_runtime::transport::Io>,
    script: Script,
    record: Arc<Mutex<Record>>,
) {
    let mut read = Vec::new();
    loop {
        while let Some((message, length)) = cut(&read) {
            read.drain(..length);
            record.lock().unwrap().messages.push(message);
            let out: Vec<u8> = {
                let (plan, replies) = &mut *script.lock().unwrap();
                let n = if plan.is_empty() { 0 } else { plan.remove(0) };
                replies.drain(..n.min(replies.len())).flatten().collect()
            };
            // Go's server writes in many small segments.
            for part in out.chunks(61) {
                if io.write_all(part).await.is_err() {
                    return;
                }
            }
        }
        match io.read_buf(&mut read).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
}

/// Makes the call of a capture.
async fn call(name: &str, first: &Message, way: Arc<dyn Channel>) {
    let greeter = over(way.clone());
    let content_type = first.get("Content-Type").unwrap().to_owned();
    let hello = |name: &str| HelloRequest { name: name.into() };
    let fail = |kind: &str, detail: &str| FailRequest {
        kind: kind.into(),
        detail: detail.into(),
    };
    let named = |service: &'static str, endpoint: &'static str, name: &str| {
        Target::new(service, Arc::new(Direct(way.clone())))
            .unary::<_, HelloResponse>(Method::dynamic(endpoint, Kind::Unary), hello(name))
    };
    let short = Duration::from_millis;
    match name {
        "unary_protobuf" | "unary_json" | "unary_grpc_ct" | "proto_rpc" | "json_rpc" => {
            let reply = greeter.hello(hello("world")).content_type(content_type);
            assert_eq!(reply.await.unwrap().msg, "Hello world", "{name}");
        }
        "keepalive_three_unary" => {
            for _ in 0..3 {
                let reply = greeter.hello(hello("world"));
                assert_eq!(reply.await.unwrap().msg, "Hello world");
            }
        }
        "conn_close" => {
            let reply = greeter.hello(hello("world")).close_connection();
            assert_eq!(reply.await.unwrap().msg, "Hello world");
        }
        "unary_empty_request" | "unary_empty_request_json" => {
            let reply = greeter.hello(hello("")).content_type(content_type);
            assert_eq!(reply.await.unwrap().msg, "Hello ");
        }
        "wrong_service_name" => {
            let reply = named("not.the.greeter", "Greeter.Hello", "world").await;
            assert_eq!(reply.unwrap().msg, "Hello world");
        }
        "debug_health" => {
            named("greeter", "Debug.Health", "").await.unwrap();
        }
        "unknown_method" => {
            let error = named("greeter", "Greeter.Nope", "x").await.unwrap_err();
            assert_eq!(error.detail(), "rpc: can't find method Nope");
        }
        "unknown_service" => {
            let error = named("greeter", "Nope.Hello", "x").await.unwrap_err();
            assert_eq!(error.detail(), "rpc: can't find service Nope");
        }
        "illformed_endpoint" => {
            let error = named("greeter", "Hello", "x").await.unwrap_err();
            let words = "rpc: service/endpoint request ill-formed: Hello";
            assert_eq!((error.code(), error.detail()), (0, words));
        }
        "unary_error_notfound" | "unary_error_notfound_json" => {
            let call = greeter.fail(fail("notfound", "no such thing"));
            let error = call.content_type(content_type).await.unwrap_err();
            assert_eq!((error.code(), error.detail()), (404, "no such thing"));
        }
        "proto_rpc_error" | "json_rpc_error" => {
            let call = greeter.fail(fail("notfound", "nope"));
            let error = call.content_type(content_type).await.unwrap_err();
            assert_eq!((error.code(), error.detail()), (404, "nope"));
        }
        "error_closes_connection" => {
            for _ in 0..2 {
                let error = greeter.fail(fail("notfound", "x")).await.unwrap_err();
                assert_eq!(error.code(), 404);
            }
        }
        "unary_error_plain" => {
            let error = greeter.fail(fail("plain", "boom")).await.unwrap_err();
            assert_eq!((error.code(), error.detail()), (0, "boom"));
        }
        "unary_error_plain_newline" => {
            let call = greeter.fail(fail("plain", "  line1\nline2 é"));
            assert_eq!(call.await.unwrap_err().detail(), "line1 line2 é");
        }
        "unary_error_special" => {
            let detail = "line1\nline2 <é> \"q\"";
            let error = greeter.fail(fail("notfound", detail)).await.unwrap_err();
            assert_eq!(error.detail(), detail);
        }
        "unary_panic" => {
            let call = greeter.fail(fail("panic", "boo"));
            let error = call.attempt_timeout(short(700)).await.unwrap_err();
            assert_eq!(error.code(), 408);
        }
        "unary_ctx_deadline" => {
            let call = greeter.sleep(SleepRequest { ms: 1500 });
            let error = call.attempt_timeout(short(300)).await.unwrap_err();
            assert_eq!(error.code(), 408);
        }
        "unary_timeout_retry" => {
            for _ in 0..2 {
                let call = greeter.sleep(SleepRequest { ms: 1500 });
                let error = call.attempt_timeout(short(400)).await.unwrap_err();
                assert_eq!(error.code(), 408);
            }
        }
        "metadata_deadline" => {
            let key = "world".into();
            let reply = greeter
                .echo(EchoRequest { key })
                .attempt_timeout(short(1500))
                .metadata("foo", "bar")
                .metadata("X-Custom-Key", "Val")
                .metadata("lower-case-id", "ABC")
                .metadata("MiXeD", "1")
                .metadata("under_score", "2")
                .metadata("micro-from-service", "caller");
            assert_eq!(reply.await.unwrap().metadata["Mixed"], "1");
        }
        "metadata_json" => {
            let key = "world".into();
            let reply = greeter
                .echo(EchoRequest { key })
                .content_type(content_type)
                .metadata("foo", "bar")
                .metadata("MiXeD", "1");
            assert_eq!(reply.await.unwrap().metadata["Foo"], "bar");
        }
        "metadata_odd" => {
            let key = "world".into();
            let call = greeter
                .echo(EchoRequest { key })
                .metadata("bad key", "dropped")
                .metadata("é", "dropped")
                .metadata("Empty", "")
                .metadata("Nl", "a\nb")
                .metadata("Ok", "é")
                .metadata("Trail", "  x  ")
                .metadata("Content-Type", "text/odd")
                .metadata("Micro-Endpoint", "Odd.Odd")
                .metadata("Micro-Topic", "odd")
                .metadata("Host", "odd")
                .metadata("Timeout", "1")
                .metadata("Micro-Error", "evil");
            // The recorded server echoes what Go's client had sent.
            assert_eq!(call.await.unwrap_err().detail(), "evil");
        }
        "server_stream"
        | "server_stream_json"
        | "server_stream_error"
        | "stream_timeout_header" => {
            let (to, failing) = match name {
                "server_stream_error" => (2, true),
                "stream_timeout_header" => (1, false),
                _ => (3, false),
            };
            let request = CountRequest { to, fail: failing };
            let mut call = greeter.count(request).content_type(content_type);
            if name == "stream_timeout_header" {
                call = call.stream_timeout(Duration::from_secs(3));
            }
            let mut count = call.await.unwrap();
            for n in 1..=to {
                assert_eq!(count.message().await.unwrap().unwrap().n, n);
            }
            let end = count.message().await;
            if failing {
                assert_eq!(end.unwrap_err().detail(), "stream failed");
            } else {
                assert!(end.unwrap().is_none());
            }
        }
        "client_stream" => {
            let upload = greeter.collect().await.unwrap();
            let (mut out, mut input) = upload.split();
            for n in [1, 2, 3, 0] {
                out.send(SumRequest { n, fail: false }).await.unwrap();
            }
            assert_eq!(input.message().await.unwrap().unwrap().total, 6);
            assert!(input.message().await.unwrap().is_none());
        }
        "bidi_stream" | "bidi_stream_json" | "proto_rpc_stream" | "bidi_stream_error" => {
            let failing = name == "bidi_stream_error";
            let (mut out, mut input) = greeter.sum().content_type(content_type).await.unwrap();
            let numbers = if name == "bidi_stream" { 3 } else { 2 };
            for n in 1..=numbers {
                let fail = failing && n == 2;
                out.send(SumRequest { n, fail }).await.unwrap();
                let reply = input.message().await;
                if fail {
                    assert_eq!(reply.unwrap_err().code(), 409);
                } else {
                    assert_eq!(reply.unwrap().unwrap().total, n * (n + 1) / 2);
                }
            }
            out.finish().await.unwrap();
            assert!(input.message().await.unwrap().is_none());
        }
        name => panic!("no call for the capture {name}"),
    }
}
