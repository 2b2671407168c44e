//! Metadata: an ordered map of text to text whose keys ignore case.
//!
//! Keys keep the spelling that they came with; `foo`, `Foo` and `FOO` are one key. Values that a
//! protocol read from a connection are slices of its buffer, so a map costs one allocation.

use std::fmt;
use std::ops::Deref;

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use bytes::Bytes;

/// Immutable UTF-8 text, cheap to clone; often a slice of a received buffer.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(Bytes);

impl Text {
    /// Text from a constant, without a copy.
    pub const fn from_static(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }

    /// Text from received bytes, without a copy.
    ///
    /// # Errors
    /// Gives the bytes back when they are not UTF-8.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, Bytes> {
        // Most text is ASCII, which is seen sooner.
        if bytes.is_ascii() || std::str::from_utf8(&bytes).is_ok() {
            Ok(Self(bytes))
        } else {
            Err(bytes)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        // Every constructor has checked it; the second look is the price of no `unsafe`.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes of the text, without a copy.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The bytes of the text.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl Deref for Text {
    type Target = str;
    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        self
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self::from_static(text)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&String> for Text {
    fn from(text: &String) -> Self {
        text.clone().into()
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<String> for Text {
    fn eq(&self, other: &String) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What travels beside a message: text to text, in the order of insertion.
///
/// ```
/// use micro_runtime::Metadata;
///
/// let mut metadata = Metadata::new();
/// metadata.set("Tenant", "blue");
/// assert_eq!(metadata.get("tenant"), Some("blue"));
/// metadata.set("TENANT", "green");
/// assert_eq!(metadata.len(), 1);
/// ```
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    pairs: Vec<(Text, Text)>,
}

impl Metadata {
    /// An empty map; allocates nothing.
    pub const fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// An empty map with room for `capacity` pairs.
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            pairs: Vec::with_capacity(capacity),
        }
    }

    /// The value of `key`, whatever its case.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.get_text(key).map(Text::as_str)
    }

    /// The value of `key` as shared text.
    pub fn get_text(&self, key: &str) -> Option<&Text> {
        self.position(key.as_bytes()).map(|at| &self.pairs[at].1)
    }

    /// Whether `key` is there, whatever its case.
    pub fn contains(&self, key: &str) -> bool {
        self.position(key.as_bytes()).is_some()
    }

    /// Sets `key` to `value`; an earlier value gives way, its key's spelling too.
    pub fn set(&mut self, key: impl Into<Text>, value: impl Into<Text>) {
        let pair = (key.into(), value.into());
        match self.position(pair.0.as_bytes()) {
            Some(at) => self.pairs[at] = pair,
            None => self.pairs.push(pair),
        }
    }

    /// Sets `key`, which should end in `-bin`, to bytes that need not be text.
    ///
    /// They are kept as base64, which is how gRPC carries them; other protocols carry that text.
    /// ```
    /// use micro_runtime::Metadata;
    ///
    /// let mut metadata = Metadata::new();
    /// metadata.set_binary("trace-bin", [0, 1, 255]);
    /// assert_eq!(metadata.get("trace-bin"), Some("AAH/"));
    /// assert_eq!(metadata.get_binary("trace-bin").as_deref(), Some(&[0, 1, 255][..]));
    /// ```
    pub fn set_binary(&mut self, key: impl Into<Text>, value: impl AsRef<[u8]>) {
        self.set(key, BINARY.encode(value));
    }

    /// The bytes that `key` holds as base64, of several values the first; `None` where it holds none.
    pub fn get_binary(&self, key: &str) -> Option<Vec<u8>> {
        let text = self.get(key)?.split(',').next()?;
        BINARY.decode(text.trim()).ok()
    }

    /// Sets `key` to `value` unless the key is there.
    pub fn set_default(&mut self, key: impl Into<Text>, value: impl Into<Text>) {
        let key = key.into();
        if self.position(key.as_bytes()).is_none() {
            self.pairs.push((key, value.into()));
        }
    }

    /// Removes `key` and gives its value.
    pub fn remove(&mut self, key: &str) -> Option<Text> {
        let at = self.position(key.as_bytes())?;
        Some(self.pairs.remove(at).1)
    }

    /// The pairs, in the order of insertion.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + '_ {
        self.pairs
            .iter()
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }

