//! Messages to bytes and back, by content type.
//!
//! A codec is chosen by the exact content type, as in Go Micro. The body is encoded once, in the
//! content type of the call, before a node is chosen.

mod bytes_codec;
pub mod form;
#[cfg(feature = "json")]
pub mod json;
mod payload;
mod protobuf;
mod well_known;

pub use bytes_codec::BytesCodec;
#[cfg(feature = "json")]
pub use json::{Fill, JsonCodec, Tree, Types};
pub use payload::{Frame, Payload};
pub use protobuf::Protobuf;
#[doc(hidden)]
pub use protobuf::merge as merge_proto;

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use crate::error::{Error, Result, id};

/// Writes and reads messages of one content type.
pub trait Codec: fmt::Debug + Send + Sync + 'static {
    /// The exact content type: `application/protobuf`.
    fn content_type(&self) -> &str;

    /// Appends `message` to `out`.
    ///
    /// # Errors
    /// Where this format cannot say it (raw bytes in a text format, a oneof in json-rpc on a client).
    fn encode(&self, message: &dyn Payload, out: &mut BytesMut) -> Result<()>;

    /// Fills `message`, which is empty, from `body`.
    ///
    /// # Errors
    /// Where the bytes are not such a message.
    fn decode(&self, body: Bytes, message: &mut dyn Payload) -> Result<()>;

    /// How many bytes [`encode`](Codec::encode) will about write: room to reserve.
    fn size_hint(&self, message: &dyn Payload) -> usize {
        message.proto_len()
    }
}

/// Encodes `message`; a [`Frame`] passes as it is.
///
/// # Errors
/// Those of the codec, as code 500 with the id `go.micro.client.codec` where it gives none.
pub fn encode(codec: &dyn Codec, message: &dyn Payload) -> Result<Bytes> {
    if let Some(frame) = message.frame() {
        return Ok(frame.clone());
    }
    let mut out = BytesMut::with_capacity(codec.size_hint(message));
    codec.encode(message, &mut out)?;
    Ok(out.freeze())
}

/// Encodes a small message into `small`, in place of what is there, and any other as [`encode`] does.
pub(crate) fn encode_small(
    small: &mut BytesMut,
    codec: &dyn Codec,
    message: &dyn Payload,
) -> Result<Option<Bytes>> {
    small.clear();
    let size = codec.size_hint(message);
    if size > SMALL || message.frame().is_some() {
        return encode(codec, message).map(Some);
    }
    small.reserve(size);
    codec.encode(message, small).map(|()| None)
}

/// Up to this size a message is small: copying it costs less than a buffer of its own.
const SMALL: usize = 1024;

/// Decodes a message; a [`Frame`] takes the bytes as they are.
///
/// # Errors
/// Those of the codec.
pub fn decode<M: Payload + Default>(codec: &dyn Codec, body: Bytes) -> Result<M> {
    let mut message = M::default();
    if !message.set_frame(&body) {
        codec.decode(body, &mut message)?;
    }
    Ok(message)
}

/// The codecs that a client or a server knows, by exact content type.
///
/// Built in: `application/protobuf`, `application/proto-rpc`, `application/json`,
/// `application/json-rpc`, `application/octet-stream`, `application/grpc`, `application/grpc+proto`,
/// `application/grpc+json`.
#[derive(Clone, Debug)]
pub struct Codecs {
    known: Vec<Arc<dyn Codec>>,
}

impl Default for Codecs {
    /// A [server](Codecs::server)'s.
    fn default() -> Self {
        Self::server()
    }
}

impl Codecs {
    /// Those that a client writes with: JSON refuses what Go could not read.
    pub fn client() -> Self {
        #[cfg(feature = "json")]
        let known = Self::json().map(|codec| Arc::new(codec.for_client()) as Arc<dyn Codec>);
        #[cfg(not(feature = "json"))]
        let known = [];
        Self::binary(known)
    }

    /// Those that a server answers with: JSON is what a Go server would write.
    pub fn server() -> Self {
        #[cfg(feature = "json")]
        let known = Self::json().map(|codec| Arc::new(codec) as Arc<dyn Codec>);
        #[cfg(not(feature = "json"))]
        let known = [];
        Self::binary(known)
    }

    fn binary(text: impl IntoIterator<Item = Arc<dyn Codec>>) -> Self {
        let mut known: Vec<Arc<dyn Codec>> = vec![
            Arc::new(Protobuf::new("application/protobuf")),
            Arc::new(Protobuf::new("application/proto-rpc")),
            Arc::new(Protobuf::new("application/grpc")),
            Arc::new(Protobuf::new("application/grpc+proto")),
            Arc::new(BytesCodec),
        ];
        known.extend(text);
        Self { known }
    }

    #[cfg(feature = "json")]
    fn json() -> [JsonCodec; 3] {
        [
            JsonCodec::original_names("application/json"),
            JsonCodec::go("application/json-rpc"),
            JsonCodec::canonical("application/grpc+json"),
        ]
    }

    /// Adds a codec; one of the same content type gives way.
    #[must_use]
    pub fn with(self, codec: impl Codec) -> Self {
        self.with_shared(Arc::new(codec))
    }

    /// As [`with`](Codecs::with), with a codec that is shared.
    #[must_use]
    pub fn with_shared(mut self, codec: Arc<dyn Codec>) -> Self {
        self.known
            .retain(|known| known.content_type() != codec.content_type());
        self.known.push(codec);
        self
    }

    /// The codec of exactly this content type.
    pub fn get(&self, content_type: &str) -> Option<&Arc<dyn Codec>> {
        self.known
            .iter()
            .find(|codec| codec.content_type() == content_type)
    }

    /// The codec of this content type.
    ///
    /// # Errors
    /// 500 `unsupported Content-Type: …` as Go Micro's client says it, with the known ones.
    pub fn require(&self, content_type: &str) -> Result<&Arc<dyn Codec>> {
        self.get(content_type).ok_or_else(|| {
            Error::internal(
                id::CLIENT,
                format!("unsupported Content-Type: {content_type}"),
            )
        })
    }
}
