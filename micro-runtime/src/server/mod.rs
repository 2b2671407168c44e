//! The server's call path: from a protocol to a handler and back.

use std::sync::Arc;

use crate::call::{BoxFuture, Dispatch, Reply, Request};
use crate::error::{Error, Result, id};

/// Calls a service in this process.
pub(crate) fn invoke_local(
    service: Arc<dyn Dispatch>,
    request: Request,
) -> BoxFuture<Result<Reply>> {
    let _ = (service, request);
    Box::pin(async { Err(Error::internal(id::CLIENT, "not built")) })
}
