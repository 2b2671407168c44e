//! A client's connection: calls go out through the outbox, answers come in through one reader.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context as Task, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::super::Braid as Settings;
use super::super::fault::Fault;
use super::super::fields::{Goaway, write_deadline, write_hello};
use super::super::flow::Flow;
use super::super::inbox::{Broken, Inbox};
use super::super::outbox::{Closed, Flush, Outbox, Refused, Room};
use super::super::packed::pack;
use super::super::wire::{CallId, Head, Hello, Kind, MAGIC, flag};
use super::calls::{Calls, Lost, NoPlace, Removed, State};
use super::names::{Waiting, check, names};
use super::reader::End;
use super::spread::Pressure;
use super::stream::{Held, Opened};
use crate::call::{Body, Reply, Request};
use crate::context::Peer;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
use crate::protocol::age::Age;
use crate::tasks::Tasks;
use crate::transport::Connection;

/// How long a peer may take nothing of what is written to it.
const STALL: Duration = Duration::from_secs(60);

/// How long the end of a connection waits for the peer to read our last words and close.
const LINGER: Duration = Duration::from_secs(1);

/// A connection to a node.
pub(super) struct Link {
    pub(super) out: Outbox<Waiting>,
    pub(super) calls: Calls,
    pub(super) peer: Arc<Peer>,
    /// What the peer takes.
    theirs: Hello,
    /// What we take.
    pub(super) ours: Hello,
    /// Whether requests are compressed.
    compress: bool,
    /// Whether it was used for as long as one is.
    pub(super) old: AtomicBool,
    pub(super) pressure: Pressure,
}

/// How a call ended that may be made on another connection.
pub(super) enum Failed {
    /// This connection took no more calls.
    Retired,
    Call(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

/// Why a call gave no reply.
enum Unsent {
    /// It is to be tried again after this.
    Wait(Wait),
    Failed(Failed),
}

impl From<Error> for Unsent {
    fn from(error: Error) -> Self {
        Self::Failed(Failed::Call(error))
    }
}

/// What a call that is not sent yet waits for.
enum Wait {
    /// In the queue, for a message as long as this.
    Room(usize),
    Place,
}

impl Link {
    /// Opens braid on `connection`, whose time the caller bounds.
    ///
    /// # Errors
    /// Where the peer does not speak it.
    pub(super) async fn open(
        connection: Connection,
        node: crate::metadata::Text,
        ours: Hello,
        settings: &Settings,
        age: Age,
        tasks: &Tasks,
    ) -> Result<Arc<Self>> {
        let mut peer = Peer::new(connection.peer, connection.local, "braid");
        peer.node = node;
        peer.secure = connection.secure;
        let (read, mut write) = connection.io.split();
        let mut opening = super::super::batch::Batch::default();
        opening.raw(&MAGIC);
        opening.frame(
            Head::new(Kind::Hello, 0, CallId::NONE),
            &Bytes::new(),
            |out| {
                write_hello(&ours, out);
            },
        );
        let sent = async {
            write.write_all(opening.chunk()).await?;
            write.flush().await
        };
        sent.await.map_err(Broken::Io)?;
        let mut inbox = Inbox::new(read, ours);
        let theirs = inbox.opening().await?;
        let link = Arc::new(Self {
            out: Outbox::new(write, settings.patience(STALL), Waiting::new(&theirs)),
            calls: Calls::new(theirs.calls),
            peer: Arc::new(peer),
            theirs,
            ours,
            compress: settings.compress,
            old: AtomicBool::new(false),
            pressure: Pressure::default(),
        });
        // A task apart from the reader's. With both in one, tokio's other threads were woken and put
        // to sleep several times for each batch of answers.
        let writes = link.clone();
        tasks.spawn(async move { writes.out.run().await });
        let reads = link.clone();
        tasks.spawn(async move { reads.live(inbox, age).await });
        Ok(link)
    }

    /// The reader's task; with it the connection ends.
    async fn live(&self, mut inbox: Inbox, age: Age) {
        // Also where the task is stopped from outside, no call may wait for ever.
        let _guard = FailOnDrop(self);
        let mut gone = pin!(self.out.gone());
        let end = {
            let mut read = pin!(self.read(&mut inbox));
            let mut old = pin!(age.over());
            loop {
                let is_old = self.old.load(Ordering::Relaxed);
                tokio::select! {
                    biased;
                    end = &mut read => break end,
                    () = &mut gone => return,
                    () = &mut old, if !is_old => self.old.store(true, Ordering::Release),
                }
            }
        };
        match end {
            End::Lost(error) => self.fail(error),
            End::Fault(fault) => {
                self.complain(fault);
                // Closing with bytes unread would reset the connection, and take our words with it.
                let last = async {
                    gone.await;
                    inbox.discard().await;
                };
                let _ = timeout(LINGER, last).await;
            }
        }
    }

    /// A unary call, at a time that may be known where it is awaited at once.
    // Not an `async fn`, which keeps its arguments twice.
    pub(super) fn unary<'a>(
        &'a self,
        request: &'a Request,
        deadline: Option<Instant>,
        now: Option<Instant>,
    ) -> impl Future<Output = Result<Reply, Failed>> + Send + 'a {
        let mut call = Unary {
            link: self,
            id: None,
            now,
        };
        async move {
            loop {
                match poll_fn(|task| call.poll(request, deadline, task)).await {
                    Err(Unsent::Wait(wait)) => Box::pin(self.wait(wait)).await,
                    Err(Unsent::Failed(failed)) => return Err(failed),
                    Ok(reply) => return Ok(reply),
                }
            }
        }
    }

