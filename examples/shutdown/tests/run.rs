//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn a_call_that_runs_is_answered_before_the_service_ends() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-shutdown"));
    assert_eq!(
        printed,
        "hook: before start\nhook: after start\nhandler: begun, and asking the process to stop\nhook: before stop\nhandler: done\ncaller: Hello John\nhook: after stop, nothing is served any more\n"
    );
}
