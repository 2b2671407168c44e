//! What `compare` says of types and labels is what a decoder does, and holds for schemas that change
//! in any way.

use micro_runtime::schema::{Direction, Schema, Severity, compare};
use proptest::prelude::*;
use prost::Message as _;
use prost_reflect::{
    Cardinality, DescriptorPool, DynamicMessage, Kind, ReflectMessage as _, Value,
};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FieldOptions, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};

const SCALARS: [Type; 15] = [
    Type::Double,
    Type::Float,
    Type::Int64,
    Type::Uint64,
    Type::Int32,
    Type::Fixed64,
    Type::Fixed32,
    Type::Bool,
    Type::String,
    Type::Bytes,
    Type::Uint32,
    Type::Sfixed32,
    Type::Sfixed64,
    Type::Sint32,
    Type::Sint64,
];

/// A field as it may be declared.
#[derive(Clone, Copy, Debug)]
struct Declared {
    number: i32,
    ty: Type,
    repeated: bool,
    /// `optional`, of one that is not repeated; `[packed = false]`, of one that is.
    marked: bool,
    /// Alone in a oneof, where it is neither.
    alone: bool,
}

impl Declared {
    fn is_optional(self) -> bool {
        self.marked && !self.repeated
    }

    fn is_in_a_oneof(self) -> bool {
        self.alone && !self.marked && !self.repeated
    }

    fn descriptor(self) -> FieldDescriptorProto {
        let label = match self.repeated {
            true => Label::Repeated,
            false => Label::Optional,
        };
        let number = !matches!(self.ty, Type::String | Type::Bytes | Type::Message);
        FieldDescriptorProto {
            name: Some(format!("f{}", self.number)),
            number: Some(self.number),
            label: Some(label.into()),
            r#type: Some(self.ty.into()),
            type_name: (self.ty == Type::Message).then(|| ".p.M".to_owned()),
            options: (self.repeated && self.marked && number).then(|| FieldOptions {
                packed: Some(false),
                ..FieldOptions::default()
            }),
            ..FieldDescriptorProto::default()
        }
    }
}

/// A service `p.S` whose method `M` takes a message `p.M` with these fields.
fn set(fields: &[Declared]) -> Vec<u8> {
    let named = |name: &str| Some(name.to_owned());
    let mut message = DescriptorProto {
        name: named("M"),
        field: fields.iter().map(|field| field.descriptor()).collect(),
        ..DescriptorProto::default()
    };
    for (at, field) in fields
        .iter()
        .enumerate()
        .filter(|(_, one)| one.is_optional() || one.is_in_a_oneof())
    {
        // As compilers write `optional`, too.
        let index = message.oneof_decl.len();
        message.oneof_decl.push(prost_types::OneofDescriptorProto {
            name: Some(format!("_f{}", field.number)),
            options: None,
        });
        message.field[at].proto3_optional = field.is_optional().then_some(true);
        message.field[at].oneof_index = Some(i32::try_from(index).unwrap());
    }
    let empty = DescriptorProto {
        name: named("R"),
        ..DescriptorProto::default()
    };
    let method = MethodDescriptorProto {
        name: named("M"),
        input_type: named(".p.M"),
        output_type: named(".p.R"),
        ..MethodDescriptorProto::default()
    };
    let file = FileDescriptorProto {
        name: named("a.proto"),
        package: named("p"),
        syntax: named("proto3"),
        message_type: vec![message, empty],
        service: vec![ServiceDescriptorProto {
            name: named("S"),
            method: vec![method],
            ..ServiceDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    };
    FileDescriptorSet { file: vec![file] }.encode_to_vec()
}

fn message(set: &[u8]) -> DynamicMessage {
    let pool = DescriptorPool::decode(set).unwrap();
    DynamicMessage::new(pool.get_message_by_name("p.M").unwrap())
}

/// Values that are at home in a type and strain others.
fn values(kind: &Kind) -> Vec<Value> {
    let texts = ["a", "\u{e9}"];
    match kind {
        Kind::Double => [1.5, -3e300].map(Value::F64).into(),
        Kind::Float => [1.5, -3e30].map(Value::F32).into(),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
            [1, -1, i32::MAX, i32::MIN].map(Value::I32).into()
        }
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
            [1, -1, i64::MAX, i64::MIN].map(Value::I64).into()
        }
        Kind::Uint32 | Kind::Fixed32 => [1, u32::MAX].map(Value::U32).into(),
        Kind::Uint64 | Kind::Fixed64 => [1, u64::MAX].map(Value::U64).into(),
        Kind::Bool => vec![Value::Bool(true)],
        Kind::String => texts.map(|text| Value::String(text.into())).into(),
        Kind::Bytes => vec![Value::Bytes("a".into()), Value::Bytes(vec![0xff].into())],
        Kind::Message(message) => vec![Value::Message(DynamicMessage::new(message.clone()))],
        Kind::Enum(_) => Vec::new(),
    }
}

/// What a value means, whatever its type.
fn meaning(value: &Value) -> Vec<String> {
    match value {
        Value::Bool(value) => vec![u8::from(*value).to_string()],
        Value::I32(value) => vec![value.to_string()],
        Value::I64(value) => vec![value.to_string()],
        Value::U32(value) => vec![value.to_string()],
        Value::U64(value) => vec![value.to_string()],
        Value::String(value) => vec![format!("{:?}", value.as_bytes())],
        Value::Bytes(value) => vec![format!("{:?}", &value[..])],
        Value::List(list) => list.iter().flat_map(meaning).collect(),
        other => vec![format!("{other:?}")],
    }
}

