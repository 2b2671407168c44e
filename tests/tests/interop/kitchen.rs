//! All types of messages in all encodings: the recipes of `tests/peers`, made, echoed and checked.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use micro_tests::peers::{Ended, Program};
use micro_tests::recipes;

use crate::{Direction, Report};

/// What does not come through, by no fault of the messages: each with the words of the failure.
/// Anything else must, and these must not: an exception that is none any more fails too.
struct Exception {
    to: fn(Direction) -> bool,
    content_types: &'static [&'static str],
    calls: &'static [&'static str],
    recipes: &'static [&'static str],
    words: &'static str,
    /// For the notes under the table.
    why: &'static str,
}

const PROTOBUF: [&str; 2] = ["application/protobuf", "application/proto-rpc"];
const JSON: [&str; 1] = ["application/json"];
const JSON_RPC: [&str; 1] = ["application/json-rpc"];

const BOOL_MAPS: [&str; 2] = ["map_bool", "field_bool_inner_map"];
const ONEOFS: [&str; 14] = [
    "full",
    "oneof_bytes",
    "oneof_enum",
    "oneof_int",
    "oneof_message",
    "oneof_string",
    "oneof_timestamp",
    "oneof_zero",
    "field_string_choice",
    "field_int_choice",
    "field_message_choice",
    "field_enum_choice",
    "field_bytes_choice",
    "field_timestamp_choice",
];

fn go_calls(direction: Direction) -> bool {
    direction.calls_go() && direction != Direction::GoToGo
}

fn go_serves(direction: Direction) -> bool {
    direction.serves_go() && direction != Direction::GoToGo
}

fn go_calls_mucp(direction: Direction) -> bool {
    go_calls(direction) && !direction.is_grpc()
}

fn go_serves_mucp(direction: Direction) -> bool {
    go_serves(direction) && !direction.is_grpc()
}

fn rust_calls(direction: Direction) -> bool {
    !direction.calls_go()
}

const EXCEPTIONS: [Exception; 18] = [
    // What our side cannot write.
    Exception {
        to: go_calls,
        content_types: &PROTOBUF,
        calls: &["make", "echo"],
        recipes: &["negative_zero"],
        words: "a_double: want set, got not set",
        why: "prost does not write a negative zero that is a field of its own",
    },
    Exception {
        to: go_serves,
        content_types: &PROTOBUF,
        calls: &["check"],
        recipes: &["negative_zero"],
        words: "a_double: want set, got not set",
        why: "prost does not write a negative zero that is a field of its own",
    },
    // application/json: Go writes with encoding/json and reads with jsonpb.
    Exception {
        to: go_calls_mucp,
        content_types: &JSON,
        calls: &["make", "echo"],
        recipes: &["duration_limits"],
        words: "bad Duration",
        why: "Go reads at most 292 years from JSON",
    },
    Exception {
        to: go_serves,
        content_types: &JSON,
        calls: &["echo", "check"],
        recipes: &["duration_limits"],
        words: "bad Duration",
        why: "Go reads at most 292 years from JSON",
    },
    Exception {
        to: go_calls_mucp,
        content_types: &JSON,
        calls: &["echo", "check"],
        recipes: &BOOL_MAPS,
        words: "unsupported type: map[bool]",
        why: "Go's encoding/json has no map with bool keys",
    },
    Exception {
        to: go_serves_mucp,
        content_types: &JSON,
        calls: &["make", "echo"],
        recipes: &BOOL_MAPS,
        words: "unsupported type: map[bool]",
        why: "Go's encoding/json has no map with bool keys",
    },
    Exception {
        to: go_calls_mucp,
        content_types: &JSON,
        calls: &["echo", "check"],
        recipes: &["nan"],
        words: "unsupported value: NaN",
        why: "Go's encoding/json has no NaN",
    },
    Exception {
        to: go_serves_mucp,
        content_types: &JSON,
        calls: &["make", "echo"],
        recipes: &["nan"],
        words: "unsupported value: NaN",
        why: "Go's encoding/json has no NaN",
    },
    Exception {
        to: go_calls_mucp,
        content_types: &JSON,
        calls: &["echo"],
        recipes: &["negative_zero"],
        words: "a_double: want set, got not set",
        why: "Go's encoding/json leaves out a negative zero",
    },
    // application/json-rpc is encoding/json both ways, and ours says what that would say.
    Exception {
        to: |_| true,
        content_types: &JSON_RPC,
        calls: &["make", "echo", "check"],
        recipes: &BOOL_MAPS,
        words: "unsupported type: map",
        why: "Go's encoding/json has no map with bool keys",
    },
    Exception {
        to: |_| true,
        content_types: &JSON_RPC,
        calls: &["make", "echo", "check"],
        recipes: &["nan"],
        words: "unsupported value: NaN",
        why: "Go's encoding/json has no NaN",
    },
    Exception {
        to: go_calls,
        content_types: &JSON_RPC,
        calls: &["make", "echo"],
        recipes: &ONEOFS,
        words: "cannot unmarshal object into Go struct field Dish.Choice",
        why: "Go's encoding/json reads no oneof, and our client refuses to send one",
    },
    Exception {
        to: rust_calls,
        content_types: &JSON_RPC,
        calls: &["echo", "check"],
        recipes: &ONEOFS,
        words: "application/json-rpc cannot carry a oneof that is set",
        why: "Go's encoding/json reads no oneof, and our client refuses to send one",
    },
    Exception {
        to: go_calls,
        content_types: &JSON_RPC,
        calls: &["make", "echo"],
        recipes: &["value_null"],
        words: "value: want set, got not set",
        why: "Go's encoding/json takes a null value for none",
    },
    Exception {
        to: go_serves,
        content_types: &JSON_RPC,
        calls: &["echo", "check"],
        recipes: &["value_null"],
        words: "value: want set, got not set",
        why: "Go's encoding/json takes a null value for none",
    },
    Exception {
        to: go_calls,
        content_types: &JSON_RPC,
        calls: &["make", "echo"],
        recipes: &["negative_zero"],
        words: "a_double: want set, got not set",
        why: "Go's encoding/json leaves out a negative zero",
    },
    Exception {
        to: go_serves,
        content_types: &JSON_RPC,
        calls: &["check"],
        recipes: &["negative_zero"],
        words: "a_double: want set, got not set",
        why: "Go's encoding/json leaves out a negative zero",
    },
    // gRPC's JSON is proto3's on both sides, but for this.
    Exception {
        to: |direction| direction == Direction::GrpcRustToGo,
        content_types: &JSON,
        calls: &["make", "echo"],
        recipes: &["wrapper_zero"],
        words: "bytes_wrapper: want set, got not set",
        why: "Go's gRPC plugin writes null for an empty BytesValue",
    },
];

