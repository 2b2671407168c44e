//! A node that cannot be reached is left to itself, and comes back without costing a call.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, reason = "a test stops where something is wrong")]

mod support;

use std::time::Duration;

use async_trait::async_trait;
use micro_runtime::registry::{self, Node, RegisterOptions, Registry};
use micro_runtime::transport::{Connection, Listener, Transport};
use micro_runtime::{Error, Result, Service};
use support::{PROTOCOLS, Say, World, frame};
use tokio::time::sleep;

const NAME: &str = "a";
const AWAY: &str = "away:1";

fn echo() -> Say {
    Say::hello(|_, frame| async move { Ok(frame) })
}

/// A node that answers with its address.
fn node(world: &World, protocol: &str, address: &'static str) -> Service {
    let say = Say::hello(move |_, _| async move { Ok(frame(address)) });
    world.service(NAME, protocol).address(address).handle(say)
}

/// A network in which what is sent to one host is lost.
#[derive(Debug)]
struct Swallows<T>(T);

#[async_trait]
impl<T: Transport> Transport for Swallows<T> {
    fn name(&self) -> &str {
        self.0.name()
    }
    async fn dial(&self, address: &str) -> Result<Connection> {
        match address {
            AWAY => std::future::pending().await,
            address => self.0.dial(address).await,
        }
    }
    async fn listen(&self, address: &str) -> Result<Box<dyn Listener>> {
        self.0.listen(address).await
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_that_swallows_everything_costs_few_calls_however_short_their_time() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let _here = node(&world, protocol, "here:1").start().await.unwrap();
        let mut away = registry::Service::new(NAME, "latest");
        away.nodes = vec![Node::new("away", AWAY)];
        let protocols = ("protocols".to_owned(), protocol.to_owned());
        away.nodes[0].metadata.extend([protocols]);
        let known = RegisterOptions::default();
        world.registry.register(&away, known).await.unwrap();
        let network = Swallows(world.network.clone());
        let caller = world.service("b", protocol).transport(network);
        let client = caller.client();
        let mut failed = 0;
        for _ in 0..60_000 / 20 {
            let call = client.request(NAME, "Say.Hello", frame("x"));
            let answer = call.timeout(Duration::from_secs(2)).await;
            failed += usize::from(answer.is_err());
            sleep(Duration::from_millis(20)).await;
        }
        assert!(
            (1..=8).contains(&failed),
            "{protocol}: {failed} calls failed"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_away_costs_one_call_and_takes_part_again_when_it_is_back() {
    for protocol in PROTOCOLS {
        let world = World::default();
        let _here = node(&world, protocol, "here:1").start().await.unwrap();
        let mut away = registry::Service::new(NAME, "latest");
        away.nodes = vec![Node::new("away", AWAY)];
        let protocols = ("protocols".to_owned(), protocol.to_owned());
        away.nodes[0].metadata.extend([protocols]);
        let known = RegisterOptions::default();
        world.registry.register(&away, known).await.unwrap();
        // It has its full share as soon as it is back.
        let caller = world.service("b", protocol).handle(echo()).retries(0);
        let caller = caller.slow_start(Duration::ZERO);
        let client = caller.client();
        let call = || client.request(NAME, "Say.Hello", frame("x"));

        // One call finds out. For a minute no other does, though each has one try alone.
        let mut failed: Vec<Error> = Vec::new();
        for _ in 0..60_000 / 20 {
            failed.extend(call().await.err());
            sleep(Duration::from_millis(20)).await;
        }
        let words: Vec<_> = failed.iter().map(Error::to_string).collect();
        assert_eq!(failed.len(), 1, "{protocol}: {words:?}");

        // The address is its own again, whatever the registry says.
        let elsewhere = World {
            network: world.network.clone(),
            ..World::default()
        };
        let _back = node(&elsewhere, protocol, AWAY).start().await.unwrap();
        sleep(Duration::from_secs(31)).await;
        let mut back = 0;
        for _ in 0..100 {
            back += usize::from(call().await.unwrap() == frame(AWAY));
        }
        assert!(back > 20, "{protocol}: {back} of 100");
    }
}
