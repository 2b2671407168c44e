//! The server's side: any of the test services until SIGTERM or SIGINT.

use micro_runtime::transport::tls::{Identity, ServerTls};
use micro_runtime::{Error, Result, Service};
use tokio::signal::unix::{SignalKind, signal};

use super::args::{Args, RegistryName, ServiceName};
use super::greeter::{self, Greeter};
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
    let mut service = configured(
        Service::new(args.name())
            .address(address)
            .server_protocols(args.protocol.served())
            .linger(args.linger),
        args,
    )?;
    if let Some(id) = &args.id {
        service = service.id(id);
    }
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
            let service = service.handle(GreeterServer::new(greeter));
            match &args.topic {
                Some(topic) => service.subscribe(topic.clone(), &args.queue, greeter::event),
                None => service,
            }
        }
        ServiceName::Kitchen => service
            .codec(kitchen::json())
            .codec(kitchen::grpc_json())
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

/// The service with the settings that the flags ask for.
pub(super) fn configured(service: Service, args: &Args) -> Result<Service> {
    let mut settings = vec![("registry", args.registry.as_str())];
    match (args.registry, &args.registry_address) {
        (RegistryName::Memory, Some(_)) => {
            return Err(wrong("--registry_address is not for --registry memory"));
        }
        (RegistryName::Local, None) => {
            return Err(wrong("--registry local needs --registry_address"));
        }
        (_, Some(address)) => settings.push(("registry_address", address)),
        (_, None) => {}
    }
    if args.topic.is_some() {
        settings.push(("broker", "http"));
        settings.push(("broker_address", &args.broker_address));
    }
    let given = args.set.iter().map(|(name, value)| (&**name, &**value));
    let flags = settings.into_iter().chain(given);
    let flags = flags.map(|(name, value)| format!("--{name}={value}"));
    let program = "micro-interop".to_owned();
    // The environment of whoever runs the tests is no part of them.
    let nothing: [(String, String); 0] = [];
    service.init_from(std::iter::once(program).chain(flags), nothing)
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
