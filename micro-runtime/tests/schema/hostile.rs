//! Descriptors that a peer has made up: bounded, and never a panic.

use std::time::Instant;

use micro_runtime::schema::{Change, MAX_SET, Schema, Severity, compare};
use proptest::prelude::*;
use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto, ServiceDescriptorProto,
};

use crate::proto::asking;

fn field(number: i32, message: &str) -> FieldDescriptorProto {
    FieldDescriptorProto {
        name: Some(format!("f{number}")),
        number: Some(number),
        label: Some(Label::Optional.into()),
        r#type: Some(Type::Message.into()),
        type_name: Some(message.to_owned()),
        ..FieldDescriptorProto::default()
    }
}

fn message(name: &str, fields: Vec<FieldDescriptorProto>) -> DescriptorProto {
    DescriptorProto {
        name: Some(name.to_owned()),
        field: fields,
        ..DescriptorProto::default()
    }
}

/// A message in a message of the same name.
fn nested(name: &str) -> DescriptorProto {
    DescriptorProto {
        nested_type: vec![message(name, Vec::new())],
        ..message(name, Vec::new())
    }
}

/// A service `p.S` whose method `M` takes and gives `p.M0`.
fn file(messages: Vec<DescriptorProto>) -> FileDescriptorProto {
    let method = MethodDescriptorProto {
        name: Some("M".into()),
        input_type: Some(".p.M0".into()),
        output_type: Some(".p.M0".into()),
        ..MethodDescriptorProto::default()
    };
    FileDescriptorProto {
        name: Some("a.proto".into()),
        package: Some("p".into()),
        syntax: Some("proto3".into()),
        message_type: messages,
        service: vec![ServiceDescriptorProto {
            name: Some("S".into()),
            method: vec![method],
            ..ServiceDescriptorProto::default()
        }],
        ..FileDescriptorProto::default()
    }
}

fn set(files: Vec<FileDescriptorProto>) -> Vec<u8> {
    FileDescriptorSet { file: files }.encode_to_vec()
}

#[test]
fn sets_that_are_too_large_are_refused() {
    assert!(Schema::read(&vec![0; MAX_SET + 1]).is_err());
    // Two bytes a message, each of which would be hundreds in memory.
    let empty: Vec<u8> = [0x22, 0].repeat(400_000);
    let mut file = vec![0x0a];
    prost::encoding::encode_varint(empty.len() as u64, &mut file);
    file.extend(empty);
    assert!(Schema::read(&file).is_err());
}

#[test]
fn messages_in_messages_without_end_are_refused() {
    let mut inner = message("m", Vec::new());
    for _ in 0..90 {
        let mut outer = message("m", Vec::new());
        outer.nested_type.push(inner);
        inner = outer;
    }
    let error = Schema::read(&set(vec![file(vec![inner])])).unwrap_err();
    assert!(error.detail().contains("too deep"), "{error}");
}

