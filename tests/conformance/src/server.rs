//! The server under test: one service, listening as the suite asks.

use std::time::Duration;

use micro_runtime::Service;
use micro_runtime::protocol::Grpc;
use micro_runtime::registry::Memory;
use micro_runtime::router::Limits;
use micro_runtime::transport::tls::{Identity, ServerTls};
use tokio::signal::unix::{SignalKind, signal};

use crate::connectrpc::conformance::v1::{
    ConformanceServiceServer, ServerCompatRequest, ServerCompatResponse,
};
use crate::service::Conformance;
use crate::{Failure, convert, wire};

/// Starts what the suite asks for, says where it listens, and serves until the suite ends it.
pub(crate) async fn run() -> Result<(), Failure> {
    let asked: ServerCompatRequest = wire::read(&mut tokio::io::stdin())
        .await?
        .ok_or("the suite asked for nothing")?;
    let mut terminate = signal(SignalKind::terminate())?;
    let running = service(&asked)?.start().await?;
    let (host, port) = running
        .address()
        .rsplit_once(':')
        .ok_or("the address has no port")?;
    let listens = ServerCompatResponse {
        host: host.to_owned(),
        port: port.parse()?,
        pem_cert: match asked.use_tls {
            true => asked.server_creds.unwrap_or_default().cert,
            false => Vec::new(),
        },
    };
    wire::write(&mut tokio::io::stdout(), &listens).await?;
    terminate.recv().await;
    Ok(())
}

fn service(asked: &ServerCompatRequest) -> Result<Service, Failure> {
    let mut grpc = Grpc::new();
    grpc.loopback_only = true;
    grpc.compress = true;
    let mut limits = Limits::default();
    // Go's clients dial ahead, and may begin to use a connection just as it is closed for its silence.
    limits.first_request = Duration::from_secs(60);
    if asked.message_receive_limit > 0 {
        limits.message = usize::try_from(asked.message_receive_limit)?;
    }
    let service = Service::new("micro.conformance")
        .registry(Memory::new())
        .address("127.0.0.1:0")
        .limits(limits)
        .protocol(grpc)
        .codec(convert::json("application/grpc+json"))
        .codec(convert::json("application/json"))
        .handle(ConformanceServiceServer::new(Conformance));
    if !asked.use_tls {
        return Ok(service);
    }
    let own = asked
        .server_creds
        .as_ref()
        .ok_or("TLS without a certificate")?;
    let tls = ServerTls::new(Identity::from_pem(&own.cert, &own.key)?);
    let tls = match &*asked.client_tls_cert {
        [] => tls,
        certificate => tls.require_client_ca(certificate)?,
    };
    Ok(service.server_tls(tls))
}
