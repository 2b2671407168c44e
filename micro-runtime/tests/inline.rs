//! Where handlers run: in their connection's task, or, where they compute for long, in their own.
#![allow(
    missing_docs,
    unreachable_pub,
    dead_code,
    clippy::unwrap_used,
    clippy::disallowed_methods
)]

#[path = "braid/net.rs"]
mod pipes;
#[path = "braid/say.rs"]
mod say;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use micro_runtime::call::Dispatch;
use micro_runtime::protocol::{Braid, Destination, Environment, Grpc, Protocol};
use micro_runtime::router::{Core, CoreOptions, Inline, Limits};
use micro_runtime::server::Server;
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::{Memory, Transport};
use micro_runtime::wrapper::{Wrapper, from_fn};

use say::{Say, SayClient, Word, word};

/// A server of one protocol whose handlers are wrapped in `wrapper`, and a client.
async fn serve(
    protocol: impl Protocol + Clone,
    inline: Inline,
    wrapper: impl Wrapper,
) -> (Server, SayClient) {
    let tasks = Tasks::new();
    let mut options = CoreOptions::default();
    options.name = "test.say".into();
    options.limits = Limits::default();
    options.limits.inline = inline;
    options.wrappers = vec![Arc::new(wrapper)];
    let service = Arc::new(Say::default()) as Arc<dyn Dispatch>;
    let core = Core::new(options, [service]).unwrap();
    let server = Server::new(core, vec![Arc::new(protocol.clone())]).unwrap();
    let network = Memory::new();
    let listener = network.listen("").await.unwrap();
    let node = Destination {
        address: listener.address().to_owned().into(),
        id: "node-1".into(),
        legacy: false,
    };
    let environment = Environment {
        transport: Arc::new(network),
        tasks,
        pool_size: 1,
        pool_ttl: Duration::from_secs(60),
        max_message: 64 << 20,
    };
    server.start(listener);
    let channel = protocol.channel(node, &environment);
    (server, pipes::client(&channel))
}

/// In which tasks the handlers of calls run, of which those that are true compute for long.
async fn tasks_of(
    protocol: impl Protocol + Clone,
    inline: Inline,
    calls: &[bool],
) -> Vec<tokio::task::Id> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let wrapper = from_fn(move |request, next| {
        let notes = notes.clone();
        async move {
            notes.lock().unwrap().push(tokio::task::id());
            let start = Instant::now();
            let long = request.cx.metadata().get("Long").is_some();
            while long && start.elapsed() < Duration::from_micros(300) {}
            next.run(request).await
        }
    });
    let (_server, say) = serve(protocol, inline, wrapper).await;
    for long in calls {
        let call = say.hello(word("echo"));
        let call = match long {
            true => call.metadata("Long", "yes"),
            false => call,
        };
        call.await.unwrap();
    }
    drop(say);
    let seen = seen.lock().unwrap();
    seen.clone()
}

async fn a_method_moves_to_tasks_of_its_own_where_it_computes(protocol: impl Protocol + Clone) {
    let calls = [false, true, true, false, false];
    let always = tasks_of(protocol.clone(), Inline::Always, &calls).await;
    assert!(always.iter().all(|task| *task == always[0]), "{always:?}");
    let never = tasks_of(protocol.clone(), Inline::Never, &calls).await;
    let mut distinct = never.clone();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), calls.len(), "{never:?}");
    let auto = tasks_of(protocol, Inline::Auto, &calls).await;
    // When exactly it moves depends on how busy the machine is; after two long ones it has.
    assert!(auto[3] != auto[0] && auto[4] != auto[0] && auto[3] != auto[4]);
}

#[tokio::test]
async fn a_method_of_braid_that_computes_for_long_is_spawned_from_then_on() {
    a_method_moves_to_tasks_of_its_own_where_it_computes(Braid::default()).await;
}

#[tokio::test]
async fn a_method_of_grpc_that_computes_for_long_is_spawned_from_then_on() {
    a_method_moves_to_tasks_of_its_own_where_it_computes(Grpc::new()).await;
}

#[tokio::test]
async fn a_stream_of_grpc_that_waits_for_room_is_left_alone() {
    let polls = Arc::new(AtomicUsize::new(0));
    let counter = polls.clone();
    let wrapper = from_fn(move |request, next| {
        let counter = counter.clone();
        async move {
            let mut handler = pin!(next.run(request));
            poll_fn(|task| {
                counter.fetch_add(1, Ordering::SeqCst);
                handler.as_mut().poll(task)
            })
            .await
        }
    });
    let (_server, say) = serve(Grpc::new(), Inline::Auto, wrapper).await;
    let request = Word {
        number: 100_000,
        data: vec![7; 100].into(),
        ..word("flood")
    };
    let mut messages = say.count(request).await.unwrap();
    messages.message().await.unwrap().unwrap();
    // Nobody reads on, so the handler waits once the window is full.
    let mut before = 0;
    for _ in 0..100 {
        before = polls.load(Ordering::SeqCst);
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }
    assert_eq!(polls.load(Ordering::SeqCst), before);
    let sends = 100_000;
    let mut count = 1;
    while messages.message().await.unwrap().is_some() {
        count += 1;
    }
    assert_eq!(count, sends);
    // A window's worth at a time, not one message.
    assert!(polls.load(Ordering::SeqCst) < sends / 20, "{polls:?}");
}