#[test]
fn what_is_wrong_in_descriptors_is_refused() {
    let m0 = || message("M0", Vec::new());
    let with = |field| set(vec![file(vec![message("M0", vec![field])])]);
    let odd = |change: fn(&mut FieldDescriptorProto)| {
        let mut field = field(1, ".p.M0");
        change(&mut field);
        with(field)
    };
    let mut editions = file(vec![m0()]);
    editions.syntax = Some("editions".into());
    for (what, set) in [
        ("twice", set(vec![file(vec![m0()]), file(vec![m0()])])),
        ("twice", set(vec![file(vec![m0(), m0()])])),
        (
            "twice",
            set(vec![file(vec![message("M0", vec![field(1, ".p.M0"); 2])])]),
        ),
        ("syntax", set(vec![editions])),
        ("name", set(vec![file(vec![message("", Vec::new())])])),
        ("name", set(vec![file(vec![message("a\nb", Vec::new())])])),
        // One name is kept for all that is declared in it.
        (
            "longer",
            set(vec![file(vec![message(&"a".repeat(600), Vec::new())])]),
        ),
        ("longer", set(vec![file(vec![nested(&"a".repeat(300))])])),
        ("number", odd(|field| field.number = Some(0))),
        ("number", odd(|field| field.number = Some(1 << 29))),
        ("number", odd(|field| field.r#type = Some(99))),
        ("name", odd(|field| field.type_name = None)),
        (
            "control",
            odd(|field| field.json_name = Some("a\nb".into())),
        ),
        ("oneof", odd(|field| field.oneof_index = Some(0))),
        ("oneof", odd(|field| field.oneof_index = Some(-1))),
    ] {
        let error = Schema::read(&set).unwrap_err();
        assert!(error.detail().contains(what), "{what}: {error}");
    }
}

#[test]
fn a_type_that_is_not_there_leaves_a_service_without_hash() {
    let lacking = set(vec![file(vec![message("M0", vec![field(1, ".p.Gone")])])]);
    let schema = Schema::read(&lacking).unwrap();
    assert_eq!(schema.hash("p.S"), None);
    // And is no matter of life and death to who compares.
    compare(&schema, &schema, "p.S");
}

/// Each of our messages can stand beside each of theirs.
#[test]
fn types_that_name_each_other_are_compared_within_bounds() {
    let ring = |count: usize| {
        let next = |at: usize| format!(".p.M{}", (at + 1) % count);
        let ring = (0..count).map(|at| message(&format!("M{at}"), vec![field(1, &next(at))]));
        Schema::read(&set(vec![file(ring.collect())])).unwrap()
    };
    let started = Instant::now();
    let found = compare(&ring(1999), &ring(2003), "p.S");
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
    assert_eq!(found[0].change, Change::TooLarge);
    assert_eq!(found[0].severity, Severity::Risks);
    assert!(compare(&ring(1), &ring(3), "p.S").is_empty());
}

#[test]
fn differences_without_number_are_told_in_part_and_what_breaks_in_any_case() {
    let many = |first: i32| {
        (first..first + 1_000)
            .map(|number| field(number, ".p.M0"))
            .collect()
    };
    let mut theirs: Vec<FieldDescriptorProto> = many(100_000);
    theirs.push(FieldDescriptorProto {
        r#type: Some(Type::Int32.into()),
        type_name: None,
        ..field(1_001, "")
    });
    let mut ours: Vec<FieldDescriptorProto> = many(1);
    ours.push(field(1_001, ".p.M0"));
    let read = |fields| Schema::read(&set(vec![file(vec![message("M0", fields)])])).unwrap();
    let found = compare(&read(ours), &read(theirs), "p.S");
    assert!(found.len() <= 257, "{}", found.len());
    assert_eq!(found[0].severity, Severity::Breaks, "{}", found[0]);
}

proptest! {
    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        let _ = Schema::read(&bytes);
    }

    #[test]
    fn no_change_of_good_bytes_panics(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        let ours = asking_bytes();
        let mut theirs = ours.clone();
        let at = at.index(theirs.len());
        theirs[at] = to;
        let ours = Schema::read(&ours).unwrap();
        if let Ok(theirs) = Schema::read(&theirs) {
            let _ = theirs.hash("p.S");
            compare(&ours, &theirs, "p.S").iter().for_each(|one| drop(one.to_string()));
        }
    }
}

fn asking_bytes() -> Vec<u8> {
    set(vec![file(vec![
        message("M0", vec![field(1, ".p.M1"), field(2, ".p.M0")]),
        message("M1", vec![field(7, ".p.M0")]),
    ])])
}

#[test]
fn a_service_that_one_side_lacks_is_told() {
    let ours = asking("proto3", "", "");
    let found = compare(&ours, &Schema::default(), "p.S");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].to_string(), "service p.S is not there");
    assert!(found[0].breaks("M"));
    assert_eq!(
        compare(&Schema::default(), &ours, "p.S")[0].to_string(),
        "service p.S is not here"
    );
}
