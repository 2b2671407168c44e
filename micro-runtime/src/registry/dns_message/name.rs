//! Names: labels of at most 63 bytes, 255 bytes in all, the same in either case of ASCII letters.

use std::cmp::Ordering;
use std::fmt;

/// How long a label may be.
const MAX_LABEL: usize = 63;
/// How long a name may be, with the length before each label and the zero at the end.
const MAX_NAME: usize = 255;

/// A name: as on the wire without compression and without the zero at the end.
#[derive(Clone, Default)]
pub(in super::super) struct Name(Vec<u8>);

/// Why a text cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) enum BadName {
    /// Nothing stands between two dots, or nothing at all.
    EmptyLabel,
    /// It would not be read as it was written.
    Character,
    /// A label is longer than [`MAX_LABEL`].
    LongLabel(String),
    /// The name is longer than [`MAX_NAME`].
    LongName,
}

impl Name {
    /// The name that `text` means, whose dots part labels.
    ///
    /// # Errors
    /// Where it is too long or has an empty label.
    pub(in super::super) fn parse(text: &str) -> Result<Self, BadName> {
        let mut name = Self::default();
        for label in text.strip_suffix('.').unwrap_or(text).split('.') {
            match label.len() {
                0 => return Err(BadName::EmptyLabel),
                1..=MAX_LABEL => {}
                _ => return Err(BadName::LongLabel(label.to_owned())),
            }
            if !name.push(label.as_bytes()) {
                return Err(BadName::LongName);
            }
        }
        Ok(name)
    }

    /// Adds a label, and says whether there was room.
    pub(super) fn push(&mut self, label: &[u8]) -> bool {
        // The length before it, and the zero at the end of the name.
        if self.0.len() + 1 + label.len() + 1 > MAX_NAME {
            return false;
        }
        let Ok(length @ 1..=63) = u8::try_from(label.len()) else {
            return false;
        };
        self.0.push(length);
        self.0.extend_from_slice(label);
        true
    }

    /// The name followed by `end`; `None` where that is too long.
    pub(in super::super) fn followed_by(&self, end: &Self) -> Option<Self> {
        let whole = [&*self.0, &*end.0].concat();
        (whole.len() < MAX_NAME).then_some(Self(whole))
    }

    /// What stands before `end`, where the name ends so; `None` also where nothing is before it.
    pub(in super::super) fn before(&self, end: &Self) -> Option<Self> {
        let split = self.0.len().checked_sub(end.0.len()).filter(|at| *at > 0)?;
        // Only where a label begins.
        let mut at = 0;
        while at < split {
            at += usize::from(*self.0.get(at)?) + 1;
        }
        let (start, rest) = self.0.split_at_checked(split)?;
        (at == split && rest.eq_ignore_ascii_case(&end.0)).then(|| Self(start.to_vec()))
    }

    /// What is left without the first label, without the first two, and so on.
    pub(in super::super) fn ends(&self) -> impl Iterator<Item = Self> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            rest = after.get(usize::from(*length)..)?;
            (!rest.is_empty()).then(|| Self(rest.to_vec()))
        })
    }

    /// The labels joined by dots; `None` where that would not be the same name again.
    pub(in super::super) fn text(&self) -> Option<String> {
        let mut text = String::with_capacity(self.0.len());
        for label in self.labels() {
            let label = str::from_utf8(label).ok()?;
            if label.contains(|c: char| c == '.' || c.is_control()) {
                return None;
            }
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(label);
        }
        Some(text)
    }

    pub(super) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest = &*self.0;
        std::iter::from_fn(move || {
            let (length, after) = rest.split_first()?;
            let (label, after) = after.split_at_checked(usize::from(*length))?;
            rest = after;
            Some(label)
        })
    }

    /// As on the wire, without the zero at the end.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn lower(&self) -> impl Iterator<Item = u8> {
        self.0.iter().map(u8::to_ascii_lowercase)
    }
}

// The length of a label is below `A`, so that lower case leaves it alone.

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for Name {}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> Ordering {
        self.lower().cmp(other.lower())
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in self.labels() {
            write!(f, "{}.", label.escape_ascii())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).expect("a name")
    }

    #[test]
    fn text_becomes_a_name_and_text_again() {
        for text in ["micro", "greeter.micro", "go.micro.srv.x-1_2.é"] {
            assert_eq!(name(text).text().as_deref(), Some(text));
        }
        assert_eq!(name("vm."), name("VM"));
        assert!(name("a.b") < name("a.C"));
    }

    #[test]
    fn what_dns_cannot_hold_is_refused() {
        let label = "x".repeat(63);
        assert!(Name::parse(&label).is_ok());
        let long = "x".repeat(64);
        assert_eq!(Name::parse(&long), Err(BadName::LongLabel(long.clone())));
        for text in ["", ".", "a..b", ".a"] {
            assert_eq!(Name::parse(text), Err(BadName::EmptyLabel), "{text}");
        }
        // 3 × 64 + 62 and the zero are 255.
        let full = format!("{label}.{label}.{label}.{}", "x".repeat(61));
        assert!(Name::parse(&full).is_ok());
        assert_eq!(Name::parse(&format!("{full}x")), Err(BadName::LongName));
    }

    #[test]
    fn a_name_ends_where_a_label_begins() {
        let end = name("greeter.micro");
        let before = |text: &str| name(text).before(&end).and_then(|name| name.text());
        assert_eq!(before("a.b.Greeter.micro").as_deref(), Some("a.b"));
        assert_eq!(before("greeter.micro"), None);
        assert_eq!(before("xgreeter.micro"), None);
        assert_eq!(before("micro"), None);
        // The bytes of the end inside of a label.
        let mut inside = Name::default();
        assert!(inside.push(b"\x07greeter\x05micro"));
        assert_eq!(inside.before(&end), None);
    }

    #[test]
    fn the_ends_of_a_name_are_names() {
        let ends: Vec<_> = name("a.b.c").ends().collect();
        assert_eq!(ends, [name("b.c"), name("c")]);
    }

    #[test]
    fn a_label_with_a_dot_is_no_text() {
        let mut name = Name::default();
        assert!(name.push(b"a.b"));
        assert_eq!(name.text(), None);
    }
}
