//! The broker in memory does what every broker must.

use std::sync::Arc;

use micro_runtime::broker::{Broker, Memory};
use micro_runtime::testing::broker_contract;

#[tokio::test]
async fn memory_keeps_the_contract() {
    broker_contract(async || Arc::new(Memory::new()) as Arc<dyn Broker>).await;
}

#[tokio::test]
async fn a_clone_keeps_the_contract_beside_others() {
    let memory = Memory::new();
    let _other = memory.clone();
    broker_contract(async || Arc::new(memory.clone()) as Arc<dyn Broker>).await;
}