    /// Opens a stream.
    pub(super) async fn stream(
        self: &Arc<Self>,
        request: &Request,
        deadline: Option<Instant>,
        sends: bool,
    ) -> Result<Reply, Failed> {
        let (window, mut credit) = (self.ours.window(), self.theirs.window());
        if let Body::One(first) = &request.body {
            let length = u32::try_from(first.len()).unwrap_or(u32::MAX);
            credit.messages -= 1;
            credit.bytes = credit.bytes.saturating_sub(length);
        }
        let held = loop {
            let mut made = None;
            let begun = self.begin(request, (deadline, None), true, |id| {
                let stream = Arc::new(Opened::new(Arc::new(Flow::new(id, window, credit))));
                made = Some(stream.clone());
                State::Stream(stream)
            });
            match (begun, made) {
                (Ok(id), Some(stream)) => {
                    let link = self.clone();
                    break Held { link, id, stream };
                }
                (Err(Unsent::Wait(wait)), _) => self.wait(wait).await,
                (Err(Unsent::Failed(failed)), _) => return Err(failed),
                (Ok(_), None) => return Err(Failed::Retired),
            }
        };
        let mut reply = poll_fn(|task| held.stream.poll_open(task)).await?;
        reply.message = Body::Stream(held.halves(sends));
        Ok(reply)
    }

    async fn wait(&self, wait: Wait) {
        match wait {
            Wait::Room(length) => {
                self.out.room_for(length).await;
            }
            Wait::Place => self.calls.place().await,
        }
    }

