//! Handlers polled in place, and their replies written a batch at a time.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use tokio::net::{TcpListener, TcpStream};

use crate::writer::{BUFFER, Writer, append, fill, take};

pub(crate) async fn run(address: &str, spawn: bool) {
    let listener = TcpListener::bind(address)
        .await
        .expect("the address is free");
    loop {
        let (socket, _) = listener.accept().await.expect("accept");
        tokio::spawn(serve(socket, spawn));
    }
}

/// Boxed, as a framework would have it.
fn handle(body: Bytes) -> Pin<Box<dyn Future<Output = Bytes> + Send>> {
    Box::pin(async move { body })
}

async fn serve(socket: TcpStream, spawn: bool) {
    socket.set_nodelay(true).expect("nodelay");
    let socket = Arc::new(socket);
    let writer = Arc::new(Writer::new(socket.clone(), false));
    let flusher = tokio::spawn(writer.clone().flush());
    let (mut input, mut batch) = (
        BytesMut::with_capacity(BUFFER),
        BytesMut::with_capacity(BUFFER),
    );
    while fill(&socket, &mut input).await.is_ok_and(|read| read > 0) {
        let mut task = Context::from_waker(Waker::noop());
        while let Some(frame) = take(&mut input) {
            let mut handler = handle(frame.body);
            if !spawn && let Poll::Ready(reply) = handler.as_mut().poll(&mut task) {
                append(&mut batch, frame.id, frame.method, &reply);
                continue;
            }
            let writer = writer.clone();
            tokio::spawn(async move { writer.push(frame.id, frame.method, &handler.await) });
        }
        writer.write_batch(&mut batch);
    }
    flusher.abort();
}
