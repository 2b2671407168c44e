//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn prints_what_it_says() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-selector"));
    assert_eq!(
        printed,
        "all in turn: a, b, c\n\
         the latest: b, c, b\n\
         the latest in Europe: b, b, b\n\
         1.9.0: a, a, a\n\
         not a: c, b, c\n\
         the last: c\n\
         by weight: b\n\
         user-1: b, b, b\n\
         user-2: a, a, a\n\
         user-3: b, b, b\n\
         on the canary: 6\n\
         near: c, c, c\n\
         in both: error selecting examples.selector node: none available\n"
    );
}