/// How the recipe must fail, if it must.
fn expected(
    direction: Direction,
    content_type: &str,
    call: &str,
    recipe: &str,
) -> Option<&'static Exception> {
    EXCEPTIONS.iter().find(|exception| {
        (exception.to)(direction)
            && exception.content_types.contains(&content_type)
            && exception.calls.contains(&call)
            && exception.recipes.contains(&recipe)
    })
}

/// The calls of the kitchen.
pub(crate) const CALLS: [&str; 3] = ["make", "echo", "check"];

pub(crate) fn run(direction: Direction, report: &mut Report) {
    let server = direction.serve("kitchen");
    let caller = direction.caller("kitchen").with(&[&server.as_flag()]);
    for call in CALLS {
        report.row(direction, &label(call), |content_type| {
            cell(direction, &caller, content_type, call)
        });
    }
}

/// What a call of the kitchen is in the table.
pub(crate) fn label(call: &str) -> String {
    format!("all types of messages, {call}")
}

/// Makes a call with each recipe.
pub(crate) fn cell(
    direction: Direction,
    caller: &Program,
    content_type: &str,
    call: &str,
) -> Result<String, String> {
    let flags = [
        format!("content_type={content_type}"),
        format!("call={call}"),
    ];
    let mut cell = Cell::default();
    for (all, recipes) in [
        ("all", recipes::names()),
        ("fields", recipes::field_names()),
    ] {
        let ended = caller.run(&[&flags[0], &flags[1], &format!("recipe={all}")]);
        for recipe in recipes {
            let expected = expected(direction, content_type, call, &recipe);
            cell.count(&ended, &recipe, expected);
        }
        cell.count_lines(&ended);
    }
    cell.finish()
}

/// What becomes a cell of the table.
#[derive(Default)]
struct Cell {
    ok: usize,
    notes: BTreeSet<usize>,
    all: usize,
    lines: usize,
    wrong: Vec<String>,
}

impl Cell {
    fn count(&mut self, ended: &Ended, recipe: &str, expected: Option<&Exception>) {
        self.all += 1;
        let equal = ended.lines.contains(&format!("OK equal {recipe}"));
        let failure = ["DIFF", "ERR"]
            .into_iter()
            .find_map(|kind| ended.line(&format!("{kind} {recipe} ")));
        match (expected, failure) {
            (None, None) if equal => self.ok += 1,
            (Some(exception), Some(words)) if !equal && words.contains(exception.words) => {
                self.notes.insert(exception.note());
            }
            (None, _) => self.wrong.push(format!("{recipe}: {failure:?}")),
            (Some(exception), _) => {
                self.wrong.push(format!(
                    "{recipe}: want {:?}, got {failure:?}",
                    exception.words
                ));
            }
        }
    }

    /// Each recipe has said one thing, and nothing else was said.
    fn count_lines(&mut self, ended: &Ended) {
        let of_recipes =
            |line: &&String| !line.starts_with("PARSED ") && !line.starts_with("FAILED ");
        self.lines += ended.lines.iter().filter(of_recipes).count();
        if self.lines != self.all {
            self.wrong.push(format!(
                "{} lines for {} recipes: {ended}",
                self.lines, self.all
            ));
        }
    }

    fn finish(self) -> Result<String, String> {
        match self {
            Self { wrong, .. } if !wrong.is_empty() => Err(wrong.join("\n  ")),
            Self { ok, all, .. } if ok == all => Ok("ok".to_owned()),
            Self { ok, all, notes, .. } => {
                let notes: Vec<_> = notes.iter().map(usize::to_string).collect();
                Ok(format!("{ok} of {all} ({})", notes.join(", ")))
            }
        }
    }
}

impl Exception {
    /// The number of its reason below the table.
    fn note(&self) -> usize {
        1 + reasons().iter().take_while(|why| **why != self.why).count()
    }
}

/// The reasons, each once, in the order of the exceptions.
fn reasons() -> Vec<&'static str> {
    let mut reasons: Vec<&str> = Vec::new();
    for exception in &EXCEPTIONS {
        if !reasons.contains(&exception.why) {
            reasons.push(exception.why);
        }
    }
    reasons
}

/// What the table says about messages that do not come through.
pub(crate) fn notes() -> String {
    let mut notes = String::from("Messages that do not come through, and why:\n\n");
    for (number, why) in (1..).zip(reasons()) {
        let _ = writeln!(notes, "{number}. {why}");
    }
    notes
}
