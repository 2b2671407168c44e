//! `grpc-timeout`: how long the caller still waits, in at most eight digits and a unit.

use std::time::Duration;

use http::HeaderValue;

/// The units, finest first, with their nanoseconds.
const UNITS: [(u8, u64); 6] = [
    (b'n', 1),
    (b'u', 1_000),
    (b'm', 1_000_000),
    (b'S', 1_000_000_000),
    (b'M', 60 * 1_000_000_000),
    (b'H', 3600 * 1_000_000_000),
];

/// One more than the largest number.
const BOUND: u128 = 100_000_000;
/// What is rounded is less than a thousandth.
const STEPS: u128 = 1_000;

/// `left`, rounded down to at least [`STEPS`] of a unit: calls that were given the same time say the
/// same then, and HTTP/2 sends what it has sent before in one byte. Down, since a handler must not
/// have more time than its caller.
pub(super) fn write(left: Duration) -> HeaderValue {
    let nanos = left.as_nanos();
    let (unit, number) = UNITS
        .iter()
        .rev()
        .map(|&(unit, size)| (unit, nanos / u128::from(size)))
        .find(|&(_, number)| number >= STEPS)
        .map_or((b'n', nanos), |(unit, number)| {
            (unit, number.min(BOUND - 1))
        });
    let mut digits = [0; 9];
    let mut at = digits.len() - 1;
    let mut left = number;
    if let Some(last) = digits.last_mut() {
        *last = unit;
    }
    loop {
        at -= 1;
        if let Some(digit) = digits.get_mut(at) {
            // Below ten.
            *digit = b'0' + (left % 10) as u8;
        }
        left /= 10;
        if left == 0 || at == 0 {
            break;
        }
    }
    let text = digits.get(at..).unwrap_or_default();
    HeaderValue::from_bytes(text).expect("digits and a letter")
}

/// What a caller wrote; `None` where that is no timeout.
pub(super) fn read(value: &[u8]) -> Option<Duration> {
    let (unit, digits) = value.split_last()?;
    if digits.is_empty() || digits.len() > 8 {
        return None;
    }
    let mut number = 0_u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        number = number * 10 + u64::from(digit - b'0');
    }
    let (_, size) = UNITS.iter().find(|(known, _)| known == unit)?;
    let (whole, rest) = (1_000_000_000 / size, size / 1_000_000_000);
    Some(match rest {
        0 => Duration::new(number / whole, (number % whole * size) as u32),
        seconds => Duration::from_secs(number.saturating_mul(seconds)),
    })
}

/// Go Micro's own `timeout`, which is in nanoseconds here.
pub(super) fn read_go_micro(value: &[u8]) -> Option<Duration> {
    let nanos: i64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_is_rounded_down_by_less_than_a_thousandth() {
        for (left, text) in [
            (Duration::ZERO, "0n"),
            (Duration::from_nanos(1), "1n"),
            (Duration::from_nanos(998_001), "998001n"),
            (Duration::from_nanos(99_999_999), "99999u"),
            (Duration::from_nanos(100_000_001), "100000u"),
            (Duration::from_millis(1_991), "1991m"),
            (Duration::from_micros(9_999_987), "9999m"),
            (Duration::from_secs(100), "100000m"),
            (Duration::from_secs(100_000_000), "27777H"),
            (Duration::MAX, "99999999H"),
        ] {
            assert_eq!(write(left), text);
        }
    }

    #[test]
    fn timeouts_are_read_in_every_unit() {
        for (text, read_as) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("1991386u", Some(Duration::from_micros(1_991_386))),
            ("99999999m", Some(Duration::from_millis(99_999_999))),
            ("99999999n", Some(Duration::from_nanos(99_999_999))),
            ("99999999H", Some(Duration::from_secs(3600 * 99_999_999))),
            ("0n", Some(Duration::ZERO)),
            ("100000000n", None),
            ("n", None),
            ("1", None),
            ("1x", None),
            ("-1n", None),
            ("+1n", None),
            ("", None),
        ] {
            assert_eq!(read(text.as_bytes()), read_as, "{text}");
        }
        assert_eq!(
            read_go_micro(b"1999921799"),
            Some(Duration::from_nanos(1_999_921_799))
        );
        assert_eq!(read_go_micro(b"-5"), Some(Duration::ZERO));
        assert_eq!(read_go_micro(b"soon"), None);
    }
}
