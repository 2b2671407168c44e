//! What a caller still sends after it was answered.

use std::future::poll_fn;
use std::time::Duration;

use tokio::time::timeout;

use crate::protocol::exchange::Inbound;

/// How much of it is taken, and for how long.
const MOST: usize = 64 * 1024;
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes the rest of a request that was refused by its head. Callers that are cut off while they send
/// lose the answer: curl says that the stream failed.
pub(super) async fn take(mut input: Inbound) {
    let mut left = MOST;
    let taken = async {
        while let Some(Ok(bytes)) = poll_fn(|task| input.poll_data(task)).await {
            let Some(less) = left.checked_sub(bytes.len()) else {
                return;
            };
            left = less;
        }
    };
    // What comes later than that is not waited for.
    let _ = timeout(PATIENCE, taken).await;
}
