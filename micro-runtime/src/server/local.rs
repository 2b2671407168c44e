//! A service called in its own process, without a connection.

use std::sync::Arc;

use crate::call::{Body, BoxFuture, Dispatch, Reply, Request};
use crate::error::{Error, Result, id};
use crate::method::Kind;

/// Calls a service in this process.
pub(crate) fn invoke_local(
    service: Arc<dyn Dispatch>,
    request: Request,
) -> BoxFuture<Result<Reply>> {
    let _ = (service, request, Kind::Unary, Body::Empty);
    Box::pin(async { Err(Error::internal(id::CLIENT, "not built")) })
}
