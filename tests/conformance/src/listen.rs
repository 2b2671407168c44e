//! A server for tools that know nothing of the suite: `listen plain` and `listen tls`.

use micro_runtime::Service;
use micro_runtime::registry::Memory;
use micro_runtime::transport::tls::{Identity, ServerTls};
use tokio::io::AsyncReadExt;

use crate::Failure;
use crate::connectrpc::conformance::v1::ConformanceServiceServer;
use crate::service::Conformance;

/// Serves on a port of its own, prints its address, and ends with the standard input.
///
pub(crate) async fn run(tls: bool) -> Result<(), Failure> {
    let service = Service::new("micro.conformance")
        .registry(Memory::new())
        .address("127.0.0.1:0")
        .handle(ConformanceServiceServer::new(Conformance));
    let service = match tls {
        false => service,
        true => {
            let own = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
            let key = own.signing_key.serialize_pem();
            let identity = Identity::from_pem(own.cert.pem().as_bytes(), key.as_bytes())?;
            service.server_tls(ServerTls::new(identity))
        }
    };
    let running = service.start().await?;
    println!("{}", running.address());
    let mut input = Vec::new();
    tokio::io::stdin().read_to_end(&mut input).await?;
    Ok(running.stop().await?)
}
