//! Holds back what a connection writes until its task pauses, so that it leaves in few writes.
//!
//! The engine writes after every stream that it accepts and after every frame of some length. Here
//! that is gathered, and who runs the connection says when it goes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context as Task, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::transport::Io;

/// What would make the gathered bytes more than this is written with them, uncopied.
const MOST: usize = 16 * 1024;
/// How much room is made at first, and kept: enough for one short call. Connections are many, and
/// most of them idle.
const FIRST: usize = 256;
/// How many pieces are written at once.
const SLICES: usize = 8;

/// The bytes below the engine.
pub(super) struct Corked(Arc<Mutex<Held>>);

/// Lets go what was gathered.
pub(super) struct Cork(Arc<Mutex<Held>>);

struct Held {
    io: Box<dyn Io>,
    gathered: Vec<u8>,
    /// How many of these bytes are written.
    at: usize,
    /// Whether bytes may sit in a buffer of the connection's own, as with TLS.
    unflushed: bool,
    /// Why nothing can be written any more; the engine is told when it next reads or writes.
    failure: Option<io::ErrorKind>,
}

/// `io` for the engine, and the handle that lets go what the engine writes.
pub(super) fn cork(io: Box<dyn Io>) -> (Corked, Cork) {
    let held = Arc::new(Mutex::new(Held {
        io,
        gathered: Vec::new(),
        at: 0,
        unflushed: false,
        failure: None,
    }));
    (Corked(held.clone()), Cork(held))
}

impl Cork {
    /// Whether something waits to be written.
    pub(super) fn holds(&self) -> bool {
        let held = lock(&self.0);
        held.unflushed || !held.gathered.is_empty()
    }

    /// Writes what was gathered. Where the peer does not take it yet, `task` is woken once it does,
    /// and it is woken to let the engine see a failure.
    pub(super) fn flush(&self, task: &mut Task<'_>) {
        let mut held = lock(&self.0);
        if held.failure.is_none()
            && let Poll::Ready(Err(error)) = held.poll_flush(task)
        {
            held.failure = Some(error.kind());
            held.gathered = Vec::new();
            held.at = 0;
            held.unflushed = false;
            task.waker().wake_by_ref();
        }
    }
}

// The lock is the connection task's own: nobody ever waits for it.
fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Held {
    fn check(&self) -> io::Result<()> {
        self.failure.map_or(Ok(()), |kind| Err(kind.into()))
    }

    fn poll_flush(&mut self, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        while !self.gathered.is_empty() {
            let gathered = self.gathered.get(self.at..).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.io).poll_write(task, gathered))?;
            self.written(written)?;
        }
        if self.unflushed {
            ready!(Pin::new(&mut self.io).poll_flush(task))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    /// Takes `count` written bytes off what is gathered; says how many of them were none of these.
    fn written(&mut self, count: usize) -> io::Result<usize> {
        if count == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        self.unflushed = true;
        let gathered = count.min(self.gathered.len() - self.at);
        self.at += gathered;
        if self.at == self.gathered.len() {
            self.at = 0;
            match self.gathered.capacity() > FIRST {
                true => self.gathered = Vec::new(),
                false => self.gathered.clear(),
            }
        }
        Ok(count - gathered)
    }

    fn poll_write(
        &mut self,
        task: &mut Task<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if self.gathered.len() + length <= MOST {
            let needed = self.gathered.len() + length;
            if needed > self.gathered.capacity() {
                let room = if needed > FIRST { MOST } else { FIRST };
                self.gathered.reserve_exact(room - self.gathered.len());
            }
            for piece in pieces {
                self.gathered.extend_from_slice(piece);
            }
            return Poll::Ready(Ok(length));
        }
        loop {
            let gathered = self.gathered.get(self.at..).unwrap_or_default();
            let gathered = IoSlice::new(gathered);
            let all = std::iter::once(&gathered).chain(pieces);
            let mut slices = [IoSlice::new(&[]); SLICES];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(all.filter(|piece| !piece.is_empty())) {
                *slice = *piece;
                count += 1;
            }
            let slices = slices.get(..count).unwrap_or_default();
            let written = ready!(Pin::new(&mut self.io).poll_write_vectored(task, slices))?;
            match self.written(written)? {
                0 => {}
                theirs => return Poll::Ready(Ok(theirs)),
            }
        }
    }
}

