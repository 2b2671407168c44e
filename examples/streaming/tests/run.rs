//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn prints_what_it_says() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-streaming"));
    assert_eq!(
        printed,
        "count: 1\ncount: 2\ncount: 3\nadd: 6\nrunning total: Some(10)\nrunning total: Some(30)\nrunning total: None\ntoo many: counter.count: that would take too long (400 Bad Request)\n"
    );
}
