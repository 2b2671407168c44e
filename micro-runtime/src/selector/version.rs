//! Which of two versions is the later one.

use std::cmp::Ordering;

/// The version of services that were given none: Go Micro's default.
const UNNAMED: &str = "latest";

/// Orders versions as people do: part by part, parts of digits by their number, so that `10` is later
/// than `9` and `1.10` later than `1.9`.
///
/// * A leading `v` and everything from `+` on do not count; missing parts are zero: `v1.2` is `1.2.0`.
/// * What follows a `-` is a step towards the version, and so before it: `1.2.0-rc.1` is earlier than
///   `1.2.0`. Among each other such steps are ordered as semantic versions are.
/// * `latest`, the version of services that name none, is later than any other; no version at all is
///   earlier than any other.
/// * Where words and numbers meet, as in hashes of commits, the order is stable and means nothing.
pub(super) fn compare(one: &str, other: &str) -> Ordering {
    rank(one).cmp(&rank(other)).then_with(|| {
        let (one, other) = (Version::of(one), Version::of(other));
        parts(one.release, other.release, Absent::Zero).then_with(|| match (one.step, other.step) {
            (None, None) => Ordering::Equal,
            (None, Some(_)) => Ordering::Greater,
            (Some(_), None) => Ordering::Less,
            (Some(one), Some(other)) => parts(one, other, Absent::Earlier),
        })
    })
}

fn rank(version: &str) -> u8 {
    match version {
        "" => 0,
        UNNAMED => 2,
        _ => 1,
    }
}

struct Version<'a> {
    release: &'a str,
    /// What comes after the first dash.
    step: Option<&'a str>,
}

impl<'a> Version<'a> {
    fn of(text: &'a str) -> Self {
        let counts = text.split('+').next().unwrap_or_default();
        let counts = counts
            .strip_prefix(['v', 'V'])
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            .unwrap_or(counts);
        match counts.split_once('-') {
            Some((release, step)) => Self {
                release,
                step: Some(step),
            },
            None => Self {
                release: counts,
                step: None,
            },
        }
    }
}

/// What a part is that only the other version has.
#[derive(Clone, Copy)]
enum Absent {
    Zero,
    Earlier,
}

fn parts(one: &str, other: &str, absent: Absent) -> Ordering {
    let (mut ones, mut others) = (one.split('.'), other.split('.'));
    loop {
        let order = match (ones.next(), others.next(), absent) {
            (None, None, _) => return Ordering::Equal,
            (one, other, Absent::Zero) => part(one.unwrap_or("0"), other.unwrap_or("0")),
            (one, other, Absent::Earlier) => match (one, other) {
                (Some(one), Some(other)) => part(one, other),
                (one, other) => one.is_some().cmp(&other.is_some()),
            },
        };
        if order.is_ne() {
            return order;
        }
    }
}

/// Numbers by value, words by their letters, and numbers before words.
fn part(one: &str, other: &str) -> Ordering {
    match (number(one), number(other)) {
        // Of any length: dates with times do not fit into 64 bits.
        (Some(one), Some(other)) => one.len().cmp(&other.len()).then_with(|| one.cmp(other)),
        (one_number, other_number) => other_number
            .is_some()
            .cmp(&one_number.is_some())
            .then_with(|| one.cmp(other)),
    }
}

/// The digits of a part that is a number, without zeros in front.
fn number(part: &str) -> Option<&str> {
    let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| part.trim_start_matches('0'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn later_versions_are_later() {
        let ordered = [
            "",
            "0.9",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-beta.2",
            "1.0.0-beta.11",
            "1.0.0-rc.1",
            "1.0.0",
            "1.2",
            "v1.9",
            "1.10.0",
            "2",
            "9",
            "10",
            "2026.01.30.09.05",
            "2026.11.02.10.00",
            "20261102100000000000000001",
            "main",
            "latest",
        ];
        for (at, one) in ordered.iter().enumerate() {
            for (place, other) in ordered.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&place), "{one:?} {other:?}");
            }
        }
    }

    #[test]
    fn some_spellings_are_one_version() {
        for (one, other) in [
            ("1.2", "v1.2.0"),
            ("1.2.0+linux", "1.2.0+mac"),
            ("01.2", "1.2"),
        ] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn the_order_is_one(texts in prop::array::uniform3("v?[0-9a-b.+-]{0,6}|latest")) {
            let [a, b, c] = &texts;
            prop_assert_eq!(compare(a, a), Ordering::Equal);
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
            if compare(a, b).is_eq() {
                prop_assert_eq!(compare(a, c), compare(b, c));
            }
        }
    }
}