impl AsyncRead for Corked {
    fn poll_read(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        held.check()?;
        Pin::new(&mut held.io).poll_read(task, buffer)
    }
}

impl AsyncWrite for Corked {
    fn poll_write(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(task, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        task: &mut Task<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        lock(&self.0).poll_write(task, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _task: &mut Task<'_>) -> Poll<io::Result<()>> {
        // Who runs the connection does it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<io::Result<()>> {
        let mut held = lock(&self.0);
        ready!(held.poll_flush(task))?;
        Pin::new(&mut held.io).poll_shutdown(task)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Waker;

    use tokio::io::AsyncWriteExt;

    use super::*;

    /// Takes `most` bytes at a time, and none where that is 0.
    struct Peer {
        most: Arc<AtomicUsize>,
        taken: Arc<Mutex<Vec<u8>>>,
        writes: Arc<AtomicUsize>,
    }

    impl AsyncRead for Peer {
        fn poll_read(
            self: Pin<&mut Self>,
            _task: &mut Task<'_>,
            _buffer: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            Poll::Pending
        }
    }

    impl AsyncWrite for Peer {
        fn poll_write(
            self: Pin<&mut Self>,
            task: &mut Task<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(task, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            _task: &mut Task<'_>,
            pieces: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let most = self.most.load(Ordering::SeqCst);
            if most == 0 {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            self.writes.fetch_add(1, Ordering::SeqCst);
            let mut taken = self.taken.lock().unwrap();
            let before = taken.len();
            taken.extend(pieces.iter().flat_map(|piece| piece.iter()).take(most));
            Poll::Ready(Ok(taken.len() - before))
        }

        fn poll_flush(self: Pin<&mut Self>, _task: &mut Task<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _task: &mut Task<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    struct Corks {
        engine: Corked,
        cork: Cork,
        most: Arc<AtomicUsize>,
        taken: Arc<Mutex<Vec<u8>>>,
        writes: Arc<AtomicUsize>,
    }

    fn corks(most: usize) -> Corks {
        let most = Arc::new(AtomicUsize::new(most));
        let taken = Arc::new(Mutex::new(Vec::new()));
        let writes = Arc::new(AtomicUsize::new(0));
        let (engine, cork) = cork(Box::new(Peer {
            most: most.clone(),
            taken: taken.clone(),
            writes: writes.clone(),
        }));
        Corks {
            engine,
            cork,
            most,
            taken,
            writes,
        }
    }

    #[tokio::test]
    async fn what_is_written_between_pauses_leaves_in_one_write() {
        let mut corks = corks(usize::MAX);
        for turn in 1..4 {
            for _ in 0..20 {
                corks.engine.write_all(&[7; 100]).await.unwrap();
                corks.engine.flush().await.unwrap();
            }
            assert!(corks.cork.holds());
            corks.cork.flush(&mut Task::from_waker(Waker::noop()));
            assert!(!corks.cork.holds());
            assert_eq!(corks.writes.load(Ordering::SeqCst), turn);
        }
        assert_eq!(corks.taken.lock().unwrap().len(), 3 * 20 * 100);
    }

    #[tokio::test]
    async fn bytes_keep_their_order_however_few_are_taken_at_once() {
        for most in [1, 7, 100, 255, 1000, 20_000, usize::MAX] {
            let mut corks = corks(most);
            let mut sent = Vec::new();
            for length in [10, 300, 0, 9_000, 40_000, 3, 17_000, 1] {
                let piece: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
                corks.engine.write_all(&piece).await.unwrap();
                sent.extend_from_slice(&piece);
            }
            corks.engine.shutdown().await.unwrap();
            assert!(*corks.taken.lock().unwrap() == sent, "{most}");
            assert!(!corks.cork.holds());
        }
    }

    #[tokio::test]
    async fn the_engine_is_told_what_failed_when_it_had_nothing_to_do() {
        let mut corks = corks(0);
        corks.engine.write_all(b"gathered").await.unwrap();
        corks.cork.flush(&mut Task::from_waker(Waker::noop()));
        assert!(!corks.cork.holds());
        let mut bytes = [0; 8];
        let mut buffer = ReadBuf::new(&mut bytes);
        let read = poll_fn(|task| Pin::new(&mut corks.engine).poll_read(task, &mut buffer)).await;
        assert_eq!(read.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        corks.most.store(1, Ordering::SeqCst);
        corks.engine.write_all(b"more").await.unwrap_err();
    }
}
