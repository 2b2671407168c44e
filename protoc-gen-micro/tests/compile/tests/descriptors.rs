//! What a generated service says of itself: to the registry, to the gateway, to reflection.
#![deny(warnings)]
#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::fmt::Write as _;

use micro_compile_tests::{kinds, names, old, plain, routes, shapes};
use micro_runtime::method::{EndpointDescriptor, Idempotency, Kind, ValueDescriptor};
use prost_reflect::DescriptorPool;

/// A tree as text: `name type`, its fields set in.
fn text(value: &ValueDescriptor, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    writeln!(out, "{indent}{} {}", value.name, value.kind).unwrap();
    for field in value.values {
        text(field, depth + 1, out);
    }
}

fn request(endpoint: &EndpointDescriptor) -> String {
    let mut out = String::new();
    text(&endpoint.request, 0, &mut out);
    out
}

#[test]
fn methods_know_their_names_kinds_and_idempotency() {
    let [one, down, up, both] = &kinds::KINDS_METHODS;
    assert_eq!(
        (&*one.package, &*one.endpoint, &*one.path, one.index),
        ("kinds", "Kinds.One", "/kinds.Kinds/One", 0)
    );
    assert_eq!(
        [one, down, up, both].map(|method| method.kind),
        [
            Kind::Unary,
            Kind::ServerStream,
            Kind::ClientStream,
            Kind::Bidi
        ]
    );
    assert_eq!(
        [one, down, up].map(|method| method.idempotency),
        [
            Idempotency::NoSideEffects,
            Idempotency::Idempotent,
            Idempotency::Unknown
        ]
    );
    assert_eq!(kinds::KINDS_DESCRIPTOR.full_name, "kinds.Kinds");
    assert_eq!(names::names::NOTHING_DESCRIPTOR.methods.len(), 0);
}

#[test]
fn without_a_package_paths_have_none() {
    let method = &micro_compile_tests::PLAINS_METHODS[0];
    assert_eq!((&*method.package, &*method.path), ("", "/Plains/Get"));
    assert_eq!(plain::inner::Inner::default().name, "");
}

#[test]
fn value_trees_have_gos_names_and_types_three_levels_deep() {
    let endpoint = &old::old::OLDS_DESCRIPTOR.endpoints[0];
    assert_eq!(endpoint.name, "Olds.Keep");
    assert_eq!(
        request(endpoint),
        "\
Old Old
  name string
  count int32
  greeting string
  blob []uint8
  level Old_Level
  ratio float64
  yes bool
  numbers []int32
  packed []int32
  needed Old_Level
  inner Old
    name string
    count int32
    greeting string
    blob []uint8
    level Old_Level
    ratio float64
    yes bool
    numbers []int32
    packed []int32
    needed Old_Level
    inner Old
    part Old_Part
    piece []Old_Piece
    isOld_Choice isOld_Choice
    levels 
  part Old_Part
    text string
  piece []Old_Piece
  isOld_Choice isOld_Choice
  levels 
"
    );
    let endpoint = &shapes::SHAPES_DESCRIPTOR.endpoints[0];
    let tree = request(endpoint);
    for line in [
        "  blobs []\n",
        "  color Color\n",
        "  size Shape_Size\n",
        "  maybe_string string\n",
        "  isShape_Corner isShape_Corner\n  isShape_Other isShape_Other\n  any Any\n    type_url string\n    value []uint8\n",
        "  timestamp Timestamp\n    seconds int64\n    nanos int32\n",
        "  text StringValue\n    value string\n",
        "  numbers []Int64Value\n",
    ] {
        assert!(tree.contains(line), "{line} is not in\n{tree}");
    }
}

#[test]
fn streams_are_described_as_go_sees_their_handlers() {
    for endpoint in &kinds::KINDS_DESCRIPTOR.endpoints[1..] {
        assert_eq!(
            (endpoint.request.name, endpoint.request.kind),
            ("Context", "Context")
        );
        assert_eq!(
            (endpoint.response.name, endpoint.response.kind),
            ("Stream", "Stream")
        );
        assert_eq!(endpoint.metadata, [("stream", "true")]);
    }
}

#[test]
fn routes_are_endpoint_metadata_in_go_micros_keys() {
    let [get, put, watch, bare] = routes::routes::ROUTES_DESCRIPTOR.endpoints else {
        panic!("four endpoints");
    };
    assert_eq!(
        get.metadata,
        [
            ("endpoint", "Routes.Get"),
            ("path", "/v1/things/{name}"),
            ("method", "GET"),
            ("handler", "rpc"),
        ]
    );
    assert_eq!(
        put.metadata,
        [
            ("endpoint", "Routes.Put"),
            ("path", "/v1/things,/v1/things/{name}"),
            ("method", "POST,PUT,GET,PURGE"),
            ("body", "*"),
            ("handler", "rpc"),
            (
                "bindings",
                "POST /v1/things *|PUT /v1/things/{name} inner|GET /v1/things|PURGE /v1/things"
            ),
        ]
    );
    assert_eq!(
        watch.metadata,
        [
            ("stream", "true"),
            ("endpoint", "Routes.Watch"),
            ("path", "/v1/things:watch"),
            ("method", "GET"),
            ("handler", "rpc"),
        ]
    );
    assert_eq!(bare.metadata, []);
}

#[test]
fn the_descriptor_set_has_all_imports_and_custom_options_and_no_comments() {
    let set = routes::routes::ROUTES_DESCRIPTOR.file_descriptor_set;
    let pool = DescriptorPool::decode(set).unwrap();
    let files: Vec<_> = pool.files().map(|file| file.name().to_owned()).collect();
    assert_eq!(
        files,
        [
            "google/api/http.proto",
            "google/protobuf/descriptor.proto",
            "google/api/annotations.proto",
            "routes.proto"
        ]
    );
    let http = pool.get_extension_by_name("google.api.http").unwrap();
    let service = pool.get_service_by_name("routes.Routes").unwrap();
    let given: Vec<bool> = service
        .methods()
        .map(|method| method.options().has_extension(&http))
        .collect();
    assert_eq!(given, [true, true, true, false]);
    let file = pool.get_file_by_name("routes.proto").unwrap();
    assert!(file.file_descriptor_proto().source_code_info.is_none());
}
