//! A client of HTTP/2 that sends what a test wants.

use std::future::poll_fn;
use std::io::{Read, Write};

use h2::client::{ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, Response};
use micro_runtime::codegen::bytes::Bytes;
use micro_runtime::codegen::prost::Message;

use crate::teller::{Net, Words};

pub struct Raw {
    pub requests: SendRequest<Bytes>,
}

/// What a server answered.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: HeaderMap,
    pub body: Vec<u8>,
    pub trailers: Option<HeaderMap>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.head
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The frames of the body: flags and what they hold.
    pub fn frames(&self) -> Vec<(u8, Vec<u8>)> {
        frames(&self.body)
    }

    /// The messages of the body, and what its last frame says.
    pub fn messages(&self) -> (Vec<Words>, String) {
        let mut frames = self.frames();
        let (flag, end) = frames.pop().unwrap();
        assert!([0x80, 0x02].contains(&flag), "{flag:#x}: {self:?}");
        let messages = frames
            .iter()
            .map(|(flag, message)| {
                assert_eq!(*flag, 0);
                Words::decode(&**message).unwrap()
            })
            .collect();
        (messages, String::from_utf8(end).unwrap())
    }
}

pub fn frames(mut bytes: &[u8]) -> Vec<(u8, Vec<u8>)> {
    let mut frames = Vec::new();
    while let [flag, a, b, c, d, rest @ ..] = bytes {
        let length = u32::from_be_bytes([*a, *b, *c, *d]) as usize;
        let (message, rest) = rest.split_at(length);
        frames.push((*flag, message.to_vec()));
        bytes = rest;
    }
    assert!(bytes.is_empty(), "half a frame: {bytes:?}");
    frames
}

/// A message behind its flag and length.
pub fn frame(flag: u8, message: &[u8]) -> Vec<u8> {
    let mut all = vec![flag];
    all.extend_from_slice(&(message.len() as u32).to_be_bytes());
    all.extend_from_slice(message);
    all
}

pub fn framed(words: &Words) -> Vec<u8> {
    frame(0, &words.encode_to_vec())
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(bytes)
        .read_to_end(&mut plain)
        .unwrap();
    plain
}

/// A request with `headers`, of which the first that is named counts.
pub fn request(method: Method, path: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://127.0.0.1:1{path}"));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

pub fn post(method: &str, headers: &[(&str, &str)]) -> Request<()> {
    request(Method::POST, &format!("/test.Teller/{method}"), headers)
}

impl Raw {
    pub async fn new(net: &Net) -> Self {
        let (requests, connection) = h2::client::handshake(net.connect()).await.unwrap();
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

    /// Sends a request without a body.
    pub async fn get(&mut self, request: Request<()>) -> Answer {
        let (response, _) = self.requests.send_request(request, true).unwrap();
        read(response.await.unwrap()).await
    }
}

pub async fn read(response: Response<RecvStream>) -> Answer {
    let (head, mut input) = response.into_parts();
    let mut body = Vec::new();
    while let Some(data) = poll_fn(|task| input.poll_data(task)).await {
        let data = data.unwrap();
        input.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    let trailers = poll_fn(|task| input.poll_trailers(task)).await.unwrap();
    Answer {
        status: head.status.as_u16(),
        head: head.headers,
        body,
        trailers,
    }
}

/// The next bytes of an answer that goes on, as many as there are frames wanted.
pub async fn some(input: &mut RecvStream, wanted: usize) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    loop {
        let data = poll_fn(|task| input.poll_data(task))
            .await
            .unwrap()
            .unwrap();
        input.flow_control().release_capacity(data.len()).unwrap();
        bytes.extend_from_slice(&data);
        let frames = frames(&bytes);
        if frames.len() >= wanted {
            return frames;
        }
    }
}
