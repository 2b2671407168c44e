//! JSON in each dialect against go-micro's own codecs, for every recipe and every field: what Go
//! writes we write too or read, and what we write Go reads.
#![allow(clippy::unwrap_used, reason = "a test fails so")]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use micro_runtime::codec::{self, JsonCodec, Types};
use micro_tests::peers::Program;
use micro_tests::proto::kitchen::Dish;
use micro_tests::proto::kitchen::dish::Inner;
use micro_tests::recipes::difference;
use prost::Message as _;
use serde_json::{Value, json};

const ORIGINAL: JsonCodec = JsonCodec::original_names("application/json");
const GO: JsonCodec = JsonCodec::go("application/json-rpc");
const CANONICAL: JsonCodec = JsonCodec::canonical("application/grpc+json");

/// A recipe, and what Go writes of it in each encoding.
struct Row {
    name: String,
    dish: Dish,
    columns: Value,
}

impl Row {
    fn go(&self, column: &str) -> Result<String, String> {
        let cell = &self.columns[column];
        match cell["bytes"].as_str() {
            Some(bytes) => Ok(text(bytes)),
            None => Err(cell["error"].as_str().unwrap_or_default().to_owned()),
        }
    }
}

fn text(base64: &str) -> String {
    String::from_utf8(STANDARD.decode(base64).unwrap()).unwrap()
}

fn dish(base64: &Value) -> Dish {
    let bytes = STANDARD.decode(base64.as_str().unwrap()).unwrap();
    Dish::decode(&*bytes).unwrap()
}

fn types() -> Types {
    Types::new().with::<Dish>().with::<Inner>()
}

fn write(codec: JsonCodec, dish: &Dish) -> Result<String, String> {
    let json = codec::encode(&codec.with_types(types()), dish);
    json.map(|json| String::from_utf8(json.to_vec()).unwrap())
        .map_err(|error| error.detail().to_owned())
}

fn jsontable() -> Command {
    let program = Program::go("jsontable");
    let mut command = Command::new(program.path());
    command.stderr(Stdio::inherit());
    command
}

fn table() -> Vec<Row> {
    let output = jsontable().output().unwrap();
    assert!(output.status.success());
    let lines = String::from_utf8(output.stdout).unwrap();
    let rows = lines.lines().map(|line| {
        let columns: Value = serde_json::from_str(line).unwrap();
        Row {
            name: columns["case"].as_str().unwrap().to_owned(),
            dish: dish(&columns["protobuf"]["bytes"]),
            columns,
        }
    });
    rows.collect()
}

/// What Go reads from each body, in order: the dish or the error.
fn ask(questions: &[(&str, &str)]) -> Vec<Result<Dish, String>> {
    let mut child = jsontable()
        .arg("-read")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    let lines: String = (questions.iter())
        .map(|(codec, body)| {
            json!({"codec": codec, "body": STANDARD.encode(body)}).to_string() + "\n"
        })
        .collect();
    // It answers at once, so that writing all before reading would fill both pipes.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    let answers = String::from_utf8(output.stdout).unwrap();
    let answers = answers.lines().map(|line| {
        let answer: Value = serde_json::from_str(line).unwrap();
        match answer["error"].as_str() {
            Some(error) => Err(error.to_owned()),
            None => Ok(dish(&answer["protobuf"])),
        }
    });
    answers.collect()
}

#[test]
fn a_server_writes_json_rpc_byte_for_byte_as_go() {
    for row in table() {
        let ours = write(GO, &row.dish);
        for column in ["json_rpc_payload", "json", "encoding_json"] {
            match (&ours, row.go(column)) {
                (Ok(ours), Ok(go)) => assert_eq!(ours, go.trim_end_matches('\n'), "{}", row.name),
                // Go names the type of its map, and we the field.
                (Err(ours), Err(go)) => {
                    let end = ours
                        .find(" with ")
                        .or(ours.find(" ("))
                        .unwrap_or(ours.len());
                    assert!(
                        go.starts_with(&ours[..end]),
                        "{}: {ours:?} and {go:?}",
                        row.name
                    );
                }
                (ours, go) => panic!("{}: {ours:?} and {go:?}", row.name),
            }
        }
    }
}

#[test]
fn everything_that_go_writes_is_read() {
    let mut lost = Vec::new();
    for row in table() {
        for column in ["json", "json_rpc_payload", "grpc_server", "grpc_client"] {
            let Ok(json) = row.go(column) else { continue };
            for codec in [ORIGINAL, GO, CANONICAL] {
                let codec = codec.with_types(types());
                let got: Dish = codec::decode(&codec, json.clone().into()).unwrap();
                if let Some(difference) = difference(&row.dish, &got) {
                    lost.push(format!("{column} {}: {difference}", row.name));
                }
            }
        }
    }
    lost.dedup();
    // jsonpb writes null for it.
    let known = "grpc_server wrapper_zero: dish.bytes_wrapper: want set, got not set";
    assert_eq!(lost, [known]);
}

#[test]
fn what_we_write_go_reads() {
    let table = table();
    let mut bodies = Vec::new();
    let mut unwritten = BTreeMap::new();
    for row in &table {
        for (reader, codec) in [
            ("json", ORIGINAL),
            ("json_rpc_payload", GO.for_client()),
            ("grpc_server", ORIGINAL),
            ("grpc_server", CANONICAL),
            ("grpc_client", CANONICAL),
        ] {
            match write(codec, &row.dish) {
                Ok(body) => bodies.push((row, reader, body)),
                Err(error) => drop(unwritten.insert(row.name.as_str(), error)),
            }
        }
    }
    let questions: Vec<_> = (bodies.iter())
        .map(|(_, reader, body)| (*reader, body.as_str()))
        .collect();
    let answers = ask(&questions);
    assert_eq!(answers.len(), bodies.len());
    let mut amiss = BTreeMap::<String, Vec<&str>>::new();
    for ((row, reader, body), answer) in bodies.iter().zip(&answers) {
        let what = match answer {
            Ok(got) => difference(&row.dish, got),
            Err(error) => Some(error.clone()),
        };
        if let Some(what) = what {
            println!("{reader} {}: {what}\n  {body}", row.name);
            let dialect = if body.ends_with('\n') { "original" } else { "" };
            amiss
                .entry(format!("{reader} {dialect}"))
                .or_default()
                .push(&row.name);
        }
    }
    // Go's own limits, which its own JSON has too: see tests/peers/README.md.
    let known = [
        // A Duration beyond 292 years.
        ("json original", &["duration_limits"][..]),
        ("grpc_server original", &["duration_limits"]),
        // And a FieldMask as the string that canonical JSON has for it.
        (
            "grpc_server ",
            &[
                "duration_limits",
                "fieldmask",
                "full",
                "full_plain",
                "field_field_mask",
            ],
        ),
        // encoding/json drops a null without a word.
        ("json_rpc_payload ", &["value_null"]),
    ];
    let known = known.map(|(reader, names)| (reader.to_owned(), names.to_vec()));
    assert_eq!(amiss, known.into());
    // A client refuses for json-rpc what Go would drop or cannot write.
    for (name, error) in unwritten {
        let oneof = name.contains("oneof") || name.ends_with("_choice") || name == "full";
        assert!(
            match oneof {
                true => error.contains("cannot carry a oneof that is set"),
                false => ["nan", "map_bool", "field_bool_inner_map"].contains(&name),
            },
            "{name}: {error}"
        );
    }
}
