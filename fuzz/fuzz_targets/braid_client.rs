//! The client side of braid against any bytes.
#![no_main]

use std::sync::Arc;

use micro_runtime::protocol::braid::Braid;

libfuzzer_sys::fuzz_target!(|input: &[u8]| micro_fuzz::client(Arc::new(Braid::default()), input));
