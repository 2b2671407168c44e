//! The client's side: so many calls, a line about each.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use micro_runtime::client;
use micro_runtime::transport::tls::ClientTls;
use micro_runtime::{Client, Error, Result, Service};
use tokio::task::JoinSet;

use super::args::{Args, ServiceName};
use super::server::{configured, wrong};
use super::{greeter_calls, kitchen};
use crate::go::rounded_to_millis;

/// Makes the calls that the flags ask for and gives how many failed.
pub(super) async fn run(args: Args) -> Result<u64> {
    let caller = Caller::new(args)?;
    let (failed, calls) = match caller.args.service {
        ServiceName::Greeter => greeter_calls::run(&caller).await?,
        ServiceName::Kitchen => kitchen::run(&caller).await?,
        ServiceName::Tally => return Err(wrong("the tally is only served")),
    };
    if failed > 0 {
        println!("FAILED {failed} of {calls}");
    }
    Ok(failed)
}

/// A client and what the flags want of its calls; cheap to clone.
#[derive(Clone)]
pub(super) struct Caller {
    pub(super) args: Arc<Args>,
    pub(super) client: Client,
    /// How many numbers were given.
    numbers: Arc<AtomicU64>,
}

impl Caller {
    fn new(args: Args) -> Result<Self> {
        if args.cert.is_some() {
            return Err(wrong("--cert and --key are for the server"));
        }
        let service = Service::new("micro-interop")
            .client_protocols(args.protocol.names())
            .codec(kitchen::json().for_client())
            .content_type(args.content_type.clone())
            .retries(args.retries);
        let mut service = configured(service, &args)?;
        if let Some(tls) = tls(&args)? {
            service = service.client_tls(tls);
        }
        let client = service.client().clone();
        Ok(Self {
            args: Arc::new(args),
            client,
            numbers: Arc::default(),
        })
    }

    /// The call with what the flags say about each call.
    pub(super) fn with<K>(&self, call: client::Call<K>) -> client::Call<K> {
        let args = &*self.args;
        let mut call = call;
        for address in args
            .address
            .split(',')
            .filter(|address| !address.is_empty())
        {
            call = call.address(address.to_owned());
        }
        for (key, value) in &args.metadata {
            call = call.metadata(key.clone(), value.clone());
        }
        if let Some(timeout) = args.timeout {
            call = call.timeout(timeout);
        }
        if let Some(timeout) = args.conn_timeout {
            call = call.attempt_timeout(timeout);
        }
        if let Some(timeout) = args.stream_timeout {
            call = call.stream_timeout(timeout);
        }
        if args.conn_close {
            call = call.close_connection();
        }
        call
    }

    /// The next number, from 1.
    pub(super) fn next(&self) -> u64 {
        1 + self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Prints a line about a call that went well, unless there are more than three.
    pub(super) fn say(&self, line: impl fmt::Display) {
        if self.args.calls() <= 3 {
            println!("{line}");
        }
    }

    /// Makes `--n` calls in each of `--parallel` workers, prints a line for each that fails, with
    /// `label` if there is one, and gives how many did.
    pub(super) async fn load<F, R>(&self, label: &str, call: F) -> u64
    where
        F: Fn(Self) -> R + Clone + Send + 'static,
        R: Future<Output = std::result::Result<(), Failure>> + Send,
    {
        let label = match label {
            "" => String::new(),
            label => format!("{label} "),
        };
        let mut workers = JoinSet::new();
        for _ in 0..self.args.parallel {
            let (caller, call, label) = (self.clone(), call.clone(), label.clone());
            workers.spawn(async move {
                let mut failed = 0;
                for _ in 0..caller.args.n {
                    let started = Instant::now();
                    let Err(failure) = call(caller.clone()).await else {
                        continue;
                    };
                    failed += 1;
                    match failure {
                        Failure::Error(error) => println!(
                            "ERR {label}*errors.Error {} ({})",
                            error.to_wire(),
                            rounded_to_millis(started.elapsed())
                        ),
                        Failure::Difference(difference) => println!("DIFF {label}{difference}"),
                    }
                }
                failed
            });
        }
        workers.join_all().await.into_iter().sum()
    }
}

/// Why a call was no success.
pub(super) enum Failure {
    /// It failed.
    Error(Error),
    /// It went well and gave another value than expected.
    Difference(String),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

fn tls(args: &Args) -> Result<Option<ClientTls>> {
    match &args.ca {
        Some(ca) => Ok(Some(ClientTls::new().ca_file(ca)?)),
        None if args.insecure => Ok(Some(ClientTls::new().insecure())),
        None if args.secure => Err(wrong("--secure needs --ca or --insecure")),
        None => Ok(None),
    }
}
