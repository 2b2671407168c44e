//! Why a call went where it went: the decisions of calls that fail, and of those that are asked.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

#[path = "support/scripted.rs"]
mod scripted;
#[path = "support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use micro_runtime::Error;
use micro_runtime::call::{Frame, Reply, Request};
use micro_runtime::error::Why;
use micro_runtime::error::why::{Cause, Choice, Reason, Refusal, Step};
use micro_runtime::selector::Filter;
use micro_runtime::server::Local;
use micro_runtime::wrapper::{Next, from_fn};

use scripted::{Answer, Setup, TOO_LONG, cut, refused};

fn choices(why: &Why) -> Vec<&Choice> {
    fn chosen(step: &Step) -> Option<&Choice> {
        match step {
            Step::Chosen(choice) => Some(choice),
            _ => None,
        }
    }
    why.steps.iter().filter_map(chosen).collect()
}

fn of_one(address: &'static str, answer: Answer) -> impl Fn(&str, usize) -> Answer {
    move |asked, _| match asked == address {
        true => answer.clone(),
        false => Answer::Echo,
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_succeeds_tells_its_way_where_it_is_asked() {
    let setup = Setup::new(&["a", "b", "c"], of_one("a", Answer::Fail(refused()))).await;
    let explained = setup.call().explain().await;
    assert_eq!(explained.result.unwrap(), Frame("hi".into()));
    let why = explained.why;
    assert_eq!((&*why.service, &*why.endpoint), ("greeter", "Say.Hello"));
    assert_eq!(why.limit, Some(Duration::from_secs(30)));
    let [first, second] = &choices(&why)[..] else {
        panic!("{why}")
    };
    assert_eq!(first.node.as_deref(), Some("node-a"));
    assert_eq!(
        (first.known, first.left, first.strategy),
        (3, 3, "roundrobin")
    );
    assert_eq!(second.left, 2, "{why}");
    assert_eq!(
        second
            .out
            .iter()
            .map(|out| (&*out.node, &out.reason))
            .collect::<Vec<_>>(),
        [("node-a", &Reason::Tried)]
    );
    let results: Vec<_> = why
        .attempts()
        .map(|attempt| {
            (
                &*attempt.address,
                attempt.result.as_ref().map_err(|failed| failed.cause),
            )
        })
        .collect();
    assert_eq!(results, [("a", Err(Cause::Unreachable)), ("b", Ok(&()))]);
    assert_eq!(why.cause(), None, "it went well in the end");
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_left_alone_is_named_with_the_time_that_is_left() {
    let setup = Setup::new(&["a", "b"], of_one("a", Answer::Fail(refused()))).await;
    setup.call().await.unwrap();
    let why = setup.call().explain().await.why;
    let [choice] = &choices(&why)[..] else {
        panic!("{why}")
    };
    let [out] = &choice.out[..] else {
        panic!("{why}")
    };
    assert_eq!(out.node, "node-a");
    assert!(
        matches!(out.reason, Reason::Ejected(left, Cause::Unreachable) if !left.is_zero() && left <= Duration::from_secs(1)),
        "{out:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn filters_are_named_with_the_nodes_that_they_leave_out() {
    let setup = Setup::new(&["a", "b", "c"], |_, _| Answer::Echo).await;
    let why = setup
        .call()
        .filter(Filter::version("1"))
        .filter(|node: &micro_runtime::registry::NodeEntry| node.address() == "b")
        .explain()
        .await
        .why;
    let [choice] = &choices(&why)[..] else {
        panic!("{why}")
    };
    assert_eq!((choice.known, choice.left), (3, 1));
    assert!(
        choice
            .out
            .iter()
            .all(|out| out.reason == Reason::Filtered("own".into())),
        "{why}"
    );

    let error = setup.call().filter(Filter::version("2")).await.unwrap_err();
    let why = error.why().unwrap();
    let [choice] = &choices(why)[..] else {
        panic!("{why}")
    };
    assert_eq!(
        (choice.node.as_ref(), choice.known, choice.left),
        (None, 3, 0)
    );
    assert_eq!(choice.out.len(), 3);
    assert_eq!(choice.out[0].reason, Reason::Filtered("version=2".into()));
}

#[tokio::test(start_paused = true)]
async fn of_many_nodes_few_are_named_and_all_are_counted() {
    let nodes: Vec<String> = (0..3000).map(|number| format!("n{number:04}")).collect();
    let nodes: Vec<&str> = nodes.iter().map(|node| &**node).collect();
    let setup = Setup::new(&nodes, |_, _| Answer::Echo).await;
    let why = setup
        .call()
        .filter(Filter::label("zone", "a"))
        .explain()
        .await
        .why;
    let [choice] = &choices(&why)[..] else {
        panic!("{why}")
    };
    assert_eq!((choice.known, choice.left), (3000, 0));
    assert_eq!((choice.out.len(), choice.unnamed()), (16, 2984));
}

#[tokio::test(start_paused = true)]
async fn why_no_other_node_is_asked_is_told() {
    let setup = Setup::new(&["a", "b"], |_, _| Answer::Fail(cut())).await;
    let error = setup.call().await.unwrap_err();
    let refusals: Vec<_> = error.why().unwrap().refusals().collect();
    assert_eq!(
        refusals,
        [&Refusal::new(
            "policy",
            "the call may have run, and is not marked as idempotent"
        )]
    );
    let error = setup.call().idempotent().retries(1).await.unwrap_err();
    let why = error.why().unwrap();
    assert_eq!(why.attempts().count(), 2);
    assert_eq!(
        why.refusals().next().unwrap().words,
        "the one retry that is allowed was made"
    );

    let setup = Setup::new(&["a"], |_, _| {
        Answer::Fail(Error::not_found("greeter", "no"))
    })
    .await;
    let error = setup.call().await.unwrap_err();
    assert_eq!(
        error.why().unwrap().refusals().count(),
        0,
        "an answer is an answer"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_answers_shows_as_such() {
    let setup = Setup::new(&["a"], |_, _| Answer::Echo).await;
    let cache = from_fn(|_: Request, _: Next| async { Ok(Reply::default()) });
    let explained = setup.call().wrap(cache).explain().await;
    assert!(explained.result.is_ok());
    let why = explained.why;
    assert_eq!((&*why.service, &*why.endpoint), ("greeter", "Say.Hello"));
    assert!(why.steps.is_empty(), "{why}");
    assert!(
        why.to_string().contains("nothing was noted of its way"),
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_wrapper_that_refuses_is_named_whichever_way_it_says_so() {
    let setup = Setup::new(&["a"], |_, _| Answer::Fail(cut())).await;
    let refusal = || Refusal::new("breaker", "open for 3 s more");
    let by_error = move |_: Request, _: Next| async move {
        Err(Error::unavailable("breaker", "open").with_step(Step::Refused(refusal())))
    };
    let explained = setup.call().wrap(from_fn(by_error)).explain().await;
    assert_eq!(explained.why.steps, [Step::Refused(refusal())]);
    let error = explained.result.unwrap_err();
    assert_eq!(error.why(), Some(&explained.why));
    let error = setup.call().wrap(from_fn(by_error)).await.unwrap_err();
    let why = error.why().unwrap();
    assert_eq!((&*why.service, why.steps.len()), ("greeter", 1));

    // After the tries, with an error of its own.
    let after = move |request: Request, next: Next| async move {
        let error = next.run(request).await.unwrap_err();
        Err(Error::unavailable("breaker", "open")
            .with_source(error)
            .with_step(Step::Refused(refusal())))
    };
    let why = setup.call().wrap(from_fn(after)).explain().await.why;
    assert_eq!(why.attempts().count(), 1, "{why}");
    assert_eq!(why.refusals().last(), Some(&refusal()), "{why}");

    // Noted where the call's decisions are, and once.
    let noted = move |request: Request, next: Next| async move {
        if let Some(recorder) = &request.options.recorder {
            recorder.note(Step::Refused(refusal()));
        }
        next.run(request).await
    };
    let why = setup.call().wrap(from_fn(noted)).explain().await.why;
    assert_eq!(
        why.refusals().filter(|one| **one == refusal()).count(),
        1,
        "{why}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_reply_that_cannot_be_read_is_the_nodes_fault_and_a_message_that_cannot_be_sent_is_not() {
    let setup = Setup::new(&["a"], |_, _| Answer::Echo).await;
    let greeter = setup.client.target("greeter");
    // What is echoed is no message of protobuf's.
    let call = || greeter.unary::<_, String>("Say.Hello", Frame(b"\xff\xff\xff".to_vec().into()));
    let error = call().await.unwrap_err();
    assert_eq!(Cause::of(&error), Cause::Garbled, "{error:?}");
    assert_eq!(error.why().unwrap().endpoint, "Say.Hello");
    let why = call().explain().await.why;
    let causes: Vec<_> = why
        .attempts()
        .map(|attempt| attempt.result.as_ref().unwrap_err().cause)
        .collect();
    assert_eq!(causes, [Cause::Garbled]);
    // Also where a wrapper has noted something after it.
    let notes = from_fn(|request: Request, next: Next| async move {
        let recorder = request.options.recorder.clone().unwrap();
        let reply = next.run(request).await;
        recorder.note(Step::Paused(Duration::from_millis(1)));
        reply
    });
    let why = call().wrap(notes).explain().await.why;
    assert_eq!(why.cause(), Some(Cause::Garbled), "{why}");

    let error = setup
        .call()
        .content_type("application/nothing")
        .await
        .unwrap_err();
    assert_eq!(Cause::of(&error), Cause::Own, "{error:?}");
    let why = error.why().unwrap();
    assert_eq!((&*why.service, why.attempts().count()), ("greeter", 0));
}

#[tokio::test(start_paused = true)]
async fn the_text_is_understood_at_a_glance() {
    let setup = Setup::new(&["a", "b"], |address, _| match address {
        "a" => Answer::Fail(refused()),
        _ => Answer::Never,
    })
    .await;
    let error = setup
        .call()
        .timeout(Duration::from_secs(2))
        .await
        .unwrap_err();
    let text = format!("{error:?}");
    println!("{text}");
    for line in [
        "greeter Say.Hello, 2s of 2s:",
        "chose node-a of 2 nodes by roundrobin",
        "tried node-a at a: could not be reached",
        "go.micro.client: connection error: refused (500 Internal Server Error)",
        "chose node-b of 2 nodes",
        "not node-a: tried before",
        "tried node-b at b",
        "did not answer in time",
        "deadline: no time is left",
    ] {
        assert!(text.contains(line), "{line:?} is missing in\n{text}");
    }
    assert_eq!(
        text.matches("call timeout: context deadline exceeded")
            .count(),
        1,
        "{text}"
    );
}

/// Takes the fields of the events on `micro::why`.
#[derive(Clone, Default)]
struct Listens(Arc<Mutex<Vec<BTreeMap<String, String>>>>);

impl tracing::Subscriber for Listens {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        metadata.target() == "micro::why"
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Fields(BTreeMap<String, String>);
        impl tracing::field::Visit for Fields {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn fmt::Debug) {
                self.0.insert(field.name().to_owned(), format!("{value:?}"));
            }
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                self.0.insert(field.name().to_owned(), value.to_owned());
            }
        }
        let mut fields = Fields(BTreeMap::new());
        event.record(&mut fields);
        self.0.lock().unwrap().push(fields.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn calls_that_fail_and_calls_that_are_asked_are_one_event_each() {
    // Where there is one listener in all, `tracing` asks that of the thread which comes first to an
    // event whether anybody wants it, and another test's thread has none.
    let _other = tracing::Dispatch::new(Listens::default());
    let listens = Listens::default();
    let _guard = tracing::subscriber::set_default(listens.clone());
    let setup = Setup::new(&["a", "b"], of_one("a", Answer::Fail(cut()))).await;
    let told = || std::mem::take(&mut *listens.0.lock().unwrap());

    setup.call().await.unwrap_err();
    let [event] = &told()[..] else { panic!() };
    let field = |name: &str| event.get(name).map(String::as_str);
    assert_eq!(field("service"), Some("greeter"));
    assert_eq!(field("endpoint"), Some("Say.Hello"));
    assert_eq!((field("ok"), field("code")), (Some("false"), Some("500")));
    assert_eq!(
        (field("cause"), field("node")),
        (Some("lost"), Some("node-a"))
    );
    assert_eq!(
        (field("tries"), field("refused_by")),
        (Some("1"), Some("policy"))
    );
    let steps = field("steps").unwrap();
    assert!(
        steps.contains(r#""step":"tried","node":"node-a""#),
        "{steps}"
    );

    setup.call().await.unwrap();
    assert_eq!(told(), [], "what goes well unasked is no event");

    setup.call().explain().await.result.unwrap_err();
    setup.call().explain().await.result.unwrap();
    let told = told();
    let ok: Vec<_> = told.iter().map(|event| &*event["ok"]).collect();
    assert_eq!(ok, ["false", "true"]);
    assert!(!told[1].contains_key("cause"));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_ends_is_one_event_whichever_half_finds_out() {
    let _other = tracing::Dispatch::new(Listens::default());
    let listens = Listens::default();
    let _guard = tracing::subscriber::set_default(listens.clone());
    let setup = Setup::new(&["a"], |_, _| Answer::Open).await;
    let greeter = setup.client.target("greeter");
    for sends_first in [true, false] {
        let stream = greeter.bidi::<Frame, Frame>("Say.Sum");
        let stream = stream.stream_timeout(Duration::from_secs(1));
        let (mut out, mut input) = stream.await.unwrap();
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut errors = Vec::new();
        if sends_first {
            errors.push(out.send(Frame("x".into())).await.unwrap_err());
        }
        errors.push(input.next().await.unwrap().unwrap_err());
        errors.push(out.send(Frame("x".into())).await.unwrap_err());
        for error in &errors {
            let why = error.why().unwrap();
            assert_eq!((&*why.service, &*why.endpoint), ("greeter", "Say.Sum"));
        }
        let told = std::mem::take(&mut *listens.0.lock().unwrap());
        let [event] = &told[..] else {
            panic!("{told:?}")
        };
        assert_eq!(event["endpoint"], "Say.Sum");
        assert_eq!(event["code"], "408");
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_not_taken_is_nobodys_fault_and_not_the_streams_end() {
    let _other = tracing::Dispatch::new(Listens::default());
    let listens = Listens::default();
    let _guard = tracing::subscriber::set_default(listens.clone());
    let setup = Setup::new(&["a"], |_, _| Answer::Open).await;
    let stream = setup.client.target("greeter");
    let stream = stream.bidi::<Frame, Frame>("Say.Sum");
    let stream = stream.stream_timeout(Duration::from_secs(1));
    let (mut out, mut input) = stream.await.unwrap();
    let refused = out.send(Frame(TOO_LONG.into())).await.unwrap_err();
    assert_eq!(refused.attempts().count(), 0, "no node was asked");
    out.send(Frame("x".into())).await.unwrap();
    input.next().await.unwrap().unwrap_err();
    let told = std::mem::take(&mut *listens.0.lock().unwrap());
    let codes: Vec<_> = told.iter().map(|event| &*event["code"]).collect();
    assert_eq!(codes, ["400", "408"], "how it ends is told, too");
}

#[tokio::test(start_paused = true)]
async fn the_data_is_json_with_stable_names() {
    let slow = Duration::from_millis(1500);
    let setup = Setup::new(&["b"], move |_, _| Answer::After(slow)).await;
    let why = setup.call().explain().await.why;
    assert_eq!(
        why.to_json(),
        r#"{"service":"greeter","endpoint":"Say.Hello","limit_ms":30000,"took_ms":1500,"cause":null,"steps":[{"step":"chosen","node":"node-b","strategy":"roundrobin","known":1,"left":1,"out":[],"unnamed":0,"canary":null,"zone":null},{"step":"tried","node":"node-b","address":"b","began_ms":0,"took_ms":1500,"cause":null}]}"#
    );
    let setup = Setup::new(&["a", "b"], of_one("a", Answer::Fail(refused()))).await;
    let error = setup.call().retries(0).await.unwrap_err();
    let json: serde_json::Value = serde_json::from_str(&error.why().unwrap().to_json()).unwrap();
    assert_eq!(json["cause"], "unreachable");
    assert_eq!(json["steps"][1]["code"], 500);
    assert_eq!(json["steps"][2]["step"], "refused");
    let why = setup.call().explain().await.why;
    let json: serde_json::Value = serde_json::from_str(&why.to_json()).unwrap();
    assert_eq!(json["steps"][0]["out"][0]["reason"], "ejected");
    assert_eq!(json["steps"][0]["out"][0]["cause"], "unreachable");
}

#[tokio::test]
async fn a_call_in_this_process_tells_its_own_way_and_not_that_of_its_handlers_calls() {
    let setup = Setup::new(&["a"], |_, _| Answer::Fail(cut())).await;
    let inner = setup.client.target("greeter");
    let say = support::Say::hello(move |_, frame| {
        let call = inner.unary::<_, Frame>(&support::METHODS[0], frame);
        async move { call.await }
    });
    let local = micro_runtime::client::Target::new("here", Arc::new(Local::new(say)));
    let call = || local.unary::<_, Frame>(&support::METHODS[0], Frame("hi".into()));
    for why in [
        call().await.unwrap_err().why().unwrap().clone(),
        call().explain().await.why,
    ] {
        assert_eq!(&*why.service, "here", "{why}");
        assert_eq!(why.attempts().count(), 1, "{why}");
        assert_eq!(why.attempts().next().unwrap().node, "local");
        assert_eq!(why.cause(), Some(Cause::Answered), "{why}");
    }
}
