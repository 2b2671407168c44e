//! What the registry is told of an event's fields, for people who look.

use crate::codec::Payload;
use crate::codec::form::View;
use crate::registry::Value;

/// The message's name and fields. Types that cannot be told from an empty message are left empty, as
/// Go Micro leaves those without a name.
pub(super) fn of(event: &dyn Payload) -> Option<Value> {
    let View::Message(fields) = event.form()?.view() else {
        return None;
    };
    let shape = fields.shape();
    let name = shape.name();
    let name = name.rsplit_once('.').map_or(name, |(_, name)| name);
    let values = shape
        .fields()
        .iter()
        .enumerate()
        .map(|(index, field)| Value {
            name: field.name().to_owned(),
            kind: fields
                .field(index)
                .map_or("", |form| kind(form.view()))
                .to_owned(),
            values: Vec::new(),
        });
    Some(Value {
        name: name.to_owned(),
        kind: name.to_owned(),
        values: values.collect(),
    })
}

/// The Go type of a scalar.
fn kind(view: View<'_>) -> &'static str {
    match view {
        View::Bool(_) => "bool",
        View::I32(_) => "int32",
        View::I64(_) => "int64",
        View::U32(_) => "uint32",
        View::U64(_) => "uint64",
        View::F32(_) => "float32",
        View::F64(_) => "float64",
        View::Text(_) => "string",
        View::Bytes(_) => "[]uint8",
        _ => "",
    }
}
