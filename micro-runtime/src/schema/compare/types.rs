//! What comes of it where a field is written as one type or label and read as another.

use super::Severity;
use crate::schema::model::{Enum, Label, Scalar, Type};

/// A type with what is known of it where it is an enum.
type Known<'a> = (&'a Type, Option<&'a Enum>);

/// How values are encoded: those of one way can be read as each other.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Varint,
    Zigzag,
    Fixed32,
    Fixed64,
    Float,
    Double,
    Text,
    Bytes,
    Message,
    Group,
}

/// What comes of a field that is written as `from` and read as `to`; `None` where nothing does. Two
/// messages, and two enums, are compared elsewhere.
pub(super) fn types(from: Known<'_>, to: Known<'_>) -> Option<Severity> {
    use Encoding::{Bytes, Message, Text};
    if from.0 == to.0 {
        return None;
    }
    match (encoding(from.0), encoding(to.0)) {
        (Text | Message, Bytes) => Some(Severity::Harmless),
        // Where they happen to be UTF-8, or the encoding of such a message.
        (Bytes, Text | Message) => Some(Severity::Risks),
        (one, other) if one != other => Some(Severity::Breaks),
        _ => Some(match (range(from), range(to)) {
            (Some((low, high)), Some((least, most))) if least <= low && high <= most => {
                // Of an enum it is not only the range.
                match matches!(to.0, Type::Enum(_)) {
                    true => Severity::Loses,
                    false => Severity::Harmless,
                }
            }
            _ => Severity::Loses,
        }),
    }
}

fn encoding(ty: &Type) -> Encoding {
    match ty {
        Type::Message(_) => Encoding::Message,
        Type::Group(_) => Encoding::Group,
        Type::Enum(_) => Encoding::Varint,
        Type::Scalar(scalar) => match scalar {
            Scalar::Int32 | Scalar::Int64 | Scalar::Uint32 | Scalar::Uint64 | Scalar::Bool => {
                Encoding::Varint
            }
            Scalar::Sint32 | Scalar::Sint64 => Encoding::Zigzag,
            Scalar::Fixed32 | Scalar::Sfixed32 => Encoding::Fixed32,
            Scalar::Fixed64 | Scalar::Sfixed64 => Encoding::Fixed64,
            Scalar::Float => Encoding::Float,
            Scalar::Double => Encoding::Double,
            Scalar::String => Encoding::Text,
            Scalar::Bytes => Encoding::Bytes,
        },
    }
}

/// The numbers that a type has.
fn range((ty, known): Known<'_>) -> Option<(i128, i128)> {
    const SIGNED_32: (i128, i128) = (i32::MIN as i128, i32::MAX as i128);
    const SIGNED_64: (i128, i128) = (i64::MIN as i128, i64::MAX as i128);
    const UNSIGNED_32: (i128, i128) = (0, u32::MAX as i128);
    const UNSIGNED_64: (i128, i128) = (0, u64::MAX as i128);
    match ty {
        Type::Enum(_) => match known {
            Some(one) if one.closed => {
                let (first, last) = (one.values.first_key_value(), one.values.last_key_value());
                Some((i128::from(*first?.0), i128::from(*last?.0)))
            }
            _ => Some(SIGNED_32),
        },
        Type::Scalar(scalar) => match scalar {
            Scalar::Int32 | Scalar::Sint32 | Scalar::Sfixed32 => Some(SIGNED_32),
            Scalar::Int64 | Scalar::Sint64 | Scalar::Sfixed64 => Some(SIGNED_64),
            Scalar::Uint32 | Scalar::Fixed32 => Some(UNSIGNED_32),
            Scalar::Uint64 | Scalar::Fixed64 => Some(UNSIGNED_64),
            Scalar::Bool => Some((0, 1)),
            _ => None,
        },
        Type::Message(_) | Type::Group(_) => None,
    }
}

/// What comes of a field that is written with the label `from` and read with `to`; `None` where
/// nothing does.
pub(super) fn labels(from: Label, to: Label) -> Option<Severity> {
    if from == to {
        return None;
    }
    Some(match (from, to) {
        // Whoever reads several, reads one, and takes them packed or not.
        (_, to) if to.is_repeated() => Severity::Harmless,
        // One cannot be read of what is packed.
        (Label::Packed, _) => Severity::Breaks,
        // The last one counts; messages are merged.
        (Label::Repeated, _) => Severity::Loses,
        (_, Label::Required) => Severity::Risks,
        _ => Severity::Harmless,
    })
}

/// The type for a person.
pub(super) fn name(ty: &Type) -> String {
    match ty {
        Type::Scalar(scalar) => scalar.name().to_owned(),
        Type::Message(name) => name.clone(),
        Type::Group(name) => format!("group {name}"),
        Type::Enum(name) => format!("enum {name}"),
    }
}
