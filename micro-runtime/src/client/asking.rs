//! Asks a node whether it answers at all.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::channels::Channels;
use crate::call::{Body, Request};
use crate::codec::Protobuf;
use crate::context::Context;
use crate::error::why::Cause;
use crate::metadata::{Metadata, Text};
use crate::method::{Kind, Method, MethodRef};
use crate::protocol::AttemptLimits;
use crate::registry::NodeEntry;
use crate::tasks::later;
use crate::transport::Transport;

/// Asks Debug.Health, which Go Micro's services have too. Any answer will do, also that there is none such.
/// Gives how it failed.
pub(super) async fn ask(entry: &NodeEntry, service: &str, within: Duration) -> Result<(), Cause> {
    let Some(channel) = Channels::kept(entry) else {
        return Err(Cause::Own);
    };
    let until = later(Instant::now(), within);
    let cx = Context::build(Metadata::new(), Some(until), None);
    let method = Method::new(
        "debug",
        "Debug.Health",
        "/debug.Debug/Health",
        Kind::Unary,
        crate::method::Idempotency::NoSideEffects,
        0,
    );
    let request = Request::new(
        cx,
        Text::from(service.to_owned()),
        MethodRef::from(method),
        Arc::new(Protobuf::new("application/protobuf")),
        Body::One(Bytes::new()),
    );
    let limits = AttemptLimits {
        deadline: Some(until),
        dial_timeout: within,
    };
    let answer = match timeout_at(until, channel.call(&request, limits)).await {
        Err(_) => Err(Cause::Silent),
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => match Cause::of(&error) {
            Cause::Answered | Cause::Refused => Ok(()),
            cause => Err(cause),
        },
    };
    tracing::debug!(node = entry.id(), ?answer, "asked whether it answers");
    answer
}

/// Whether a connection to the node can be made.
pub(super) async fn dials(entry: &NodeEntry, transport: &dyn Transport, within: Duration) -> bool {
    let until = later(Instant::now(), within);
    let dialled = timeout_at(until, transport.dial(entry.address())).await;
    let reached = matches!(dialled, Ok(Ok(_)));
    tracing::debug!(
        node = entry.id(),
        reached,
        "tried whether it can be reached"
    );
    reached
}
