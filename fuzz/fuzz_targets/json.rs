//! The JSON reader, and what it has read written and read again.
#![no_main]

use bytes::{Bytes, BytesMut};
use micro_runtime::codec::{Codec, Codecs};
use prost_types::Struct;

libfuzzer_sys::fuzz_target!(|input: &[u8]| {
    let codecs = Codecs::server();
    let codec: &dyn Codec = &**codecs.get("application/json").expect("it is built in");
    let mut read = Struct::default();
    if codec
        .decode(Bytes::copy_from_slice(input), &mut read)
        .is_ok()
    {
        let mut written = BytesMut::new();
        if codec.encode(&read, &mut written).is_ok() {
            let mut again = Struct::default();
            codec
                .decode(written.freeze(), &mut again)
                .expect("what we write we read");
            assert_eq!(again, read);
        }
    }
});
