//! The messages that may stand in a `google.protobuf.Any`.

use std::fmt;
use std::sync::Arc;

use prost_types::{Any, Duration, FieldMask, ListValue, Struct, Timestamp, Value};

use crate::codec::Payload;
use crate::codec::form::View;

/// The messages that JSON can unfold from a `google.protobuf.Any`: the well-known types, and those
/// added here. Cheap to clone.
///
/// JSON writes an `Any` as an object with the fields of the message in it, so it has to know that
/// message. One that is not here is written as `{"@type": "…", "value": "<base64>"}` and read
/// from that.
///
/// ```
/// use micro_runtime::codec::{JsonCodec, Types};
///
/// // Every generated message can be added: Types::new().with::<Greeting>()
/// let codec = JsonCodec::canonical("application/json").with_types(Types::new());
/// # let _ = codec;
/// ```
#[derive(Clone, Default)]
pub struct Types(Option<Arc<Vec<Known>>>);

#[derive(Clone, Copy)]
struct Known {
    name: &'static str,
    make: fn() -> Box<dyn Payload>,
}

impl Types {
    /// The well-known types alone.
    pub const fn new() -> Self {
        Self(None)
    }

    /// Adds message `M` under its full name.
    #[must_use]
    pub fn with<M: Payload + Default>(mut self) -> Self {
        let name = (M::default().form()).and_then(|form| match form.view() {
            View::Message(message) => Some(message.shape().name()),
            // The well-known types are here already, and raw bytes have no name.
            _ => None,
        });
        if let Some(name) = name {
            let known = Arc::make_mut(self.0.get_or_insert_default());
            let make = || -> Box<dyn Payload> { Box::new(M::default()) };
            known.push(Known { name, make });
        }
        self
    }

    /// An empty message of the type that `url` ends in.
    pub(super) fn make(&self, url: &str) -> Option<Box<dyn Payload>> {
        let (_, name) = url.rsplit_once('/')?;
        let well_known = name.strip_prefix("google.protobuf.");
        if let Some(message) = well_known.and_then(make_well_known) {
            return Some(message);
        }
        let known = self.0.as_ref()?.iter().find(|known| known.name == name)?;
        Some((known.make)())
    }
}

impl fmt::Debug for Types {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.iter().flat_map(|known| known.iter());
        f.debug_set()
            .entries(known.map(|known| known.name))
            .finish()
    }
}

fn make_well_known(name: &str) -> Option<Box<dyn Payload>> {
    fn make<M: Payload + Default>() -> Option<Box<dyn Payload>> {
        Some(Box::new(M::default()))
    }
    match name {
        "Any" => make::<Any>(),
        "Duration" => make::<Duration>(),
        "Empty" => make::<()>(),
        "FieldMask" => make::<FieldMask>(),
        "ListValue" => make::<ListValue>(),
        "Struct" => make::<Struct>(),
        "Timestamp" => make::<Timestamp>(),
        "Value" => make::<Value>(),
        "BoolValue" => make::<bool>(),
        "BytesValue" => make::<Vec<u8>>(),
        "DoubleValue" => make::<f64>(),
        "FloatValue" => make::<f32>(),
        "Int32Value" => make::<i32>(),
        "Int64Value" => make::<i64>(),
        "StringValue" => make::<String>(),
        "UInt32Value" => make::<u32>(),
        "UInt64Value" => make::<u64>(),
        _ => None,
    }
}
