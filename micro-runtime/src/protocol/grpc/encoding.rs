//! How messages are compressed: which names there are, and what stands behind them.

use bytes::Bytes;
use http::HeaderValue;

#[cfg(feature = "zstd")]
use super::zstd;
use super::{Grpc, gzip};
use crate::error::Error;

/// What messages are compressed with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// gzip, which everybody reads.
    #[default]
    Gzip,
    /// zstd: quicker to read, and smaller.
    #[cfg(feature = "zstd")]
    Zstd,
}

impl Compression {
    /// The one called `name`, where this build has it.
    pub fn from_name(name: &str) -> Option<Self> {
        ALL.into_iter().find(|one| one.name() == name)
    }

    /// `message` compressed.
    pub(super) fn pack(self, message: &[u8]) -> Result<Bytes, Error> {
        match self {
            Self::Gzip => gzip::compress(message),
            #[cfg(feature = "zstd")]
            Self::Zstd => Ok(zstd::compress(message)),
        }
    }

    /// Its name in `grpc-encoding`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => gzip::NAME,
            #[cfg(feature = "zstd")]
            Self::Zstd => zstd::NAME,
        }
    }
}

/// Those that are read, best first.
#[cfg(feature = "zstd")]
const ALL: [Compression; 2] = [Compression::Zstd, Compression::Gzip];
#[cfg(not(feature = "zstd"))]
const ALL: [Compression; 1] = [Compression::Gzip];

/// What is read of compressed messages, as heads say it.
#[cfg(feature = "zstd")]
pub(super) const READS: HeaderValue = HeaderValue::from_static("identity,gzip,zstd");
#[cfg(not(feature = "zstd"))]
pub(super) const READS: HeaderValue = HeaderValue::from_static("identity,gzip");

/// How messages of one direction are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Not at all.
    #[default]
    Identity,
    /// So, those whose flag says that they are.
    With(Compression),
}

impl Encoding {
    /// What a head names; `None` where that is not read here.
    pub(super) fn read(name: Option<&[u8]>) -> Option<Self> {
        match name {
            None | Some(b"" | b"identity") => Some(Self::Identity),
            Some(name) => ALL
                .into_iter()
                .find(|one| one.name().as_bytes() == name)
                .map(Self::With),
        }
    }

    /// That of a client's requests: it cannot know what the server reads.
    pub(super) fn of_requests(settings: &Grpc) -> Self {
        match settings.compress {
            true => Self::With(settings.compression),
            false => Self::Identity,
        }
    }

    /// That of replies to a caller who reads those that `reads` says: the one that is set, or else
    /// another one.
    pub(super) fn of_replies(settings: &Grpc, reads: impl Fn(&str) -> bool) -> Self {
        if !settings.compress {
            return Self::Identity;
        }
        std::iter::once(settings.compression)
            .chain(ALL)
            .find(|one| reads(one.name()))
            .map_or(Self::Identity, Self::With)
    }

    /// As heads name it; `None` for nothing.
    pub(super) fn name(self) -> Option<HeaderValue> {
        match self {
            Self::Identity => None,
            Self::With(compression) => Some(HeaderValue::from_static(compression.name())),
        }
    }

    /// `message` compressed, where that is worth it.
    pub(super) fn pack(self, message: &[u8]) -> Result<Option<Bytes>, Error> {
        match self {
            Self::With(compression) if message.len() >= WORTH => {
                compression.pack(message).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// What `packed` holds, where that is not more than `most` bytes.
    pub(super) fn unpack(self, packed: Bytes, most: usize) -> Result<Bytes, Error> {
        match self {
            Self::Identity => Ok(packed),
            Self::With(Compression::Gzip) => gzip::decompress(&packed, most),
            #[cfg(feature = "zstd")]
            Self::With(Compression::Zstd) => zstd::decompress(&packed, most),
        }
    }
}

/// Smaller messages gain nothing from being compressed.
const WORTH: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_heads_name_is_found_and_named_so() {
        assert_eq!(Encoding::read(None), Some(Encoding::Identity));
        assert_eq!(Encoding::read(Some(b"identity")), Some(Encoding::Identity));
        assert_eq!(Encoding::read(Some(b"br")), None);
        let reads = READS;
        let reads = reads.to_str().unwrap();
        for one in ALL {
            let encoding = Encoding::With(one);
            assert_eq!(Encoding::read(Some(one.name().as_bytes())), Some(encoding));
            assert_eq!(encoding.name().unwrap(), one.name());
            assert_eq!(Compression::from_name(one.name()), Some(one));
            assert!(reads.split(',').any(|name| name == one.name()));
        }
        assert_eq!(reads.split(',').count(), ALL.len() + 1);
    }

    #[test]
    fn replies_are_compressed_with_what_the_caller_reads() {
        let mut settings = Grpc::new();
        let gzip = |name: &str| name == "gzip";
        assert_eq!(Encoding::of_replies(&settings, gzip), Encoding::Identity);
        settings.compress = true;
        for one in ALL {
            settings.compression = one;
            let replies = |reads: &dyn Fn(&str) -> bool| Encoding::of_replies(&settings, reads);
            assert_eq!(replies(&gzip), Encoding::With(Compression::Gzip));
            assert_eq!(replies(&|_| true), Encoding::With(one));
            assert_eq!(replies(&|_| false), Encoding::Identity);
        }
    }

    #[test]
    fn messages_are_the_same_after_every_compression() {
        let texts = [
            vec![0; 100_000],
            b"a text of some length, again and again. ".repeat(400),
            (0..50_000_u32)
                .flat_map(|n| n.wrapping_mul(2_654_435_761).to_le_bytes())
                .collect(),
        ];
        for one in ALL {
            for text in &texts {
                let encoding = Encoding::With(one);
                let packed = encoding.pack(text).unwrap().unwrap();
                assert_eq!(encoding.unpack(packed.clone(), text.len()).unwrap(), text);
                // One byte more than is taken.
                let error = encoding.unpack(packed.clone(), text.len() - 1).unwrap_err();
                assert_eq!(error.grpc_code(), Some(8), "{one:?}");
                let cut = packed.slice(..packed.len() - 3);
                let error = encoding.unpack(cut, text.len()).unwrap_err();
                assert_eq!(error.grpc_code(), Some(13), "{one:?}");
            }
            assert_eq!(Encoding::With(one).pack(&[0; 1023]).unwrap(), None);
        }
    }
}
