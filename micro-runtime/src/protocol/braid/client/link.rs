//! A client's connection: calls go out through the outbox, answers come in through one reader.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::io::AsyncWriteExt;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::super::error::read_error;
use super::super::fault::Fault;
use super::super::fields::{Fields, Goaway, message, write_hello, write_metadata};
use super::super::flow::Flow;
use super::super::inbox::Inbox;
use super::super::outbox::{Closed, Flush, Outbox, Refused, Room};
use super::super::wire::{CallId, Frame, Head, Hello, Kind, MAGIC, flag};
use super::calls::{Answers, Calls, Found, Lost, Removed};
use super::names::{Waiting, check, names};
use super::stream::{Held, Opened};
use crate::call::{Body, Reply, Request, StreamEnd};
use crate::context::Peer;
use crate::error::{Error, Result, id};
use crate::metadata::Metadata;
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
    peer: Arc<Peer>,
    /// What the peer takes.
    theirs: Hello,
    /// What we take.
    ours: Hello,
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

impl Link {
    /// Opens braid on `connection`, whose time the caller bounds.
    ///
    /// # Errors
    /// Where the peer does not speak it.
    pub(super) async fn open(
        connection: Connection,
        node: crate::metadata::Text,
        ours: Hello,
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
        write.write_all(opening.chunk()).await?;
        write.flush().await?;
        let mut inbox = Inbox::new(read, ours);
        let theirs = inbox.opening().await?;
        let link = Arc::new(Self {
            out: Outbox::new(write, STALL, Waiting::default()),
            calls: Calls::new(theirs.calls),
            peer: Arc::new(peer),
            theirs,
            ours,
        });
        let flusher = link.clone();
        tasks.spawn(async move {
            if let Err(error) = flusher.out.run().await {
                flusher.fail(error);
            }
        });
        let reader = link.clone();
        tasks.spawn(async move {
            // Also where the task is stopped from outside, no call may wait for ever.
            let reader = FailOnDrop(reader);
            let error = reader.0.read(inbox).await;
            reader.0.fail(error);
        });
        Ok(link)
    }

    /// Whether it takes calls.
    pub(super) fn is_open(&self) -> bool {
        !self.calls.is_retired()
    }

    /// Takes no more calls, and ends when none is in flight.
    pub(super) fn retire(&self) {
        if self.calls.retire() {
            self.out.finish();
        }
        self.calls.vacancies.close();
    }

    /// A unary call.
    pub(super) async fn unary(
        self: &Arc<Self>,
        request: &Request,
        deadline: Option<Instant>,
    ) -> Result<Reply, Failed> {
        let (id, _) = self.start(request, deadline, None).await?;
        let mut live = GiveUpOnDrop {
            link: self,
            id,
            live: true,
        };
        let (answer, spent) = poll_fn(|task| self.calls.poll_answer(id, task)).await;
        live.live = false;
        if spent {
            self.out.finish();
        }
        Ok(answer?)
    }

    /// Opens a stream.
    pub(super) async fn stream(
        self: &Arc<Self>,
        request: &Request,
        deadline: Option<Instant>,
        sends: bool,
    ) -> Result<Reply, Failed> {
        let credit = self.theirs.window - u32::from(matches!(request.body, Body::One(_)));
        let window = self.ours.window;
        let made = |id| Arc::new(Opened::new(Flow::new(id, window, credit)));
        let (id, stream) = self.start(request, deadline, Some(&made)).await?;
        let Some(stream) = stream else {
            return Err(Failed::Retired);
        };
        let held = Held {
            link: self.clone(),
            id,
            stream: stream.clone(),
        };
        let mut reply = poll_fn(|task| stream.poll_open(task)).await?;
        reply.message = Body::Stream(held.halves(sends));
        Ok(reply)
    }