    /// Sends a CALL, if there is a place for the call and room for its frame; the time is read where it
    /// is not known.
    fn begin(
        &self,
        request: &Request,
        (deadline, now): (Option<Instant>, Option<Instant>),
        streams: bool,
        state: impl FnOnce(CallId) -> State,
    ) -> Result<CallId, Unsent> {
        let none = Bytes::new();
        let body = match &request.body {
            Body::One(body) => body,
            Body::Empty => &none,
            Body::Stream(_) => {
                let words = "a stream's messages are sent once it is open";
                return Err(Error::internal(id::CLIENT, words).into());
            }
        };
        let metadata = request.cx.metadata();
        check(request)?;
        self.check_size(body.len())?;
        self.check_metadata(metadata)?;
        let mut flags = flags(request, deadline.is_some(), streams);
        let packed = self.pack(body);
        if packed.is_some() {
            flags |= flag::PACKED;
        }
        let body = packed.as_ref().unwrap_or(body);
        let now = || now.unwrap_or_else(Instant::now);
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now()));
        let begun = self.out.append(Room::Needed, |queue, waiting, position| {
            if !waiting.parts.may_begin(body.len()) {
                return (Err(Wait::Room(body.len())), Flush::Held);
            }
            let (id, alone) = match self.calls.insert(position, state) {
                Ok(inserted) => inserted,
                Err(NoPlace::Full) => return (Err(Wait::Place), Flush::Held),
                Err(NoPlace::Retired) => return (Ok(None), Flush::Held),
            };
            let route = waiting.names.route(request);
            let mut head = Head::new(Kind::Call, flags, id);
            head.route = route.number();
            if route.is_named() {
                head.flags |= flag::NAMES;
            }
            let told = &mut waiting.told;
            waiting.parts.begin(queue, head, body, |out| {
                if route.is_named() {
                    for name in names(request) {
                        out.extend_from_slice(&(name.len() as u16).to_le_bytes());
                        out.extend_from_slice(name);
                    }
                }
                if let Some(left) = left {
                    write_deadline(left, out);
                }
                if !metadata.is_empty() {
                    told.write(metadata, out);
                }
            });
            (Ok(Some(id)), if alone { Flush::Now } else { Flush::Soon })
        });
        match begun {
            Ok(Ok(Some(id))) => Ok(id),
            Ok(Err(wait)) => Err(Unsent::Wait(wait)),
            Err(Refused::Full) => Err(Unsent::Wait(Wait::Room(body.len()))),
            Ok(Ok(None)) | Err(Refused::Closed) => Err(Unsent::Failed(Failed::Retired)),
        }
    }

    /// Refuses a message that the peer has said it does not take.
    pub(super) fn check_size(&self, length: usize) -> Result<()> {
        let most = self.theirs.message as usize;
        if length > most {
            let words = format!(
                "a message of {length} bytes, and {} takes {most}",
                self.peer.address
            );
            return Err(Error::new(id::CLIENT, words, 413));
        }
        Ok(())
    }

    /// A message as it is sent, where that is another.
    pub(super) fn pack(&self, message: &Bytes) -> Option<Bytes> {
        pack(message, self.compress, self.theirs.encodings)
    }

    fn check_metadata(&self, metadata: &Metadata) -> Result<()> {
        if !metadata.is_empty() && !self.theirs.takes(metadata) {
            let words = format!("more metadata than {} takes", self.peer.address);
            return Err(Error::new(id::CLIENT, words, 431));
        }
        Ok(())
    }

    /// Appends a small frame that waits for no room. Where the connection is over it says nothing.
    pub(super) fn control(&self, head: Head, flush: Flush, fields: impl FnOnce(&mut Vec<u8>)) {
        let _ = self.out.append(Room::Ignored, |queue, _, _| {
            queue.frame(head, &Bytes::new(), fields);
            ((), flush)
        });
    }

    /// Frees a call's place, and tells the peer where it was still in flight.
    pub(super) fn give_up(&self, id: CallId) {
        let told = self.out.append(Room::Ignored, |queue, waiting, _| {
            // Under the queue's lock: the next call in this place must come after the CANCEL.
            if self.calls.remove(id) == Removed::Over {
                return ((), Flush::Held);
            }
            waiting.ending.retain(|ending| *ending != id);
            waiting.parts.remove(id);
            queue.frame(Head::new(Kind::Cancel, 0, id), &Bytes::new(), |_| {});
            ((), Flush::Soon)
        });
        if told.is_err() {
            self.calls.remove(id);
        }
        self.finish_if_spent();
    }

    /// Ends a stream's input with the next write.
    pub(super) fn end_soon(&self, id: CallId) {
        let _ = self.out.append(Room::Ignored, |_, waiting, _| {
            waiting.ending.push(id);
            ((), Flush::Soon)
        });
    }

    pub(super) fn finish_if_spent(&self) {
        if self.calls.is_spent() {
            self.out.finish();
        }
    }

    /// Ends the connection, and with it every call.
    fn fail(&self, error: Error) {
        self.lose(self.out.close(error));
    }

    /// Fails all calls, and tells the peer what it did wrong.
    fn complain(&self, fault: Fault) {
        debug!(peer = %self.peer.address, %fault, "the peer broke the protocol");
        let goaway = Goaway {
            taken: 0,
            code: fault.code(),
            reason: fault.to_string().into(),
        };
        let closed = self.out.last_words(fault.to_error(), |queue| {
            let head = Head::new(Kind::Goaway, 0, CallId::NONE);
            queue.frame(head, &Bytes::new(), |out| goaway.write(out));
        });
        self.lose(closed);
    }

    /// Fails all calls.
    fn lose(&self, closed: Closed) {
        let lost = Lost {
            error: closed.error,
            reached: closed.reached,
            taken: u64::MAX,
        };
        self.calls.fail_all(&lost).tell();
    }
}

/// Fails what waits when the connection's task ends, however it does.
struct FailOnDrop<'a>(&'a Link);

impl Drop for FailOnDrop<'_> {
    fn drop(&mut self) {
        self.0.fail(self.0.out.failure());
    }
}

/// A unary call: given up where it is dropped before its answer.
struct Unary<'a> {
    link: &'a Link,
    id: Option<CallId>,
    /// What time it is, where nothing was waited for yet.
    now: Option<Instant>,
}

impl Unary<'_> {
    fn poll(
        &mut self,
        request: &Request,
        deadline: Option<Instant>,
        task: &mut Task<'_>,
    ) -> Poll<Result<Reply, Unsent>> {
        let Some(id) = self.id else {
            let waker = |_| State::Unary(task.waker().clone());
            let times = (deadline, self.now.take());
            return match self.link.begin(request, times, false, waker) {
                Ok(id) => {
                    self.id = Some(id);
                    Poll::Pending
                }
                Err(unsent) => Poll::Ready(Err(unsent)),
            };
        };
        let (answer, spent) = ready!(self.link.calls.poll_answer(id, task));
        self.id = None;
        if spent {
            self.link.out.finish();
        }
        Poll::Ready(answer.map_err(Unsent::from))
    }
}

impl Drop for Unary<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.link.give_up(id);
        }
    }
}

fn flags(request: &Request, deadline: bool, stream: bool) -> u8 {
    let set = |flag, there: bool| if there { flag } else { 0 };
    let body = matches!(request.body, Body::One(_));
    set(flag::DEADLINE, deadline)
        | set(flag::METADATA, !request.cx.metadata().is_empty())
        | set(flag::BODY, body)
        | set(flag::LAST, body || !stream)
        | set(flag::STREAM, stream)
}
