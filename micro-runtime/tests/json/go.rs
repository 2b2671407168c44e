//! What go-micro v4.11.0 writes for each recipe of the kitchen, recorded by its `jsontable`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use prost::Message as _;
use serde_json::Value;

use super::generated::kitchen::Dish;
use super::support::{CANONICAL, GO, ORIGINAL, dynamic, other, read, same, types, write};

pub struct Recipe {
    pub name: String,
    pub dish: Dish,
    columns: Value,
}

impl Recipe {
    /// Go's bytes, or its error.
    fn go(&self, column: &str) -> Result<String, String> {
        match &self.columns[column] {
            Value::String(bytes) => Ok(String::from_utf8(STANDARD.decode(bytes).unwrap()).unwrap()),
            error => Err(error["error"].as_str().unwrap().to_owned()),
        }
    }
}

pub fn recipes() -> Vec<Recipe> {
    let lines = include_str!("go_micro.jsonl").lines();
    let recipes = lines.map(|line| {
        let columns: Value = serde_json::from_str(line).unwrap();
        let protobuf = STANDARD
            .decode(columns["protobuf"].as_str().unwrap())
            .unwrap();
        Recipe {
            name: columns["case"].as_str().unwrap().to_owned(),
            dish: Dish::decode(&*protobuf).unwrap(),
            columns,
        }
    });
    recipes.collect()
}

fn canonical(dish: &Dish) -> String {
    other(&dynamic("kitchen.Dish", dish), true).unwrap()
}

#[test]
fn a_server_writes_json_rpc_byte_for_byte_as_go_does() {
    for recipe in recipes() {
        let ours =
            write(&GO.with_types(types()), &recipe.dish).map_err(|error| error.detail().to_owned());
        match (ours, recipe.go("json")) {
            (Ok(ours), Ok(go)) => assert_eq!(ours + "\n", go, "{}", recipe.name),
            // Go also names its own type of the map's values.
            (Err(ours), Err(go)) => {
                let same = |text: &str| {
                    text.contains("unsupported value: NaN")
                        || text.contains("unsupported type: map")
                };
                assert!(same(&ours) && same(&go), "{}: {ours:?} {go:?}", recipe.name);
            }
            (ours, go) => panic!("{}: {ours:?} {go:?}", recipe.name),
        }
    }
}

#[test]
fn everything_that_go_writes_is_read() {
    for recipe in recipes() {
        for (column, lost) in [
            ("json", &[][..]),
            ("grpc_server", &["wrapper_zero"]),
            ("grpc_client", &[]),
        ] {
            let Ok(json) = recipe.go(column) else {
                continue;
            };
            for codec in [ORIGINAL, GO, CANONICAL] {
                // Only the canonical dialect minds what follows a document, and a line feed is nothing.
                let dish: Dish = read(&codec.with_types(types()), &json).unwrap();
                let same = same(&canonical(&dish), &canonical(&recipe.dish));
                assert_eq!(
                    same,
                    !lost.contains(&&*recipe.name),
                    "{column} {}",
                    recipe.name
                );
            }
        }
    }
}

#[test]
fn original_names_are_what_gos_grpc_server_writes() {
    for recipe in recipes() {
        // jsonpb has null for an empty BytesValue, and leaves -0 out.
        if ["wrapper_zero", "negative_zero"].contains(&&*recipe.name) {
            continue;
        }
        let ours = write(&ORIGINAL.with_types(types()), &recipe.dish).unwrap();
        let mut go: Value = serde_json::from_str(&recipe.go("grpc_server").unwrap()).unwrap();
        // jsonpb keeps the strings that 64-bit integers are in canonical JSON; elsewhere only.
        unquote(&mut go);
        let mut ours: Value = serde_json::from_str(&ours).unwrap();
        unquote(&mut ours);
        assert!(
            same(&ours.to_string(), &go.to_string()),
            "{}:\n{ours}\n{go}",
            recipe.name
        );
    }
}

/// Makes numbers of strings that hold integers: only the dialects' difference in 64 bits is in them.
fn unquote(value: &mut Value) {
    match value {
        Value::String(text) => {
            if let Ok(number) = text.parse::<i64>() {
                *value = number.into();
            } else if let Ok(number) = text.parse::<u64>() {
                *value = number.into();
            }
        }
        Value::Array(items) => items.iter_mut().for_each(unquote),
        Value::Object(members) => members.values_mut().for_each(unquote),
        _ => {}
    }
}

#[test]
fn the_canonical_dialect_is_what_gos_grpc_client_writes() {
    for recipe in recipes() {
        let ours = write(&CANONICAL.with_types(types()), &recipe.dish).unwrap();
        let go = recipe.go("grpc_client").unwrap();
        assert!(same(&ours, &go), "{}:\n{ours}\n{go}", recipe.name);
    }
}
