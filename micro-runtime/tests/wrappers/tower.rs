use std::future::{Ready, ready};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use micro_runtime::client::Target;
use micro_runtime::wrapper::tower::{
    BoxError, InvokeService, Passing, WrapperLayer, from_layer, from_service,
};
use micro_runtime::wrapper::{Next, from_fn};
use micro_runtime::{Error, Reply, Request, Result};
use tokio::sync::Semaphore;
use tower::limit::ConcurrencyLimitLayer;
use tower::retry::{Policy, RetryLayer};
use tower::timeout::TimeoutLayer;
use tower::timeout::error::Elapsed;
use tower::{ServiceBuilder, ServiceExt};

use crate::support::{Say, World, frame, words};

#[tokio::test]
async fn a_layers_limit_holds_over_all_calls_of_a_server() -> Result<()> {
    let world = World::default();
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let go = Arc::new(Semaphore::new(0));
    let handler = {
        let (running, most, go) = (running.clone(), most.clone(), go.clone());
        Say::hello(move |_, message| {
            let (running, most, go) = (running.clone(), most.clone(), go.clone());
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                go.acquire().await.unwrap().forget();
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(message)
            }
        })
    };
    let service = world
        .service("s", "braid")
        .wrap_handler(from_layer(ConcurrencyLimitLayer::new(3)))
        .handle(handler)
        .start()
        .await?;
    let calls: Vec<_> = (0..10)
        .map(|_| {
            let call = service.client().request("s", "Say.Hello", frame("x"));
            tokio::spawn(async move { call.await })
        })
        .collect();
    go.add_permits(10);
    for call in calls {
        call.await.unwrap()?;
    }
    assert!((1..=3).contains(&most.load(Ordering::SeqCst)), "{most:?}");
    service.stop().await
}

#[tokio::test(start_paused = true)]
async fn a_layers_own_error_is_said_as_one_wants() -> Result<()> {
    let world = World::default();
    let service = world
        .service("s", "braid")
        .handle(Say::hello(|_, _| std::future::pending()))
        .start()
        .await?;
    let in_time = || TimeoutLayer::new(Duration::from_millis(50));
    let told = world.service("c", "braid").wrap_call(from_layer(in_time()));
    let mapped = from_layer(in_time()).map_error(|error| {
        assert!(error.is::<Elapsed>());
        Error::timeout("c", "tower's patience is at an end")
    });
    let mapped = world.service("c", "braid").wrap_call(mapped);
    let call =
        |client: &micro_runtime::client::Client| client.request("s", "Say.Hello", frame("x"));
    let error = call(told.client()).await.unwrap_err();
    assert_eq!((error.code(), error.detail()), (500, "request timed out"));
    let error = call(mapped.client()).await.unwrap_err();
    assert_eq!(
        (error.code(), error.detail()),
        (408, "tower's patience is at an end")
    );
    service.stop().await
}

/// Tries thrice.
#[derive(Clone)]
struct Thrice(u32);

impl Policy<Passing, Reply, BoxError> for Thrice {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        _: &mut Passing,
        result: &mut Result<Reply, BoxError>,
    ) -> Option<Self::Future> {
        self.0 += 1;
        (result.is_err() && self.0 < 3).then(|| ready(()))
    }

    fn clone_request(&mut self, passing: &Passing) -> Option<Passing> {
        passing.try_clone()
    }
}

#[tokio::test]
async fn a_retry_layer_sends_a_call_again_and_our_errors_come_back_as_they_were() -> Result<()> {
    let (world, ran) = (World::default(), Arc::new(AtomicUsize::new(0)));
    let count = ran.clone();
    let service = world
        .service("s", "braid")
        .handle(Say::hello(move |_, message| {
            let number = count.fetch_add(1, Ordering::SeqCst);
            async move {
                match number {
                    2 => Ok(message),
                    _ => Err(Error::conflict("s.hello", "not yet")),
                }
            }
        }))
        .start()
        .await?;
    let caller = world
        .service("c", "braid")
        .wrap_call(from_layer(RetryLayer::new(Thrice(0))));
    let call = || caller.client().request("s", "Say.Hello", frame("again"));
    assert_eq!(words(&call().await?), "again");
    let error = call().await.unwrap_err();
    assert_eq!(
        (error.id(), error.code(), ran.load(Ordering::SeqCst)),
        ("s.hello", 409, 6)
    );
    service.stop().await
}

#[tokio::test]
async fn calls_are_services_and_services_are_called() -> Result<()> {
    let world = World::default();
    let service = world
        .service("s", "braid")
        .handle(Say::hello(|_, message| async { Ok(message) }))
        .start()
        .await?;
    let seen = Arc::new(AtomicUsize::new(0));
    let count = seen.clone();
    let wrapper = from_fn(move |request: Request, next: Next| {
        count.fetch_add(1, Ordering::SeqCst);
        next.run(request)
    });
    // A client's way to a service, under a wrapper as a layer and tower's own, as a client's target.
    let real = service.client().target("s");
    let stack = ServiceBuilder::new()
        .layer(WrapperLayer::new(wrapper))
        .layer(ConcurrencyLimitLayer::new(1))
        .service(InvokeService::new(real.invoker().clone()));
    assert!(stack.clone().ready_oneshot().await.is_ok());
    let target = Target::new("s", Arc::new(from_service(stack)));
    let reply: micro_runtime::call::Frame = target.unary("Say.Hello", frame("through")).await?;
    assert_eq!(
        (words(&reply), seen.load(Ordering::SeqCst)),
        ("through".to_owned(), 1)
    );
    let error = target
        .unary::<_, micro_runtime::call::Frame>("Say.Nothing", frame("x"))
        .await
        .unwrap_err();
    assert!(error.detail().contains("can't find method"), "{error:?}");
    service.stop().await
}
