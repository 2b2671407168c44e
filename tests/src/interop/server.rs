//! The server's side: any of the test services until SIGTERM or SIGINT.

use std::time::Duration;

use micro_runtime::registry::{Local, Memory};
use micro_runtime::tasks::Tasks;
use micro_runtime::transport::tls::{Identity, ServerTls};
use micro_runtime::{Error, Result, Service};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Args, RegistryName, ServiceName};
use super::greeter::Greeter;
use super::kitchen::{self, Kitchen};
use super::tally::Counter;
use crate::proto::greeter::GreeterServer;
use crate::proto::kitchen::KitchenServer;
use crate::proto::tally::TallyServer;

/// Serves; prints `READY host:port` when it listens.
pub(super) async fn serve(args: &Args) -> Result<()> {
    if args.ca.is_some() || args.insecure {
        return Err(wrong("--ca and --insecure are for the client"));
    }
    let address = match &*args.address {
        "" => "127.0.0.1:0",
        address => address,
    };
    let mut service = with_registry(Service::new(args.name()), args)?
        .address(address)
        .server_protocols([args.protocol.as_str()])
        // Nobody's cache lags behind a test's server.
        .linger(Duration::ZERO);
    if let Some(advertise) = &args.advertise {
        service = service.advertise(advertise);
    }
    if !args.debug_handler {
        service = service.without_debug();
    }
    if let Some(tls) = tls(args)? {
        service = service.server_tls(tls);
    }
    let service = match args.service {
        ServiceName::Greeter => {
            let greeter = Greeter::new(args)?;
            service.handle(GreeterServer::new(greeter))
        }
        ServiceName::Kitchen => service
            .codec(kitchen::json())
            .handle(KitchenServer::new(Kitchen)),
        ServiceName::Tally => service.handle(TallyServer::new(Counter::default())),
    };
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = service.start().await?;
    println!("READY {}", running.address());
    tokio::select! {
        biased;
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    running.stop().await
}

/// The service with the registry that the flags ask for.
pub(super) fn with_registry(service: Service, args: &Args) -> Result<Service> {
    match (args.registry, &args.registry_address) {
        (RegistryName::Memory, None) => Ok(service.registry(Memory::new())),
        (RegistryName::Memory, Some(_)) => Err(wrong("--registry_address is for --registry local")),
        (RegistryName::Local, None) => Err(wrong("--registry local needs --registry_address")),
        (RegistryName::Local, Some(folder)) => {
            Ok(service.registry(Local::at(folder, &Tasks::new())?))
        }
    }
}

fn tls(args: &Args) -> Result<Option<ServerTls>> {
    match (&args.cert, &args.key) {
        (Some(cert), Some(key)) => Ok(Some(ServerTls::new(Identity::from_files(cert, key)?))),
        _ if args.secure => Err(wrong("--secure needs --cert and --key")),
        _ => Ok(None),
    }
}

/// The error of flags that make no sense together.
pub(super) fn wrong(detail: &'static str) -> Error {
    Error::bad_request("micro.interop", detail)
}
