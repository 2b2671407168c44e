//! The contract of brokers, over sockets and in memory.

use std::sync::Arc;
use std::time::Duration;

use micro_runtime::broker::{Broker, Http, HttpOptions};
use micro_runtime::registry::Memory;
use micro_runtime::tasks::Tasks;
use micro_runtime::testing::broker_contract;
use micro_runtime::transport::Memory as Network;

#[tokio::test]
async fn the_contract_holds_over_tcp() {
    broker_contract(async || {
        let mut options = HttpOptions::default();
        options.linger = Duration::from_millis(10);
        let broker = Http::with(Arc::new(Memory::new()), &Tasks::new(), options).unwrap();
        let broker: Arc<dyn Broker> = Arc::new(broker);
        broker
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_contract_holds_in_memory() {
    broker_contract(async || {
        let mut options = HttpOptions::default();
        options.transport = Arc::new(Network::new());
        let broker = Http::with(Arc::new(Memory::new()), &Tasks::new(), options).unwrap();
        let broker: Arc<dyn Broker> = Arc::new(broker);
        broker
    })
    .await;
}
