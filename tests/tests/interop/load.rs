//! Many calls, in turn and at once, without one lost.

use crate::{Direction, Report};

/// The content types that are put under load.
const LOADED: [&str; 2] = ["application/protobuf", "application/json"];

pub(crate) fn run(direction: Direction, report: &mut Report) {
    let server = direction.serve("greeter");
    let caller = direction.caller("greeter").with(&[&server.as_flag()]);
    for (call, flags) in [
        ("10,000 calls in turn", ["n=10000", "parallel=1"]),
        ("64 × 1,000 calls at once", ["n=1000", "parallel=64"]),
    ] {
        report.row(direction, call, |content_type| {
            if !LOADED.contains(&content_type) {
                return Ok("–".to_owned());
            }
            let content_type = format!("content_type={content_type}");
            let ended = caller.run(&[&content_type, "call=hello", flags[0], flags[1]]);
            // Calls that go well say nothing when there are many.
            if ended.is_ok() && ended.lines.is_empty() {
                Ok("ok".to_owned())
            } else {
                Err(ended.to_string())
            }
        });
    }
}
