//! What each option changes; that it compiles is tested by the crate itself.
#![deny(warnings)]
#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::collections::{BTreeMap, HashMap};

use micro_compile_tests::{options, ring};
use micro_runtime::codec::Payload;
use micro_runtime::codegen::bytes::Bytes;

#[test]
fn bytes_turns_vectors_into_bytes() {
    let shape = options::bytes::shapes::Shape::default();
    let _: &Bytes = &shape.a_bytes;
    let _: &Option<Bytes> = &shape.maybe_bytes;
    let _: &Vec<Bytes> = &shape.blobs;
    let _: &HashMap<String, Bytes> = &shape.blobs_by_name;
    let shape = options::no_json::shapes::Shape::default();
    let _: &Vec<u8> = &shape.a_bytes;
}

#[test]
fn btree_map_turns_maps_of_a_path_into_ordered_ones() {
    let mut shape = options::btree_map::shapes::Shape::default();
    let _: &BTreeMap<String, i64> = &shape.counts;
    let _: &HashMap<i32, _> = &shape.by_number;
    shape.counts.insert("a".into(), 1);
    assert!(format!("{shape:?}").contains(r#"counts: {"a": 1}"#));
    let shape = options::btree_maps::shapes::Shape::default();
    let _: &BTreeMap<String, Bytes> = &shape.blobs_by_name;
}

#[test]
fn json_false_leaves_the_form_out() {
    assert!(options::no_json::shapes::Shape::default().form().is_none());
    assert!(options::bytes::shapes::Shape::default().form().is_some());
}

#[test]
fn extern_path_takes_types_from_elsewhere() {
    let left = options::extern_path::ring::left::Left {
        base: Some(ring::right::Base::default()),
        common: Some(ring::Common::default()),
        ..Default::default()
    };
    let _: ring::right::Base = left.base.unwrap();
}

#[test]
fn services_alone_work_on_the_messages_of_another_module() {
    use options::messages::shapes::Shape;
    use options::services::shapes::ShapesClient;
    let _ = |client: &ShapesClient, shape: Shape| client.echo(shape);
}

#[test]
fn attributes_are_on_types() {
    let question = |text: &str| options::attributes::kinds::Question { text: text.into() };
    assert!(question("a") < question("b"));
}
