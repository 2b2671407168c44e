//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn prints_what_it_says() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-resilience"));
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(
        lines,
        [
            "timeout: 1 of 2 calls gave up",
            "another try: 2 of 2 calls were answered",
            "hedging: 2 of 2 calls were answered, quickly: true",
            "a full node: 10 of 10 calls were answered",
            "a storm: call 1 failed after 6 tries",
            "  policy: all 5 retries that are allowed were made",
            "a storm: call 2 failed after 6 tries",
            "  policy: all 5 retries that are allowed were made",
            "a storm: call 3 failed after 1 tries",
            "  budget: 10 further tries were made in the last 10 s, of 10 that 3 calls allow",
            "a rate limit: 8 of 8 calls were answered",
            "a breaker: call 6 failed: not today",
            "a breaker: call 7 failed: circuit breaker is open",
            "  Say.Hello is open",
        ]
    );
}
