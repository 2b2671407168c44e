//! Asks nodes for their descriptors.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;

use super::Check;
use super::judge::Judgement;
use crate::client::asking::send;
use crate::error::{Error, Result, id};
use crate::method::{Idempotency, Kind, Method};
use crate::protocol::Channel;
use crate::schema::Hash;

/// How long one node may take.
const LIMIT: Duration = Duration::from_secs(1);

static SCHEMA: Method = Method::new(
    "debug",
    "Debug.Schema",
    "/debug.Debug/Schema",
    Kind::Unary,
    Idempotency::NoSideEffects,
    2,
);

#[derive(Clone, PartialEq, Message)]
struct SchemaRequest {
    #[prost(string, repeated, tag = "1")]
    services: Vec<String>,
}

#[derive(Clone, PartialEq, Message)]
struct SchemaResponse {
    #[prost(bytes = "bytes", tag = "1")]
    file_descriptor_set: Bytes,
}

/// Finds out what is behind one hash, and tells its check in any case.
pub(super) struct Fetch {
    check: Arc<Check>,
    hash: Hash,
    channels: Vec<Arc<dyn Channel>>,
    judgement: Option<Judgement>,
}

impl Fetch {
    /// From the first of some nodes that answers.
    pub(super) fn new(check: &Arc<Check>, hash: Hash, channels: Vec<Arc<dyn Channel>>) -> Self {
        Self {
            check: check.clone(),
            hash,
            channels,
            judgement: None,
        }
    }

    /// `name` is the service's in the registry.
    pub(super) async fn run(mut self, name: String) {
        for channel in std::mem::take(&mut self.channels) {
            let service = self.check.descriptor;
            match ask(&*channel, &name, service.full_name).await {
                Ok(set) => self.judgement = Judgement::of(service, &set, self.hash),
                Err(error) => {
                    tracing::debug!(service = %name, hash = %self.hash, %error, "no schema");
                }
            }
            if self.judgement.is_some() {
                return;
            }
        }
        tracing::warn!(
            service = %name,
            hash = %self.hash,
            "no node tells the schema behind its hash, so that nothing is held against them"
        );
    }
}

impl Drop for Fetch {
    /// Also where its task was ended: calls may wait for it.
    fn drop(&mut self) {
        self.check.tell(self.hash, self.judgement.take());
    }
}

async fn ask(channel: &dyn Channel, name: &str, service: &str) -> Result<Bytes> {
    let wanted = SchemaRequest {
        services: vec![service.to_owned()],
    };
    let wanted = wanted.encode_to_vec().into();
    let reply = send(channel, (&SCHEMA).into(), wanted, name, LIMIT).await?;
    let reply = SchemaResponse::decode(reply)
        .map_err(|error| Error::internal(id::CLIENT_CODEC, error.to_string()))?;
    Ok(reply.file_descriptor_set)
}
