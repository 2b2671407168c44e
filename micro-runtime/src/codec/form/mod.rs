//! The one form of every message that text codecs walk and fill.
//!
//! Generated code says what a message consists of (its [`Shape`]) and hands out its fields by index
//! ([`Fields`]). A codec reads a value as a [`View`] and writes into a [`Slot`]; the Rust type of a
//! field says the rest. Nothing here knows of JSON: a codec for any other self-describing format
//! walks the same form.

mod descriptors;
mod shape;
mod values;
mod well_known;

pub use shape::{Enum, Enumeration, Field, Meaning, Shape};
pub use values::MapKey;

use std::fmt;

use bytes::Bytes;
use prost_types::{Any, Duration, FieldMask, ListValue, Struct, Timestamp, Value};

/// A value as it may stand in a message: a scalar, a list, a map, a message, or one of these that
/// may be absent.
pub trait Form: Send + Sync {
    /// What the value is.
    fn view(&self) -> View<'_>;

    /// A place for a new value; what was there before is gone.
    fn slot(&mut self) -> Slot<'_>;

    /// Makes the value absent, or the default of its type.
    fn clear(&mut self);
}

/// A message by the numbers of its fields: generated.
///
/// Every message is a [`Form`] by being this.
pub trait Fields: Send + Sync {
    /// Names and meanings of the fields.
    fn shape(&self) -> &'static Shape;

    /// The field at `index` of the shape; `None` for a member of a oneof that is not set.
    fn field(&self, index: usize) -> Option<&dyn Form>;

    /// The field at `index` of the shape; a member of a oneof becomes the one that is set.
    fn field_mut(&mut self, index: usize) -> Option<&mut dyn Form>;
}

/// The members of a oneof, by their index in the message's shape: generated.
pub trait Oneof: Sized {
    /// An empty member.
    fn make(index: usize) -> Option<Self>;

    /// The member that is set.
    fn member(&self) -> (usize, &dyn Form);

    /// The member that is set, to change it.
    fn member_mut(&mut self) -> &mut dyn Form;
}

/// The member at `index`, if it is the one that is set.
pub fn oneof<O: Oneof>(field: &Option<O>, index: usize) -> Option<&dyn Form> {
    let (set, form) = field.as_ref()?.member();
    (set == index).then_some(form)
}

/// The member at `index`, set if another was.
pub fn oneof_mut<O: Oneof>(field: &mut Option<O>, index: usize) -> Option<&mut dyn Form> {
    if field.as_ref().is_none_or(|set| set.member().0 != index) {
        *field = O::make(index);
    }
    field.as_mut().map(O::member_mut)
}

