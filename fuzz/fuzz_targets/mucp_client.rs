//! The client side of mucp against any bytes.
#![no_main]

use std::sync::Arc;

use micro_runtime::protocol::mucp::Mucp;

libfuzzer_sys::fuzz_target!(|input: &[u8]| micro_fuzz::client(Arc::new(Mucp::default()), input));
