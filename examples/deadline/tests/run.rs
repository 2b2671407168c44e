//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn prints_what_it_says() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-deadline"));
    // The caller's own clock and the back's end the call at about the same time.
    let mut lines: Vec<_> = printed.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "back: 2 s left for John",
            "back: nobody waits any more",
            "caller: code 408"
        ]
    );
}
