//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn prints_what_it_says() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-wrappers"));
    assert_eq!(
        printed,
        concat!(
            "Say.Hello: ok\nHello John, says Jane\nid r-17\n",
            "Say.Hello: greeter.auth: a token is needed (401 Unauthorized)\n401\n",
            "Say.Hello: go.micro.server: name: must not be empty (400 Bad Request)\n400\n",
        )
    );
}
