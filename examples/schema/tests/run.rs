//! The example prints what it says.
#![allow(missing_docs)]

use example_testing::printed_by;

#[test]
fn prints_what_it_says() {
    let printed = printed_by(env!("CARGO_BIN_EXE_example-schema"));
    assert_eq!(
        printed,
        "v2: field 3 `note` of orders.Order is not here (request: harmless)\n\
         v3: field 2 `count` of orders.Order is string there and int32 here (request: cannot be read)\n\
         Place reaches {\"v1\", \"v2\"}, Track reaches {\"v1\", \"v2\", \"v3\"}\n\
         error selecting examples.orders node: none understands Orders.Place (examples.orders-v3: \
         field 2 `count` of orders.Order is string there and int32 here)\n\
         tracked by v3\n"
    );
}
