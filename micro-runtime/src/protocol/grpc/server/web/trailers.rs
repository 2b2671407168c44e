//! gRPC-Web's trailers: the last frame of the body, in lines as HTTP/1.1 has them.

use bytes::{BufMut, Bytes, BytesMut};
use http::HeaderMap;

/// The flag of the frame.
const FLAG: u8 = 0x80;

/// The frame that says `trailers`.
pub(super) fn frame(trailers: &HeaderMap) -> Bytes {
    let length: usize = trailers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    let mut frame = BytesMut::with_capacity(length + 5);
    frame.put_u8(FLAG);
    // Trailers are far below 4 GiB: they are bounded where they are made.
    frame.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    for (name, value) in trailers {
        frame.extend_from_slice(name.as_str().as_bytes());
        frame.extend_from_slice(b": ");
        frame.extend_from_slice(value.as_bytes());
        frame.extend_from_slice(b"\r\n");
    }
    frame.freeze()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn trailers_are_lines_in_a_frame() {
        let trailers = HeaderMap::from_iter([
            (
                http::HeaderName::from_static("grpc-status"),
                HeaderValue::from_static("0"),
            ),
            (
                http::HeaderName::from_static("took"),
                HeaderValue::from_static("long"),
            ),
        ]);
        let lines = b"grpc-status: 0\r\ntook: long\r\n";
        let frame = frame(&trailers);
        assert_eq!(frame[..5], [0x80, 0, 0, 0, lines.len() as u8]);
        assert_eq!(&frame[5..], lines);
    }
}