/// The worst that is said of requests from one to the other.
fn said(from: &[u8], to: &[u8]) -> Option<Severity> {
    let (from, to) = (Schema::read(from).unwrap(), Schema::read(to).unwrap());
    let found = compare(&from, &to, "p.S");
    assert!(found.iter().all(|one| one.direction == Direction::Request));
    found.iter().map(|one| one.severity).max()
}

/// Every type with every label, written and read.
#[test]
fn what_is_said_is_what_a_decoder_does() {
    let labels = [
        (false, false, false),
        (false, false, true),
        (false, true, false),
        (true, false, false),
        (true, true, false),
    ];
    let all: Vec<_> = SCALARS
        .iter()
        .flat_map(|&ty| {
            labels.map(|(repeated, marked, alone)| Declared {
                number: 1,
                ty,
                repeated,
                marked,
                alone,
            })
        })
        .collect();
    for (one, other) in all
        .iter()
        .flat_map(|one| all.iter().map(move |other| (*one, *other)))
    {
        let (from, to) = (set(&[one]), set(&[other]));
        let severity = said(&from, &to);
        let (mut failed, mut changed) = (false, false);
        let writer = message(&from);
        let field = writer.descriptor().get_field(1).unwrap();
        let singles = values(&field.kind());
        let lists = singles
            .iter()
            .map(|value| vec![value.clone(), value.clone()]);
        let samples: Vec<Value> = match field.cardinality() {
            Cardinality::Repeated => lists.map(Value::List).collect(),
            _ => singles,
        };
        for sample in samples {
            let mut written = writer.clone();
            written.set_field(&field, sample.clone());
            let mut read = message(&to);
            match read.merge(&*written.encode_to_vec()) {
                Err(_) => failed = true,
                Ok(()) => {
                    let value = read.get_field_by_number(1).unwrap();
                    changed |= meaning(&value) != meaning(&sample);
                }
            }
        }
        let told = format!("{one:?} -> {other:?}: {severity:?}, {failed} {changed}");
        match severity {
            None | Some(Severity::Harmless | Severity::Text) => {
                assert!(!failed && !changed, "{told}")
            }
            Some(Severity::Loses) => assert!(!failed && changed, "{told}"),
            Some(Severity::Risks) => assert!(failed, "{told}"),
            _ => assert!(failed || changed, "{told}"),
        }
    }
}

fn fields() -> impl Strategy<Value = Vec<Declared>> {
    let types: Vec<Type> = SCALARS.into_iter().chain([Type::Message]).collect();
    let field = (
        1..6,
        prop::sample::select(types),
        any::<bool>(),
        any::<bool>(),
        any::<bool>(),
    );
    proptest::collection::vec(field, 0..6).prop_map(|all| {
        let mut fields: Vec<Declared> = Vec::new();
        for (number, ty, repeated, marked, alone) in all {
            // Whether a message is set can be told in any case.
            let marked = marked && ty != Type::Message;
            if fields.iter().all(|known| known.number != number) {
                fields.push(Declared {
                    number,
                    ty,
                    repeated,
                    marked,
                    alone,
                });
            }
        }
        fields
    })
}

proptest! {
    #[test]
    fn a_schema_is_compatible_with_itself(fields in fields()) {
        let set = set(&fields);
        prop_assert_eq!(said(&set, &set), None);
    }

    #[test]
    fn schemas_have_one_hash_where_they_are_the_same(one in fields(), other in fields()) {
        let read = |fields: &[Declared]| Schema::read(&set(fields)).unwrap();
        let same = read(&one) == read(&other);
        prop_assert_eq!(read(&one).hash("p.S") == read(&other).hash("p.S"), same);
        if same {
            prop_assert_eq!(said(&set(&one), &set(&other)), None);
        }
    }

    /// New fields, in any place, harm nobody in either direction.
    #[test]
    fn fields_that_are_added_break_nothing(fields in fields(), more in fields()) {
        let mut wider = fields.clone();
        wider.extend(more.into_iter().map(|one| Declared { number: one.number + 10, ..one }));
        prop_assert!(said(&set(&wider), &set(&fields)) <= Some(Severity::Loses));
        prop_assert!(said(&set(&fields), &set(&wider)) <= Some(Severity::Harmless));
    }

    /// What is said to be readable is read, with all fields at once.
    #[test]
    fn messages_of_any_schema_are_read_where_they_are_said_to_be(
        one in fields(),
        other in fields(),
        pick in any::<prop::sample::Index>(),
    ) {
        let (from, to) = (set(&one), set(&other));
        if said(&from, &to) < Some(Severity::Risks) {
            let mut written = message(&from);
            for field in written.descriptor().fields() {
                let values = values(&field.kind());
                let value = values[pick.index(values.len())].clone();
                match field.cardinality() {
                    Cardinality::Repeated => written.set_field(&field, Value::List(vec![value])),
                    _ => written.set_field(&field, value),
                }
            }
            let mut read = message(&to);
            prop_assert!(read.merge(&*written.encode_to_vec()).is_ok());
        }
    }
}
