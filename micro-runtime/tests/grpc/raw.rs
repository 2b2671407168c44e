//! A client of HTTP/2 that sends what a test wants, as no client of ours would.

use std::future::poll_fn;

use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::codegen::prost::Message;
use micro_runtime::transport::Connection;

use crate::say::Word;

pub struct Raw {
    pub requests: SendRequest<Bytes>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: HeaderMap,
    pub messages: Vec<Word>,
    /// `None` where the head was all.
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn text(&self, name: &str) -> &str {
        let trailers = self.trailers.as_ref().unwrap_or(&self.head);
        trailers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

impl Raw {
    pub async fn new(connection: Connection) -> Self {
        let (requests, connection) = h2::client::handshake(connection.io).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Self { requests }
    }

    pub fn open(&mut self, request: Request<()>) -> (ResponseFuture, SendStream<Bytes>) {
        self.requests.send_request(request, false).unwrap()
    }

    /// Sends `body` as it is and reads the answer to its end.
    pub async fn ask(&mut self, request: Request<()>, body: impl Into<Bytes>) -> Answer {
        let (response, mut out) = self.open(request);
        out.send_data(body.into(), true).unwrap();
        read(response.await.unwrap()).await
    }
}

/// A request for `path` with `headers` beside what gRPC needs.
pub fn post(path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(format!("http://127.0.0.1:1{path}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        if *name == "content-type" {
            request.headers_mut().unwrap().remove("content-type");
        }
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

pub fn framed(word: &Word) -> Bytes {
    let body = word.encode_to_vec();
    let mut all = vec![0];
    all.extend_from_slice(&(body.len() as u32).to_be_bytes());
    all.extend_from_slice(&body);
    all.into()
}

pub async fn read(response: Response<RecvStream>) -> Answer {
    let (head, mut input) = response.into_parts();
    let mut bytes = Vec::new();
    while let Some(data) = poll_fn(|task| input.poll_data(task)).await {
        let data = data.unwrap();
        input.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
    }
    let trailers = poll_fn(|task| input.poll_trailers(task)).await.unwrap();
    Answer {
        status: head.status.as_u16(),
        head: head.headers,
        messages: words(&bytes),
        trailers,
    }
}

/// The first message of an answer that goes on.
pub async fn first(input: &mut RecvStream) -> Word {
    let mut bytes = Vec::new();
    loop {
        if let Some(word) = words(&bytes).into_iter().next() {
            return word;
        }
        let data = poll_fn(|task| input.poll_data(task)).await;
        bytes.extend_from_slice(&data.unwrap().unwrap());
    }
}

fn words(mut bytes: &[u8]) -> Vec<Word> {
    let mut words = Vec::new();
    while let [0, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let Some((message, rest)) = rest.split_at_checked(length) else {
            break;
        };
        words.push(Word::decode(message).unwrap());
        bytes = rest;
    }
    words
}
