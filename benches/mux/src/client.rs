//! Calls in flight in a slab, and the reader that completes them.

use std::future::Future;
use std::mem;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::net::TcpStream;

use crate::writer::{BUFFER, Writer, fill, take};

enum Slot {
    Free { next: usize },
    Waiting(Option<Waker>),
    Done(Bytes),
}

struct Slab {
    slots: Vec<Slot>,
    free: usize,
}

const NONE: usize = usize::MAX;

#[derive(Clone)]
pub(crate) struct Client {
    writer: Arc<Writer>,
    slab: Arc<Mutex<Slab>>,
}

impl Client {
    pub(crate) async fn connect(address: &str, inline: bool) -> Self {
        let socket = Arc::new(TcpStream::connect(address).await.expect("a server listens"));
        socket.set_nodelay(true).expect("nodelay");
        let writer = Arc::new(Writer::new(socket.clone(), inline));
        let client = Self {
            writer: writer.clone(),
            slab: Arc::new(Mutex::new(Slab {
                slots: Vec::new(),
                free: NONE,
            })),
        };
        tokio::spawn(writer.flush());
        tokio::spawn(client.clone().read(socket));
        client
    }

    pub(crate) fn call(&self, method: u16, body: &[u8]) -> Call {
        let id = {
            let mut slab = self.lock();
            let free = slab.free;
            match slab.slots.get(free) {
                Some(Slot::Free { next }) => {
                    slab.free = *next;
                    slab.slots[free] = Slot::Waiting(None);
                    free
                }
                _ => {
                    slab.slots.push(Slot::Waiting(None));
                    slab.slots.len() - 1
                }
            }
        };
        self.writer.push(id as u32, method, body);
        Call {
            client: self.clone(),
            id,
        }
    }

    async fn read(self, socket: Arc<TcpStream>) {
        let mut input = BytesMut::with_capacity(BUFFER);
        let mut woken = Vec::new();
        while fill(&socket, &mut input).await.is_ok_and(|read| read > 0) {
            {
                let mut slab = self.lock();
                while let Some(frame) = take(&mut input) {
                    if let Some(slot) = slab.slots.get_mut(frame.id as usize)
                        && let Slot::Waiting(Some(waker)) =
                            mem::replace(slot, Slot::Done(frame.body))
                    {
                        woken.push(waker);
                    }
                }
            }
            woken.drain(..).for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Slab> {
        self.slab.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(crate) struct Call {
    client: Client,
    id: usize,
}

impl Future for Call {
    type Output = Bytes;

    fn poll(self: Pin<&mut Self>, task: &mut Context<'_>) -> Poll<Bytes> {
        let mut slab = self.client.lock();
        let next = slab.free;
        let slot = &mut slab.slots[self.id];
        if let Slot::Waiting(waker) = slot {
            if !waker
                .as_ref()
                .is_some_and(|waker| waker.will_wake(task.waker()))
            {
                *waker = Some(task.waker().clone());
            }
            return Poll::Pending;
        }
        let Slot::Done(body) = mem::replace(slot, Slot::Free { next }) else {
            unreachable!("a call is polled once to its end")
        };
        slab.free = self.id;
        Poll::Ready(body)
    }
}
