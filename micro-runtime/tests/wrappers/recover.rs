use std::sync::{Arc, Mutex};

use micro_runtime::wrapper::{Next, Recover, from_fn};
use micro_runtime::{Error, Request, Result};

use crate::support::{Say, World, frame, words};

type Told = Arc<Mutex<Vec<String>>>;

fn telling(told: &Told) -> Recover {
    let told = told.clone();
    Recover::new().on_panic(move |panic| {
        let words = format!("{}: {}", panic.endpoint, panic.words);
        told.lock().unwrap().push(words);
    })
}

#[tokio::test]
async fn a_hook_is_told_of_a_handlers_panic_and_outer_wrappers_see_an_error() -> Result<()> {
    let (world, told, seen) = (World::default(), Told::default(), Told::default());
    let outer = {
        let seen = seen.clone();
        from_fn(move |request: Request, next: Next| {
            let seen = seen.clone();
            async move {
                let answer = next.run(request).await;
                if let Err(error) = &answer {
                    seen.lock().unwrap().push(error.detail().to_owned());
                }
                answer
            }
        })
    };
    let service = world
        .service("s", "braid")
        .wrap_handler(outer)
        .wrap_handler(telling(&told))
        .handle(Say::hello(|_, message| async move {
            assert!(words(&message) != "bad", "no {}", "way");
            Ok(message)
        }))
        .start()
        .await?;
    let call = |word: &str| service.client().request("s", "Say.Hello", frame(word));
    let error = call("bad").await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (500, "panic recovered: no way")
    );
    assert_eq!(*told.lock().unwrap(), ["Say.Hello: no way"]);
    assert_eq!(*seen.lock().unwrap(), ["panic recovered: no way"]);
    assert_eq!(words(&call("good").await?), "good");
    service.stop().await
}

#[tokio::test]
async fn a_panic_of_a_clients_wrapper_is_the_calls_error() -> Result<()> {
    let (world, told) = (World::default(), Told::default());
    let service = world
        .service("s", "braid")
        .handle(Say::hello(|_, message| async { Ok(message) }))
        .start()
        .await?;
    let caller = world
        .service("c", "braid")
        .wrap_call(telling(&told))
        .wrap_call(from_fn(|_: Request, _: Next| async { panic!("inside") }));
    let error = caller
        .client()
        .request("s", "Say.Hello", frame("x"))
        .await
        .unwrap_err();
    assert_eq!(error.detail(), "panic recovered: inside");
    assert_eq!(error.id(), "go.micro.client");
    assert_eq!(*told.lock().unwrap(), ["Say.Hello: inside"]);
    service.stop().await
}

#[tokio::test]
async fn a_hook_that_panics_changes_nothing() -> Result<()> {
    let world = World::default();
    let service = world
        .service("s", "braid")
        .wrap_handler(Recover::new().on_panic(|_| panic!("the hook, too")))
        .handle(Say::hello(|_, _| async { panic!("the handler") }))
        .start()
        .await?;
    let error: Error = service
        .client()
        .request("s", "Say.Hello", frame("x"))
        .await
        .unwrap_err();
    assert_eq!(error.detail(), "panic recovered: the handler");
    service.stop().await
}
