//! How the suite's server is to be called: one client for all calls that want the same.

use micro_runtime::Service;
use micro_runtime::protocol::{self, Connect, Grpc, GrpcWeb, HttpVersion};
use micro_runtime::registry::Memory;
use micro_runtime::transport::tls::{ClientTls, Identity};

use crate::connectrpc::conformance::v1::{
    ClientCompatRequest, Codec, Compression, ConformanceServiceClient, HttpVersion as Version,
    Protocol,
};
use crate::{Failure, convert};

/// What a client is made for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Connection {
    protocol: i32,
    http: i32,
    codec: i32,
    compression: i32,
    /// The server, since each has a certificate of its own.
    address: String,
    server: Vec<u8>,
    identity: Option<(Vec<u8>, Vec<u8>)>,
    most: u32,
    get: bool,
}

impl Connection {
    /// What `request` wants.
    pub(super) fn of(request: &ClientCompatRequest) -> Self {
        Self {
            protocol: request.protocol,
            http: request.http_version,
            codec: request.codec,
            compression: request.compression,
            address: format!("{}:{}", request.host, request.port),
            server: request.server_tls_cert.clone(),
            identity: request
                .client_tls_creds
                .as_ref()
                .map(|own| (own.cert.clone(), own.key.clone())),
            most: request.message_receive_limit,
            get: request.use_get_http_method,
        }
    }

    /// A client that calls so.
    pub(super) fn client(&self) -> Result<ConformanceServiceClient, Failure> {
        let mut service = Service::new("micro.conformance.client")
            .registry(Memory::new())
            .codec(convert::json("application/grpc+json").for_client())
            .codec(convert::json("application/json").for_client())
            .content_type(match Codec::try_from(self.codec)? {
                Codec::Json => "application/json",
                Codec::Proto => "application/protobuf",
                other => return Err(format!("no codec for {other:?}").into()),
            });
        let (compress, compression) = match Compression::try_from(self.compression)? {
            Compression::Identity => (false, protocol::Compression::Gzip),
            Compression::Gzip => (true, protocol::Compression::Gzip),
            Compression::Zstd => (true, protocol::Compression::Zstd),
            other => return Err(format!("no compression {other:?}").into()),
        };
        let http = match Version::try_from(self.http)? {
            Version::HttpVersion1 => HttpVersion::Http1,
            Version::HttpVersion2 => HttpVersion::Http2,
            other => return Err(format!("no {other:?}").into()),
        };
        let most = match self.most {
            0 => usize::MAX,
            most => usize::try_from(most)?,
        };
        service = match Protocol::try_from(self.protocol)? {
            Protocol::Grpc => {
                let mut grpc = Grpc::new();
                grpc.compress = compress;
                grpc.compression = compression;
                grpc.max_message = grpc.max_message.min(most);
                service.protocol(grpc).client_protocols(["grpc"])
            }
            Protocol::GrpcWeb => {
                let mut web = GrpcWeb::new();
                web.http = http;
                web.compress = compress;
                web.compression = compression;
                web.max_message = web.max_message.min(most);
                service.protocol(web).client_protocols(["grpc-web"])
            }
            Protocol::Connect => {
                let mut connect = Connect::new();
                connect.http = http;
                connect.get = self.get;
                // The suite's messages are small, and those of unary calls are to be compressed.
                connect.compress = compress.then_some(0);
                connect.compression = compression;
                connect.max_message = connect.max_message.min(most);
                service.protocol(connect).client_protocols(["connect"])
            }
            other => return Err(format!("no protocol {other:?}").into()),
        };
        if !self.server.is_empty() {
            let mut tls = ClientTls::new().ca(&self.server)?;
            if let Some((certificate, key)) = &self.identity {
                tls = tls.identity(Identity::from_pem(certificate, key)?);
            }
            service = service.client_tls(tls);
        }
        Ok(ConformanceServiceClient::new(
            "micro.conformance",
            service.client(),
        ))
    }
}