    /// The pairs as shared text.
    pub fn iter_text(&self) -> impl ExactSizeIterator<Item = (&Text, &Text)> + '_ {
        self.pairs.iter().map(|(key, value)| (key, value))
    }

    /// How many pairs there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Sets each pair of `other`.
    pub fn merge(&mut self, other: &Metadata) {
        if self.is_empty() {
            self.pairs.clone_from(&other.pairs);
            return;
        }
        for (key, value) in &other.pairs {
            self.set(key.clone(), value.clone());
        }
    }

    /// Keeps the pairs that `keep` says yes to.
    pub fn retain(&mut self, mut keep: impl FnMut(&str, &str) -> bool) {
        self.pairs.retain(|(key, value)| keep(key, value));
    }

    fn position(&self, key: &[u8]) -> Option<usize> {
        self.pairs
            .iter()
            .position(|(known, _)| known.0.eq_ignore_ascii_case(key))
    }
}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.iter()
                    .map(|(key, value)| (key, if is_secret(key) { "…" } else { value })),
            )
            .finish()
    }
}

impl<K: Into<Text>, V: Into<Text>> FromIterator<(K, V)> for Metadata {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(pairs: I) -> Self {
        let mut metadata = Self::new();
        for (key, value) in pairs {
            metadata.set(key, value);
        }
        metadata
    }
}

/// gRPC's base64: without padding, and read with and without.
const BINARY: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Whether a key's value must not be logged.
pub fn is_secret(key: &str) -> bool {
    [
        "authorization",
        "cookie",
        "set-cookie",
        "proxy-authorization",
    ]
    .iter()
    .any(|secret| key.eq_ignore_ascii_case(secret))
}

/// Whether a key speaks of one hop, so that a handler's own calls do not pass it on.
///
/// `Authorization` and `Cookie` are not hop headers, yet they pass on only where the service names
/// them: see [`Service::forward`](crate::Service::forward).
pub fn is_hop(key: &str) -> bool {
    const EXACT: [&str; 18] = [
        "accept",
        "accept-encoding",
        "connection",
        "cookie",
        "authorization",
        "host",
        ":authority",
        "keep-alive",
        "local",
        "remote",
        "te",
        "timeout",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-content-type",
        "expect",
    ];
    const PASSED: [&str; 3] = ["micro-trace-id", "micro-span-id", "micro-namespace"];
    let begins = |prefix: &str| {
        key.len() >= prefix.len()
            && key.as_bytes()[..prefix.len()].eq_ignore_ascii_case(prefix.as_bytes())
    };
    if EXACT.iter().any(|name| key.eq_ignore_ascii_case(name)) {
        return true;
    }
    if begins("micro-") {
        return !PASSED.iter().any(|name| key.eq_ignore_ascii_case(name));
    }
    begins("x-micro-") || begins("content-") || begins("proxy-") || begins("grpc-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ignore_case_and_keep_their_order() {
        let mut metadata: Metadata = [("b", "1"), ("A", "2")].into_iter().collect();
        metadata.set("B", "3");
        assert_eq!(
            metadata.iter().collect::<Vec<_>>(),
            [("B", "3"), ("A", "2")]
        );
        assert_eq!(metadata.remove("a").as_deref(), Some("2"));
        assert_eq!(metadata.get("a"), None);
    }

    #[test]
    fn secrets_do_not_show_in_debug() {
        let metadata: Metadata = [("authorization", "Bearer s3cret"), ("x", "y")]
            .into_iter()
            .collect();
        let shown = format!("{metadata:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains('y'));
    }

    #[test]
    fn hop_headers_are_told_from_user_metadata() {
        for hop in [
            "Micro-Id",
            "x-micro-endpoint",
            "Content-Type",
            "content-length",
            "Timeout",
            "grpc-timeout",
            "Remote",
            "TE",
            "Micro-Stream",
        ] {
            assert!(is_hop(hop), "{hop}");
        }
        for user in [
            "Micro-Trace-Id",
            "micro-span-id",
            "Micro-Namespace",
            "Foo",
            "X-Custom",
            "Tenant",
            "Microphone",
        ] {
            assert!(!is_hop(user), "{user}");
        }
    }
}
