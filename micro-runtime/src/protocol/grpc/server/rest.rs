//! What a caller still sends of a request that is refused by its head.

use std::future::poll_fn;
use std::task::{Poll, ready};
use std::time::Duration;

use tokio::time::timeout;

use crate::protocol::exchange::Inbound;
use crate::protocol::http2::Fault;

/// How much of it is taken, and for how long.
const MOST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes the rest of a request that is refused, where it is not long. Callers that are cut off while
/// they send lose the answer: curl says that the stream failed.
///
/// # Errors
/// Where the request ends badly: nobody waits for an answer.
pub(super) async fn take(mut input: Inbound) -> Result<(), Fault> {
    let mut room = MOST;
    let all = poll_fn(|task| {
        while let Some(data) = ready!(input.poll_data(task)) {
            match room.checked_sub(data?.len()) {
                Some(left) => room = left,
                None => break,
            }
        }
        Poll::Ready(Ok(()))
    });
    timeout(PATIENCE, all).await.unwrap_or(Ok(()))
}
