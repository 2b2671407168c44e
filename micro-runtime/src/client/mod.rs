//! The client's call path: from a stub to a node and back.

mod call;

pub use call::{
    Bidi, Call, ClientStream, Full, Pending, PendingMessage, ServerStream, Target, Unary, Upload,
};

use std::sync::Arc;

use crate::codec::{Codec, Codecs};
use crate::error::Result;

/// What a call takes from its client where it says nothing itself.
#[derive(Debug)]
pub(crate) struct Defaults {
    pub(crate) codecs: Codecs,
    /// The codec of calls that name no content type.
    pub(crate) codec: Arc<dyn Codec>,
    /// Keys that pass on to a handler's own calls though they are of one hop or secret.
    pub(crate) forward: Vec<String>,
}

impl Default for Defaults {
    fn default() -> Self {
        let codecs = Codecs::default();
        let codec: Arc<dyn Codec> = Arc::new(crate::codec::Protobuf::new("application/protobuf"));
        Self {
            codecs,
            codec,
            forward: Vec::new(),
        }
    }
}

impl Defaults {
    pub(crate) fn codec(&self, content_type: Option<&str>) -> Result<Arc<dyn Codec>> {
        match content_type {
            None => Ok(self.codec.clone()),
            Some(content_type) => self.codecs.require(content_type).cloned(),
        }
    }
}

/// Calls services by name.
#[derive(Clone, Debug)]
pub struct Client;