/// A value, borrowed to be written.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum View<'a> {
    /// Nothing is there.
    Absent,
    /// `bool`.
    Bool(bool),
    /// `int32`, `sint32`, `sfixed32`, and enums by their number.
    I32(i32),
    /// `int64`, `sint64`, `sfixed64`.
    I64(i64),
    /// `uint32`, `fixed32`.
    U32(u32),
    /// `uint64`, `fixed64`.
    U64(u64),
    /// `float`.
    F32(f32),
    /// `double`.
    F64(f64),
    /// `string`.
    Text(&'a str),
    /// `bytes`.
    Bytes(&'a [u8]),
    /// A message with fields of its own.
    Message(&'a dyn Fields),
    /// A repeated field.
    List(&'a dyn List),
    /// A map field.
    Map(&'a dyn Map),
    /// A message that has its own form in text.
    Known(Known<'a>),
}

impl View<'_> {
    /// Whether this is nothing, or the value that a field without presence has when it is not set.
    pub fn is_zero(self) -> bool {
        match self {
            View::Absent => true,
            View::Bool(value) => !value,
            View::I32(number) => number == 0,
            View::I64(number) => number == 0,
            View::U32(number) => number == 0,
            View::U64(number) => number == 0,
            // Minus zero is a value of its own.
            View::F32(number) => number.to_bits() == 0,
            View::F64(number) => number.to_bits() == 0,
            View::Text(text) => text.is_empty(),
            View::Bytes(bytes) => bytes.is_empty(),
            View::List(list) => list.is_empty(),
            View::Map(map) => map.is_empty(),
            View::Message(_) | View::Known(_) => false,
        }
    }
}

/// A place to put a value into.
#[derive(Debug)]
#[non_exhaustive]
pub enum Slot<'a> {
    /// `bool`.
    Bool(&'a mut bool),
    /// `int32`, `sint32`, `sfixed32`, and enums by their number.
    I32(&'a mut i32),
    /// `int64`, `sint64`, `sfixed64`.
    I64(&'a mut i64),
    /// `uint32`, `fixed32`.
    U32(&'a mut u32),
    /// `uint64`, `fixed64`.
    U64(&'a mut u64),
    /// `float`.
    F32(&'a mut f32),
    /// `double`.
    F64(&'a mut f64),
    /// `string`.
    Text(&'a mut String),
    /// `bytes` as a vector.
    Bytes(&'a mut Vec<u8>),
    /// `bytes` as shared bytes.
    Shared(&'a mut Bytes),
    /// A message with fields of its own.
    Message(&'a mut dyn Fields),
    /// A repeated field, empty.
    List(&'a mut dyn ListMut),
    /// A map field, empty.
    Map(&'a mut dyn MapMut),
    /// A message that has its own form in text.
    Known(KnownMut<'a>),
}

/// A well-known message, borrowed to be written. The wrappers (`StringValue` and its like) are not
/// here: they are scalars with [`Meaning::Wrapper`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Known<'a> {
    /// `google.protobuf.Any`.
    Any(&'a Any),
    /// `google.protobuf.Duration`.
    Duration(&'a Duration),
    /// `google.protobuf.Empty`.
    Empty,
    /// `google.protobuf.FieldMask`.
    FieldMask(&'a FieldMask),
    /// `google.protobuf.ListValue`.
    ListValue(&'a ListValue),
    /// `google.protobuf.Struct`.
    Struct(&'a Struct),
    /// `google.protobuf.Timestamp`.
    Timestamp(&'a Timestamp),
    /// `google.protobuf.Value`.
    Value(&'a Value),
}

/// A well-known message, borrowed to be filled.
#[derive(Debug)]
#[non_exhaustive]
pub enum KnownMut<'a> {
    /// `google.protobuf.Any`.
    Any(&'a mut Any),
    /// `google.protobuf.Duration`.
    Duration(&'a mut Duration),
    /// `google.protobuf.Empty`.
    Empty,
    /// `google.protobuf.FieldMask`.
    FieldMask(&'a mut FieldMask),
    /// `google.protobuf.ListValue`.
    ListValue(&'a mut ListValue),
    /// `google.protobuf.Struct`.
    Struct(&'a mut Struct),
    /// `google.protobuf.Timestamp`.
    Timestamp(&'a mut Timestamp),
    /// `google.protobuf.Value`.
    Value(&'a mut Value),
}

/// The key of a map entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Key<'a> {
    /// `bool`.
    Bool(bool),
    /// Signed integers of both sizes.
    Signed(i64),
    /// Unsigned integers of both sizes.
    Unsigned(u64),
    /// `string`, or any key as text formats write it.
    Text(&'a str),
}

/// The items of a repeated field.
pub trait List: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The item at `index`.
    fn get(&self, index: usize) -> Option<View<'_>>;
}

/// A repeated field that grows.
pub trait ListMut: Send + Sync {
    /// Adds an empty item and hands out its place.
    fn push(&mut self) -> Slot<'_>;
}

/// The entries of a map field.
pub trait Map: Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there is none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The entries in the order of their keys.
    fn entries(&self) -> Box<dyn Iterator<Item = (Key<'_>, View<'_>)> + '_>;
}

/// A map field that grows.
pub trait MapMut: Send + Sync {
    /// The place of the value under `key`, empty; `None` where this map has no such keys.
    ///
    /// [`Key::Text`] is read as the type of the map's keys.
    fn entry(&mut self, key: Key<'_>) -> Option<Slot<'_>>;

    /// The proto type of the keys, for error texts.
    fn key_type(&self) -> &'static str;
}

macro_rules! opaque_debug {
    ($($of:ident),*) => {$(
        impl fmt::Debug for dyn $of + '_ {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(stringify!($of))
            }
        }
    )*};
}
opaque_debug!(Form, List, ListMut, Map, MapMut);

impl fmt::Debug for dyn Fields + '_ {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.shape().name())
    }
}
