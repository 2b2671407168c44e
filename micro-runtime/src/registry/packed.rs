//! Text as Go Micro packs it into Consul's tags and mDNS records: lower-case hex of a zlib stream.

use std::fmt::Write as _;

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};

/// What packed text may hold, unpacked: a description of a service's endpoints has some kilobytes.
pub(super) const MAX_UNPACKED: usize = 1 << 20;
/// How much room is made at once.
const STEP: usize = 4 * 1024;

/// Packs `plain`; what comes out differs from Go's in bytes and not in meaning.
pub(super) fn pack(plain: &[u8]) -> String {
    let mut zlib = Compress::new(Compression::default(), true);
    // Deflate never needs more than this for stored blocks, so one call writes all.
    let mut packed = Vec::with_capacity(plain.len() + plain.len() / 1000 + 64);
    while let Ok(Status::Ok | Status::BufError) = {
        let read = usize::try_from(zlib.total_in()).unwrap_or(usize::MAX);
        let left = plain.get(read..).unwrap_or_default();
        zlib.compress_vec(left, &mut packed, FlushCompress::Finish)
    } {
        packed.reserve(STEP);
    }
    let mut hex = String::with_capacity(packed.len() * 2);
    for byte in packed {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// Unpacks what [`pack`] or Go Micro wrote; either case of hex. Go's streams stop without an end.
///
/// `None` for what is no hex, no zlib, or longer than 1 MiB unpacked.
pub(super) fn unpack(hex: &[u8]) -> Option<Vec<u8>> {
    let packed = from_hex(hex)?;
    let mut zlib = Decompress::new(true);
    let mut plain = Vec::new();
    loop {
        plain.reserve(STEP);
        let (read, wrote) = (zlib.total_in(), zlib.total_out());
        let left = packed.get(usize::try_from(read).ok()?..)?;
        let status = zlib
            .decompress_vec(left, &mut plain, FlushDecompress::Sync)
            .ok()?;
        if plain.len() > MAX_UNPACKED {
            return None;
        }
        match status {
            Status::StreamEnd => return Some(plain),
            _ if zlib.total_in() == read && zlib.total_out() == wrote => break,
            _ => {}
        }
    }
    // Without an end there was at least the beginning of a stream.
    (zlib.total_in() >= 2).then_some(plain)
}

fn from_hex(hex: &[u8]) -> Option<Vec<u8>> {
    let (pairs, odd) = hex.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs
        .iter()
        .map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        for plain in [
            "",
            "1.0.0",
            r#"{"broker":"http"}"#,
            &"endpoint ".repeat(10_000),
        ] {
            let packed = pack(plain.as_bytes());
            assert!(
                packed
                    .bytes()
                    .all(|b| b.is_ascii_digit() || b.is_ascii_lowercase())
            );
            assert_eq!(unpack(packed.as_bytes()).as_deref(), Some(plain.as_bytes()));
        }
    }

    #[test]
    fn streams_of_go_and_of_others_are_read() {
        for (packed, plain) in [
            // Go flushes and never ends the stream.
            (
                "789caa564a2acacf4e2d52b252ca28292950aa05040000ffff364d0600",
                r#"{"broker":"http"}"#,
            ),
            (
                "789CAA562A28CA2FC94FCECF51B252CA2D4D2E50AA05040000FFFF46A906E2",
                r#"{"protocol":"mucp"}"#,
            ),
            ("789c32d433d03300040000ffff02ce00ee", "1.0.0"),
            (
                "789cab564a2acacf4e2d52b252ca28292950aa0500364d0600",
                r#"{"broker":"http"}"#,
            ),
        ] {
            let read = unpack(packed.as_bytes());
            assert_eq!(read.as_deref(), Some(plain.as_bytes()), "{packed}");
        }
    }

    #[test]
    fn what_is_not_packed_text_and_what_grows_without_bound_is_refused() {
        let bomb = pack(&vec![b'a'; MAX_UNPACKED + 1]);
        for wrong in [
            "",
            "7",
            "zz",
            "78",
            "raefik.enable=true",
            "789cffffffff",
            &bomb,
        ] {
            assert_eq!(unpack(wrong.as_bytes()), None, "{:.40}", wrong);
        }
        assert!(unpack(pack(&vec![b'a'; MAX_UNPACKED]).as_bytes()).is_some());
    }
}
