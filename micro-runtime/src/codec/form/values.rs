//! The Rust types of fields, as forms.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};

use bytes::Bytes;

use super::{Fields, Form, Key, List, ListMut, Map, MapMut, Shape, Slot, View};

macro_rules! scalar {
    ($($type:ty => $view:ident $($of:ident)?, $slot:ident;)*) => {$(
        impl Form for $type {
            fn view(&self) -> View<'_> {
                View::$view(scalar!(@ self $($of)?))
            }

            fn slot(&mut self) -> Slot<'_> {
                Slot::$slot(self)
            }

            fn clear(&mut self) {
                *self = Default::default();
            }
        }
    )*};
    (@ $self:ident) => { *$self };
    (@ $self:ident by_ref) => { $self };
}
scalar! {
    bool => Bool, Bool;
    i32 => I32, I32;
    i64 => I64, I64;
    u32 => U32, U32;
    u64 => U64, U64;
    f32 => F32, F32;
    f64 => F64, F64;
    String => Text by_ref, Text;
    Vec<u8> => Bytes by_ref, Bytes;
    Bytes => Bytes by_ref, Shared;
}

impl<M: Fields + Default> Form for M {
    fn view(&self) -> View<'_> {
        View::Message(self)
    }

    fn slot(&mut self) -> Slot<'_> {
        *self = M::default();
        Slot::Message(self)
    }

    fn clear(&mut self) {
        *self = M::default();
    }
}

// A message that contains itself is boxed by prost.
impl<M: Fields> Fields for Box<M> {
    fn shape(&self) -> &'static Shape {
        (**self).shape()
    }

    fn field(&self, index: usize) -> Option<&dyn Form> {
        (**self).field(index)
    }

    fn field_mut(&mut self, index: usize) -> Option<&mut dyn Form> {
        (**self).field_mut(index)
    }
}

impl<T: Form + Default> Form for Option<T> {
    fn view(&self) -> View<'_> {
        self.as_ref().map_or(View::Absent, Form::view)
    }

    fn slot(&mut self) -> Slot<'_> {
        self.insert(T::default()).slot()
    }

    fn clear(&mut self) {
        *self = None;
    }
}

impl<T: Form + Default> Form for Vec<T> {
    fn view(&self) -> View<'_> {
        View::List(self)
    }

    fn slot(&mut self) -> Slot<'_> {
        self.clear();
        Slot::List(self)
    }

    fn clear(&mut self) {
        Vec::clear(self);
    }
}

impl<T: Form> List for Vec<T> {
    fn len(&self) -> usize {
        Vec::len(self)
    }

    fn get(&self, index: usize) -> Option<View<'_>> {
        <[T]>::get(self, index).map(Form::view)
    }
}

impl<T: Form + Default> ListMut for Vec<T> {
    fn push(&mut self) -> Slot<'_> {
        Vec::push(self, T::default());
        let item = self.last_mut().expect("an item was just added");
        item.slot()
    }
}

/// A type that map fields have as key.
pub trait MapKey: Ord + Send + Sync {
    /// The proto type, for error texts.
    const TYPE: &'static str;

    /// The key to be written.
    fn key(&self) -> Key<'_>;

    /// Reads a key; text is read as this type.
    fn from_key(key: Key<'_>) -> Option<Self>
    where
        Self: Sized;
}

impl MapKey for bool {
    const TYPE: &'static str = "bool";

    fn key(&self) -> Key<'_> {
        Key::Bool(*self)
    }

    fn from_key(key: Key<'_>) -> Option<Self> {
        match key {
            Key::Bool(key) => Some(key),
            Key::Text("true") => Some(true),
            Key::Text("false") => Some(false),
            _ => None,
        }
    }
}

impl MapKey for String {
    const TYPE: &'static str = "string";

    fn key(&self) -> Key<'_> {
        Key::Text(self)
    }

    fn from_key(key: Key<'_>) -> Option<Self> {
        match key {
            Key::Text(key) => Some(key.to_owned()),
            _ => None,
        }
    }
}

macro_rules! integer_key {
    ($($type:ty => $name:literal, $variant:ident $wide:ty;)*) => {$(
        impl MapKey for $type {
            const TYPE: &'static str = $name;

            fn key(&self) -> Key<'_> {
                Key::$variant(<$wide>::from(*self))
            }

            fn from_key(key: Key<'_>) -> Option<Self> {
                match key {
                    Key::Bool(_) => None,
                    Key::Signed(key) => key.try_into().ok(),
                    Key::Unsigned(key) => key.try_into().ok(),
                    // Rust's own parser also takes a plus sign, which no writer makes.
                    Key::Text(key) => key.parse().ok().filter(|_| !key.starts_with('+')),
                }
            }
        }
    )*};
}
integer_key! {
    i32 => "int32", Signed i64;
    i64 => "int64", Signed i64;
    u32 => "uint32", Unsigned u64;
    u64 => "uint64", Unsigned u64;
}

impl<K: MapKey, V: Form + Default> Form for BTreeMap<K, V> {
    fn view(&self) -> View<'_> {
        View::Map(self)
    }

    fn slot(&mut self) -> Slot<'_> {
        BTreeMap::clear(self);
        Slot::Map(self)
    }

    fn clear(&mut self) {
        BTreeMap::clear(self);
    }
}

impl<K: MapKey, V: Form> Map for BTreeMap<K, V> {
    fn len(&self) -> usize {
        BTreeMap::len(self)
    }

    fn entries(&self) -> Box<dyn Iterator<Item = (Key<'_>, View<'_>)> + '_> {
        Box::new(self.iter().map(|(key, value)| (key.key(), value.view())))
    }
}

impl<K: MapKey, V: Form + Default> MapMut for BTreeMap<K, V> {
    fn entry(&mut self, key: Key<'_>) -> Option<Slot<'_>> {
        Some(BTreeMap::entry(self, K::from_key(key)?).or_default().slot())
    }

    fn key_type(&self) -> &'static str {
        K::TYPE
    }
}

#[expect(
    clippy::disallowed_types,
    reason = "prost makes them in users' messages; they are written in the order of their keys"
)]
type HashMap<K, V, S> = std::collections::HashMap<K, V, S>;

impl<K, V, S> Form for HashMap<K, V, S>
where
    K: MapKey + Hash,
    V: Form + Default,
    S: BuildHasher + Send + Sync,
{
    fn view(&self) -> View<'_> {
        View::Map(self)
    }

    fn slot(&mut self) -> Slot<'_> {
        HashMap::clear(self);
        Slot::Map(self)
    }

    fn clear(&mut self) {
        HashMap::clear(self);
    }
}

impl<K: MapKey, V: Form, S: Send + Sync> Map for HashMap<K, V, S> {
    fn len(&self) -> usize {
        HashMap::len(self)
    }

    fn entries(&self) -> Box<dyn Iterator<Item = (Key<'_>, View<'_>)> + '_> {
        let mut entries: Vec<_> = (self.iter())
            .map(|(key, value)| (key.key(), value.view()))
            .collect();
        entries.sort_unstable_by_key(|(key, _)| *key);
        Box::new(entries.into_iter())
    }
}

impl<K, V, S> MapMut for HashMap<K, V, S>
where
    K: MapKey + Hash,
    V: Form + Default,
    S: BuildHasher + Send + Sync,
{
    fn entry(&mut self, key: Key<'_>) -> Option<Slot<'_>> {
        Some(HashMap::entry(self, K::from_key(key)?).or_default().slot())
    }

    fn key_type(&self) -> &'static str {
        K::TYPE
    }
}
