//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn prints_what_it_says() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-pubsub"));
    assert_eq!(
        printed,
        "a mail to John for blue\nno mail: mails: whom? (400 Bad Request)\n"
    );
}
