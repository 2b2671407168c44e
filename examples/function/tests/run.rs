//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn serves_one_call_and_exits() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-function"));
    assert_eq!(
        printed,
        "function: called by John\ncaller: Hello John\nfunction: deregistered, drained, done\ncaller: nobody is there any more\n"
    );
}
