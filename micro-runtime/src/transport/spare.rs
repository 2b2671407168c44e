//! A file descriptor for the case that there is none left: whoever connects then is turned away at
//! once, and goes elsewhere, in place of waiting for an answer that does not come.

use std::fs::File;
use std::future::poll_fn;
use std::io;
use std::task::{Context, Poll};

/// One file descriptor, kept.
#[derive(Debug)]
pub(super) struct Spare(Option<File>);

/// `ENFILE` and `EMFILE`: the system, or the process, has no descriptor left. The numbers are those of
/// Linux, macOS and the BSDs (errno(3)).
const NONE_LEFT: [i32; 2] = [23, 24];
/// How many are turned away at a time: the longest queue that listeners of the standard library have.
const AT_ONCE: usize = 128;

impl Spare {
    pub(super) fn new() -> Self {
        let mut spare = Self(None);
        spare.keep();
        spare
    }

    /// Takes a descriptor where there is one again.
    pub(super) fn keep(&mut self) {
        if self.0.is_none() {
            self.0 = File::open("/dev/null").ok();
        }
    }

    /// Where `error` says that no descriptor is left, turns away those who wait to be accepted: `accept`
    /// gives their connections, which are closed. Gives how many these were.
    pub(super) async fn turn_away<T>(
        &mut self,
        error: &io::Error,
        mut accept: impl FnMut(&mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> usize {
        let none_left = error
            .raw_os_error()
            .is_some_and(|code| NONE_LEFT.contains(&code));
        if !none_left || self.0.take().is_none() {
            return 0;
        }
        let mut count = 0;
        poll_fn(|task| {
            while count < AT_ONCE && matches!(accept(task), Poll::Ready(Ok(_))) {
                count += 1;
            }
            Poll::Ready(())
        })
        .await;
        self.keep();
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn those_who_wait_are_turned_away_where_no_descriptor_is_left() {
        let mut spare = Spare::new();
        let mut waiting = 3;
        let mut accept = |_: &mut Context<'_>| match waiting {
            0 => Poll::Pending,
            _ => {
                waiting -= 1;
                Poll::Ready(Ok(()))
            }
        };
        let other = io::Error::from_raw_os_error(5);
        assert_eq!(spare.turn_away(&other, &mut accept).await, 0);
        for code in NONE_LEFT {
            let error = io::Error::from_raw_os_error(code);
            let expected = if code == NONE_LEFT[0] { 3 } else { 0 };
            assert_eq!(spare.turn_away(&error, &mut accept).await, expected);
            assert!(spare.0.is_some(), "one is kept for the next time");
        }
    }

    #[tokio::test]
    async fn nobody_is_turned_away_without_end() {
        let error = io::Error::from_raw_os_error(NONE_LEFT[1]);
        let accept = |_: &mut Context<'_>| Poll::Ready(Ok(()));
        assert_eq!(Spare::new().turn_away(&error, accept).await, AT_ONCE);
    }
}