    /// Sends the CALL, when there is a place for the call and room for its frame.
    async fn start(
        &self,
        request: &Request,
        deadline: Option<Instant>,
        stream: Option<&(dyn Fn(CallId) -> Arc<Opened> + Sync)>,
    ) -> Result<(CallId, Option<Arc<Opened>>), Failed> {
        let body = match &request.body {
            Body::One(body) => Some(body),
            Body::Empty => None,
            Body::Stream(_) => {
                return Err(Error::internal(
                    id::CLIENT,
                    "a stream's messages are sent once it is open",
                )
                .into());
            }
        };
        check(request)?;
        self.check_size(body.map_or(0, Bytes::len))?;
        self.check_metadata(request.cx.metadata())?;
        let place = match self.calls.vacancies.try_acquire() {
            Ok(place) => place,
            // As many are in flight as the peer takes, or it takes no more.
            Err(_) => Box::pin(self.calls.vacancies.acquire())
                .await
                .map_err(|_| Failed::Retired)?,
        };
        let started = self
            .out
            .append_in_turn(|queue, waiting, position| {
                let mut made = None;
                let inserted = self.calls.insert(position, |id| {
                    made = stream.map(|stream| stream(id));
                    made.clone()
                });
                let Some((id, alone)) = inserted else {
                    return (None, Flush::Held);
                };
                let route = waiting.names.route(request);
                let mut head = Head::new(Kind::Call, 0, id);
                head.route = route.number();
                head.flags = flags(
                    request,
                    route.is_named(),
                    deadline.is_some(),
                    stream.is_some(),
                );
                queue.frame(head, body.unwrap_or(&Bytes::new()), |out| {
                    if route.is_named() {
                        for name in names(request) {
                            out.extend_from_slice(&(name.len() as u16).to_le_bytes());
                            out.extend_from_slice(name);
                        }
                    }
                    if let Some(deadline) = deadline {
                        let left = deadline
                            .saturating_duration_since(Instant::now())
                            .as_micros();
                        out.extend_from_slice(
                            &u64::try_from(left).unwrap_or(u64::MAX).to_le_bytes(),
                        );
                    }
                    if !request.cx.metadata().is_empty() {
                        write_metadata(request.cx.metadata(), out);
                    }
                });
                (
                    Some((id, made)),
                    if alone { Flush::Now } else { Flush::Soon },
                )
            })
            .await;
        match started {
            Ok(Some(started)) => {
                place.forget();
                Ok(started)
            }
            Ok(None) | Err(Refused::Closed | Refused::Full) => Err(Failed::Retired),
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

    fn finish_if_spent(&self) {
        if self.calls.is_spent() {
            self.out.finish();
        }
    }

    /// Ends the connection, and with it every call.
    fn fail(&self, error: Error) {
        self.lose(self.out.close(error));
    }

    /// The reader. It awaits nothing but bytes: answers land in slots, messages in queues that credit
    /// bounds. That is what the server's reader may rely on when it waits for us.
    async fn read(&self, mut inbox: Inbox) -> Error {
        let mut answers = Answers::default();
        loop {
            // First those that came with the HELLO.
            let taken = self.take_frames(&mut inbox, &mut answers);
            answers.wakers.drain(..).for_each(Waker::wake);
            if let Err(fault) = taken {
                self.complain(fault);
                // Closing with bytes unread would reset the connection, and take our words with it.
                let read = async {
                    self.out.gone().await;
                    inbox.discard().await;
                };
                let _ = timeout(LINGER, read).await;
                return fault.to_error();
            }
            let read = tokio::select! {
                biased;
                read = inbox.fill() => read,
                () = self.out.gone() => return self.out.failure(),
            };
            match read {
                Ok(0) => return Error::internal(id::CLIENT_TRANSPORT, "unexpected EOF"),
                Ok(_) => {}
                Err(error) => {
                    return Error::internal(id::CLIENT_TRANSPORT, error.to_string())
                        .with_source(error);
                }
            }
        }
    }

    fn take_frames(&self, inbox: &mut Inbox, answers: &mut Answers) -> Result<(), Fault> {
        let taken = self.take_each(inbox, answers);
        // Also where one frame is wrong, the answers before it count.
        self.settle(answers).and(taken)
    }

    fn take_each(&self, inbox: &mut Inbox, answers: &mut Answers) -> Result<(), Fault> {
        while let Some(frame) = inbox.next()? {
            let id = frame.head.id;
            match frame.head.kind {
                Kind::Reply => answers.given.push((id, Ok(self.read_reply(frame)?))),
                Kind::Error => answers
                    .given
                    .push((id, Err(read_error(frame, &self.ours)?))),
                _ => {
                    // What follows an answer may build on it.
                    self.settle(answers)?;
                    self.take_frame(frame)?;
                }
            }
        }
        Ok(())
    }

    fn settle(&self, answers: &mut Answers) -> Result<(), Fault> {
        if answers.given.is_empty() {
            return Ok(());
        }
        self.calls.answer(answers)?;
        for (stream, id, answer) in answers.opened.drain(..) {
            match answer {
                Ok(mut reply) => {
                    reply.message = Body::Empty;
                    answers.wakers.extend(stream.open(id, reply)?);
                }
                Err(error) => {
                    self.calls.remove(id);
                    stream.fail(error);
                    self.finish_if_spent();
                }
            }
        }
        Ok(())
    }

    fn take_frame(&self, frame: Frame) -> Result<(), Fault> {
        let id = frame.head.id;
        match frame.head.kind {
            Kind::Message => {
                if let Some(stream) = self.open_stream(id)? {
                    let (owed, wake) = stream.flow.push(frame.payload)?;
                    if owed > 0 {
                        self.control(Head::new(Kind::Credit, 0, id), Flush::Soon, |out| {
                            out.extend_from_slice(&owed.to_le_bytes());
                        });
                    }
                    wake.wake();
                }
            }
            Kind::End => {
                let (head, mut fields) = Fields::of(frame);
                let trailers = match head.has(flag::TRAILERS) {
                    true => fields.metadata(&self.ours)?,
                    false => Metadata::new(),
                };
                fields.end()?;
                if let Some(stream) = self.open_stream(id)? {
                    self.calls.remove(id);
                    stream.flow.end(StreamEnd::Done(trailers)).wake();
                    self.finish_if_spent();
                }
            }
            Kind::Credit => {
                let (_, mut fields) = Fields::of(frame);
                let messages = fields.u32()?;
                fields.end()?;
                match self.calls.find(id)? {
                    Found::Stream(stream) => stream.flow.grant(messages)?.wake(),
                    Found::Unary => return Err(Fault::Order(id)),
                    Found::Late => {}
                }
            }
            Kind::Ping => self.take_ping(frame)?,
            Kind::Goaway => self.take_goaway(Goaway::read(frame)?),
            Kind::Hello => return Err(Fault::Hello),
            kind @ (Kind::Call | Kind::Cancel | Kind::Reply | Kind::Error) => {
                return Err(Fault::Direction(kind));
            }
        }
        Ok(())
    }

    fn read_reply(&self, frame: Frame) -> Result<Reply, Fault> {
        let (head, mut fields) = Fields::of(frame);
        let mut reply = Reply::new(Body::Empty);
        if head.has(flag::METADATA) {
            reply.metadata = fields.metadata(&self.ours)?;
        }
        if head.has(flag::TRAILERS) {
            reply.trailers = fields.metadata(&self.ours)?;
        }
        let message = message(fields, head.has(flag::BODY), &self.ours)?;
        reply.message = Body::One(message.unwrap_or_default());
        reply.peer = Some(self.peer.clone());
        Ok(reply)
    }

    /// The stream with this id, which must be open; `None` where it is over.
    fn open_stream(&self, id: CallId) -> Result<Option<Arc<Opened>>, Fault> {
        match self.calls.find(id)? {
            Found::Stream(stream) if stream.is_open() => Ok(Some(stream)),
            Found::Stream(_) | Found::Unary => Err(Fault::Order(id)),
            Found::Late => Ok(None),
        }
    }

    fn take_ping(&self, frame: Frame) -> Result<(), Fault> {
        let (head, mut fields) = Fields::of(frame);
        let number = fields.u64()?;
        fields.end()?;
        if !head.has(flag::ANSWER) {
            let _ = self.out.append(Room::Ignored, |_, waiting, _| {
                waiting.ping = Some(number);
                ((), Flush::Soon)
            });
        }
        Ok(())
    }

    /// The peer takes no more calls. Those it did not take are free to go elsewhere.
    fn take_goaway(&self, goaway: Goaway) {
        debug!(peer = %self.peer.address, code = goaway.code, reason = %goaway.reason, "the peer takes no more calls");
        let words = format!(
            "{} takes no more calls: {}",
            self.peer.address, goaway.reason
        );
        let lost = Lost {
            error: Error::unavailable(id::CLIENT, words),
            reached: u64::MAX,
            taken: goaway.taken,
        };
        self.calls.fail_untaken(&lost).tell();
        self.calls.vacancies.close();
        self.finish_if_spent();
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
        self.calls.vacancies.close();
    }
}

/// Fails what waits when the reader ends, however it does.
struct FailOnDrop(Arc<Link>);

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        self.0.fail(self.0.out.failure());
    }
}

/// Gives a unary call up where its future is dropped before the answer.
struct GiveUpOnDrop<'a> {
    link: &'a Link,
    id: CallId,
    live: bool,
}

impl Drop for GiveUpOnDrop<'_> {
    fn drop(&mut self) {
        if self.live {
            self.link.give_up(self.id);
        }
    }
}

fn flags(request: &Request, named: bool, deadline: bool, stream: bool) -> u8 {
    let set = |flag, there: bool| if there { flag } else { 0 };
    let body = matches!(request.body, Body::One(_));
    set(flag::NAMES, named)
        | set(flag::DEADLINE, deadline)
        | set(flag::METADATA, !request.cx.metadata().is_empty())
        | set(flag::BODY, body)
        | set(flag::LAST, body || !stream)
        | set(flag::STREAM, stream)
}
