//! What callers are told while a fault lasts: calls that are sent to the faulty node on purpose, and
//! only once, say in which way it failed.

use std::time::Duration;

use micro_runtime::Service;
use micro_runtime::error::why::{Cause, Why};
use micro_tests::proto::greeter::{GreeterClient, HelloRequest};
use tokio::runtime::Runtime;

/// How long a call to the faulty node may take.
const PATIENCE: Duration = Duration::from_secs(1);
/// How long connecting to it may.
const DIAL: Duration = Duration::from_millis(500);

/// Who calls the faulty node, over one protocol each.
pub struct Askers {
    runtime: Runtime,
    address: String,
    greeters: Vec<(&'static str, GreeterClient)>,
}

/// What one caller was told.
#[derive(Debug)]
pub struct Told {
    /// What it speaks.
    pub protocol: &'static str,
    /// How its call ended; `None` where it was answered.
    pub cause: Option<Cause>,
    /// All that led to it.
    pub why: Option<Why>,
}

impl Askers {
    /// Callers of the node at `address` that have not called it yet.
    pub fn new(address: &str, protocols: &[&'static str]) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let greeters = runtime.block_on(async {
            let client = |protocol: &&'static str| {
                let service = Service::new("asker")
                    .client_protocols([*protocol])
                    .registry(micro_runtime::registry::Memory::new());
                (*protocol, GreeterClient::new("faulty", service.client()))
            };
            protocols.iter().map(client).collect()
        });
        Self {
            runtime,
            address: address.to_owned(),
            greeters,
        }
    }

    /// Callers that have called it, and have a connection.
    ///
    /// # Panics
    /// Where they are not answered.
    pub fn connected(address: &str, protocols: &[&'static str]) -> Self {
        let askers = Self::new(address, protocols);
        for told in askers.ask("before") {
            assert!(told.cause.is_none(), "{told:#?}");
        }
        askers
    }

    /// Each calls once.
    pub fn ask(&self, label: &str) -> Vec<Told> {
        let told = |(protocol, greeter): &(&'static str, GreeterClient)| {
            let name = format!("{label}-{protocol}");
            let call = greeter
                .hello(HelloRequest { name })
                .address(self.address.clone())
                .retries(0)
                .attempt_timeout(PATIENCE)
                .dial_timeout(DIAL);
            let why = match self.runtime.block_on(async { call.await }) {
                Ok(_) => None,
                Err(error) => Some(error.why().cloned().expect("errors of calls tell why")),
            };
            let cause = why.as_ref().map(|why| {
                let last = why.attempts().last();
                let failure = last.and_then(|attempt| attempt.result.as_ref().err());
                failure.expect("it was tried, in vain").cause
            });
            Told {
                protocol,
                cause,
                why,
            }
        };
        self.greeters.iter().map(told).collect()
    }
}
