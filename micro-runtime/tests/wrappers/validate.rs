use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use micro_runtime::Result;
use micro_runtime::call::Frame;
use micro_runtime::error::why::Cause;
use micro_runtime::wrapper::{Validate, Violations};

use crate::support::{PROTOCOLS, Say, World, frame, words};

fn no_digits(message: &Frame, wrong: &mut Violations) {
    let text = words(message);
    if text.is_empty() {
        wrong.add("text", "must not be empty");
    }
    if text.contains(|c: char| c.is_ascii_digit()) {
        wrong.add("text", "must have no digits");
        wrong.add("text[0]", "is looked at, too");
    }
}

#[tokio::test]
async fn a_message_that_breaks_a_rule_never_reaches_the_handler() -> Result<()> {
    for protocol in PROTOCOLS {
        let (world, ran) = (World::default(), Arc::new(AtomicUsize::new(0)));
        let count = ran.clone();
        let service = world
            .service("s", protocol)
            .wrap_handler(Validate::new().check("Say.Hello", no_digits))
            .handle(Say::hello(move |_, message| {
                count.fetch_add(1, Ordering::SeqCst);
                async { Ok(message) }
            }))
            .start()
            .await?;
        let call = |word: &str| service.client().request("s", "Say.Hello", frame(word));
        assert_eq!(words(&call("good").await?), "good");
        let error = call("4 bad").await.unwrap_err();
        assert_eq!((error.code(), error.id()), (400, "go.micro.server"));
        assert_eq!(
            error.detail(),
            "text: must have no digits; text[0]: is looked at, too"
        );
        assert_eq!(ran.load(Ordering::SeqCst), 1);
        if protocol == "braid" {
            let [detail] = error.details() else {
                panic!("{error:?}")
            };
            assert_eq!(detail.type_url, "type.googleapis.com/google.rpc.BadRequest");
            // Field 1, two messages, each of two strings.
            assert_eq!(detail.value.iter().filter(|byte| **byte == 0x0a).count(), 4);
        }
        service.stop().await?;
    }
    Ok(())
}

#[tokio::test]
async fn each_message_of_a_stream_is_checked_when_it_comes() -> Result<()> {
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(Validate::new().check("Say.Collect", no_digits))
        .handle(Say::default().collect(|_, mut input| async move {
            let mut all = String::new();
            while let Some(message) = input.message().await? {
                all += &words(&message);
            }
            Ok(frame(all))
        }))
        .start()
        .await?;
    let target = service.client().target("s");
    for (messages, expected) in [(["a", "b"], Ok("ab")), (["a", "1"], Err(400))] {
        let mut upload = target.client_stream::<Frame, Frame>("Say.Collect").await?;
        for message in messages {
            upload.send(frame(message)).await?;
        }
        let answer = upload.finish().await;
        let answer = answer.as_ref().map(words).map_err(|error| error.code());
        assert_eq!(answer, expected.map(str::to_owned));
    }
    service.stop().await
}

#[tokio::test]
async fn a_client_refuses_what_it_would_send_and_other_endpoints_are_not_looked_at() -> Result<()> {
    let world = World::default();
    let service = world
        .service("s", "braid")
        .handle(Say::hello(|_, message| async { Ok(message) }))
        .start()
        .await?;
    let strict = world
        .service("c", "braid")
        .wrap_call(Validate::new().check("Say.Hello", no_digits));
    let other = world
        .service("c", "braid")
        .wrap_call(Validate::new().check("Say.Other", no_digits));
    let refused = strict.client().request("s", "Say.Hello", frame("7")).await;
    let refused = refused.unwrap_err();
    assert_eq!((refused.code(), refused.id()), (400, "go.micro.client"));
    assert_eq!(Cause::of(&refused), Cause::Own);
    assert_eq!(
        words(&other.client().request("s", "Say.Hello", frame("7")).await?),
        "7"
    );
    service.stop().await
}
