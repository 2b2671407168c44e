//! What callers are told while a fault lasts: calls that are sent to the faulty node on purpose, and
//! only once, say in which way it failed.

use std::time::Duration;

use micro_runtime::error::why::{Cause, Step};
use micro_runtime::{Error, Service};
use micro_tests::proto::greeter::{GreeterClient, HelloRequest};
use tokio::runtime::Runtime;

/// How long a call to the faulty node may take, and connecting to it, where it is to be silent: all
/// of it is waited for.
const SILENCE: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(500)];
/// The same where it is to say something, or its end is to be noticed, however busy the machine is.
const PATIENCE: [Duration; 2] = [Duration::from_secs(10); 2];

/// Who calls the faulty node, over one protocol each.
pub struct Askers {
    runtime: Runtime,
    address: String,
    greeters: Vec<(&'static str, GreeterClient)>,
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
        for (protocol, error) in askers.ask(PATIENCE) {
            assert!(error.is_none(), "{protocol}: {error:?}");
        }
        askers
    }

    /// Each calls once; gives what they are told that is none of `wanted`. Where nothing is wanted,
    /// they are to be answered.
    pub fn wrongly_told(&self, wanted: &[Cause]) -> Vec<String> {
        let wrong = |(protocol, error): (&str, Option<Error>)| {
            let told = error.as_ref().map(cause);
            let right = told.map_or(wanted.is_empty(), |told| wanted.contains(&told));
            (!right).then(|| format!("over {protocol}: {told:?}, not {wanted:?}: {error:?}"))
        };
        let silent = |cause: &Cause| matches!(cause, Cause::Silent | Cause::Unreachable);
        let limits = match wanted.is_empty() || !wanted.iter().all(silent) {
            true => PATIENCE,
            false => SILENCE,
        };
        self.ask(limits).into_iter().filter_map(wrong).collect()
    }

    fn ask(&self, [patience, dial]: [Duration; 2]) -> Vec<(&'static str, Option<Error>)> {
        let answer = |(protocol, greeter): &(&'static str, GreeterClient)| {
            let name = "asker".to_owned();
            let call = greeter
                .hello(HelloRequest { name })
                .address(self.address.clone())
                .retries(0)
                .attempt_timeout(patience)
                .dial_timeout(dial);
            (*protocol, self.runtime.block_on(async { call.await }).err())
        };
        self.greeters.iter().map(answer).collect()
    }
}

/// In which way the last try of a call has failed.
fn cause(error: &Error) -> Cause {
    let why = error.why().expect("errors of calls tell why");
    let last = why.attempts().last().expect("it was tried");
    last.result.as_ref().expect_err("in vain").cause
}

/// A caller that has to find a service in a Consul at `address` that is not there; gives what it is
/// told where that does not name the registry.
pub fn without_consul(address: &str, service: &str) -> Option<String> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let error = runtime.block_on(async {
        let address = format!("--registry_address={address}");
        let flags = ["asker", "--registry=consul", &address];
        let nothing: [(String, String); 0] = [];
        let caller = Service::new("asker").init_from(flags, nothing);
        let greeter = GreeterClient::new(service.to_owned(), caller.expect("known flags").client());
        let call = greeter.hello(HelloRequest::default()).timeout(PATIENCE[0]);
        call.await.expect_err("nobody can be found")
    });
    let steps = error.why().map_or(&[][..], |why| &why.steps);
    let [Step::Chosen(choice)] = steps else {
        return Some(format!("not that no node could be chosen: {error:?}"));
    };
    let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref());
    let from = source.map_or("", Error::id);
    let right = choice.node.is_none() && choice.known == 0 && from == "go.micro.registry";
    (!right).then(|| format!("not that the registry is away: {error:?}"))
}
