//! The well-known types of protobuf, as forms.

use prost_types::{Any, Duration, FieldMask, ListValue, Struct, Timestamp, Value};

use super::{Form, Known, KnownMut, Slot, View};

macro_rules! known {
    ($($type:ident)*) => {$(
        impl Form for $type {
            fn view(&self) -> View<'_> {
                View::Known(Known::$type(self))
            }

            fn slot(&mut self) -> Slot<'_> {
                *self = Self::default();
                Slot::Known(KnownMut::$type(self))
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    )*};
}
known!(Any Duration FieldMask ListValue Struct Timestamp Value);

/// `google.protobuf.Empty`.
impl Form for () {
    fn view(&self) -> View<'_> {
        View::Known(Known::Empty)
    }

    fn slot(&mut self) -> Slot<'_> {
        Slot::Known(KnownMut::Empty)
    }

    fn clear(&mut self) {}
}
