//! Asks a node something beside the calls: whether it answers at all, and whether it is well.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message;
use tokio::time::{Instant, timeout_at};

use crate::call::{Body, Request};
use crate::codec::Protobuf;
use crate::context::Context;
use crate::error::Error;
use crate::error::why::Cause;
use crate::metadata::{Metadata, Text};
use crate::method::{Idempotency, Kind, Method, MethodRef};
use crate::protocol::{AttemptLimits, Channel};
use crate::registry::NodeEntry;
use crate::tasks::later;
use crate::transport::Transport;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Debug.Health, which all services of Go Micro answer.
    Debug,
    /// `grpc.health.v1.Health/Check`, of the server as a whole.
    Grpc,
}

impl Question {
    fn method(self) -> Method {
        let (package, endpoint, path) = match self {
            Self::Debug => ("debug", "Debug.Health", "/debug.Debug/Health"),
            // Where package and service are not named in full a user's own Health may be meant.
            Self::Grpc => (
                "grpc.health.v1",
                "grpc.health.v1.Health.Check",
                "/grpc.health.v1.Health/Check",
            ),
        };
        let idempotency = Idempotency::NoSideEffects;
        Method::new(package, endpoint, path, Kind::Unary, idempotency, 0)
    }
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
struct Status {
    #[prost(int32, tag = "1")]
    status: i32,
}

/// The number of SERVING.
const SERVING: i32 = 1;

/// Whether the node answers at all: any answer will do, also that there is nothing like that. Gives how
/// it failed.
pub(super) async fn ask(
    entry: &NodeEntry,
    channel: &dyn Channel,
    service: &str,
    within: Duration,
) -> Result<(), Cause> {
    let question = Question::Debug.method().into();
    let answer = send(channel, question, Bytes::new(), service, within).await;
    let answer = match answer.map_err(|error| Cause::of(&error)) {
        Ok(_) | Err(Cause::Answered | Cause::Refused) => Ok(()),
        Err(cause) => Err(cause),
    };
    tracing::debug!(node = entry.id(), ?answer, "asked whether it answers");
    answer
}

/// Whether the node says that it is well. A node that does not know the question is, as gRPC has it. One
/// that refuses the question teaches nothing, as a failure of our own does.
pub(super) async fn check(
    channel: &dyn Channel,
    question: Question,
    service: &str,
    within: Duration,
) -> Result<(), Cause> {
    let method = question.method().into();
    match send(channel, method, Bytes::new(), service, within).await {
        Ok(answer) => match (question, Status::decode(answer)) {
            (Question::Debug, _) => Ok(()),
            (Question::Grpc, Ok(Status { status: SERVING })) => Ok(()),
            (Question::Grpc, Ok(_)) => Err(Cause::Refused),
            (Question::Grpc, Err(_)) => Err(Cause::Garbled),
        },
        Err(error) => match (Cause::of(&error), error.code()) {
            // Go Micro's have no code for that, and gRPC's say 501.
            (Cause::Answered, 0..408 | 501) => Ok(()),
            // It has no room for the question, and busy is not ill.
            (Cause::Refused, _) | (Cause::Answered, 429) => Err(Cause::Own),
            // Debug.Health has no other word for a node that is not well.
            (Cause::Answered, 503) if question == Question::Grpc => Err(Cause::Own),
            (cause, _) => Err(cause),
        },
    }
}

/// One message in protobuf's encoding to a method of the service with this name, and what is answered.
pub(super) async fn send(
    channel: &dyn Channel,
    method: MethodRef,
    message: Bytes,
    service: &str,
    within: Duration,
) -> Result<Bytes, Error> {
    let until = later(Instant::now(), within);
    let request = Request::new(
        Context::build(Metadata::new(), Some(until), None),
        Text::from(service.to_owned()),
        method,
        Arc::new(Protobuf::new("application/protobuf")),
        Body::One(message),
    );
    let limits = AttemptLimits {
        deadline: Some(until),
        dial_timeout: within,
    };
    match timeout_at(until, channel.call(&request, limits)).await {
        Ok(answer) => Ok(answer?.message.into_bytes()),
        Err(_) => Err(super::call_timeout(None)),
    }
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
