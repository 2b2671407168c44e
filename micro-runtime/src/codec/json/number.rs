//! Numbers as text.

use bytes::{BufMut, BytesMut};
use serde::Serialize;

/// An integer, however it was written: `10`, `1e1`, `10.0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Integer {
    negative: bool,
    magnitude: u64,
}

impl Integer {
    /// Reads a JSON number; `None` where it has a fraction or is beyond 64 bits.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let magnitude = match digits.parse() {
            Ok(magnitude) => magnitude,
            Err(_) => Self::parse_scientific(digits)?,
        };
        Some(Self {
            negative,
            magnitude,
        })
    }

    /// Exactly, since a double has no room for 64 bits.
    fn parse_scientific(text: &str) -> Option<u64> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent),
            None => (text, "0"),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let fraction = fraction.trim_end_matches('0');
        let zero = fraction.is_empty() && whole.bytes().all(|digit| digit == b'0');
        if zero {
            return Some(0);
        }
        // An exponent that no integer type could stand for is no integer of ours either.
        let exponent: i32 = exponent.parse().ok()?;
        let mut zeros = exponent.checked_sub(i32::try_from(fraction.len()).ok()?)?;
        let mut digits: String = [whole, fraction].concat();
        while zeros < 0 && digits.ends_with('0') {
            digits.pop();
            zeros += 1;
        }
        let digits: u64 = (0..=19).contains(&zeros).then(|| digits.parse().ok())??;
        digits.checked_mul(10u64.checked_pow(zeros.unsigned_abs())?)
    }

    pub(super) fn signed(self) -> Option<i64> {
        let magnitude = i128::from(self.magnitude);
        i64::try_from(if self.negative { -magnitude } else { magnitude }).ok()
    }

    pub(super) fn unsigned(self) -> Option<u64> {
        (!self.negative || self.magnitude == 0).then_some(self.magnitude)
    }
}

/// Where a JSON number ends.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Scan {
    /// After this many bytes.
    Ends(usize),
    /// The text ends before the number does.
    Truncated,
    /// The byte at this place may not stand there.
    Wrong(usize, &'static str),
}

/// Finds the end of the number that `text` begins with, by JSON's grammar.
pub(super) fn scan(text: &[u8]) -> Scan {
    let digits = |mut at: usize| {
        while text.get(at).is_some_and(u8::is_ascii_digit) {
            at += 1;
        }
        at
    };
    let need = |at: usize, context: &'static str| match text.get(at) {
        Some(byte) if byte.is_ascii_digit() => Ok(digits(at)),
        Some(_) => Err(Scan::Wrong(at, context)),
        None => Err(Scan::Truncated),
    };
    let whole = || {
        let mut at = usize::from(text.first() == Some(&b'-'));
        at = match text.get(at) {
            Some(b'0') => at + 1,
            _ => need(at, "in numeric literal")?,
        };
        if text.get(at) == Some(&b'.') {
            at = need(at + 1, "after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = text.get(at) {
            let sign = matches!(text.get(at + 1), Some(b'+' | b'-'));
            at = need(at + 1 + usize::from(sign), "in exponent of numeric literal")?;
        }
        Ok(at)
    };
    whole().map_or_else(|wrong| wrong, Scan::Ends)
}

/// Whether `text` is one JSON number and nothing else.
pub(super) fn is_number(text: &str) -> bool {
    scan(text.as_bytes()) == Scan::Ends(text.len())
}

pub(super) fn write_signed(out: &mut BytesMut, number: i64) {
    if number < 0 {
        out.put_u8(b'-');
    }
    write_unsigned(out, number.unsigned_abs());
}

pub(super) fn write_unsigned(out: &mut BytesMut, mut number: u64) {
    const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819\
        2021222324252627282930313233343536373839\
        4041424344454647484950515253545556575859\
        6061626364656667686970717273747576777879\
        8081828384858687888990919293949596979899";
    let mut text = [0u8; 20];
    let mut at = text.len();
    let mut pair = |at: usize, pair: u64| {
        let from = usize::try_from(pair).unwrap_or_default() * 2;
        text[at..at + 2].copy_from_slice(&PAIRS[from..from + 2]);
    };
    while number >= 100 {
        at -= 2;
        pair(at, number % 100);
        number /= 100;
    }
    if number >= 10 {
        at -= 2;
        pair(at, number);
    } else {
        at -= 1;
        text[at] = b"0123456789"[usize::try_from(number).unwrap_or_default()];
    }
    out.extend_from_slice(&text[at..]);
}

/// A float, to be written as Go's `encoding/json` does: the shortest digits that read back, with an
/// exponent only below 1e-6 and from 1e21 on.
pub(super) trait Float: Copy + Serialize {
    /// `NaN`, `Infinity` or `-Infinity`.
    fn special(self) -> Option<&'static str>;
}

macro_rules! float {
    ($($type:ty),*) => {$(
        impl Float for $type {
            fn special(self) -> Option<&'static str> {
                if self.is_nan() {
                    Some("NaN")
                } else if self.is_infinite() {
                    Some(if self > 0.0 { "Infinity" } else { "-Infinity" })
                } else {
                    None
                }
            }
        }
    )*};
}
float!(f32, f64);

/// Writes a float that is not special.
pub(super) fn write_float<F: Float>(out: &mut BytesMut, number: F) {
    // Where two shortest texts are equally near, Go and serde_json take the even one, Rust's own
    // formatting the greater. So serde_json gives the digits, and only their layout is ours.
    let mut text = [0; 32];
    let mut rest = &mut text[..];
    serde_json::to_writer(&mut rest, &number).expect("24 bytes are enough for any double");
    let length = 32 - rest.len();
    let text = std::str::from_utf8(&text[..length]).expect("numbers are ASCII");
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => ("-", text),
        None => ("", text),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let mut digits = [0; 32];
    let mut count = 0;
    for digit in whole.bytes().chain(fraction.bytes()) {
        digits[count] = digit;
        count += 1;
    }
    let digits = std::str::from_utf8(&digits[..count]).expect("numbers are ASCII");
    let significant = digits.trim_start_matches('0');
    // The number is 0.ddd * 10^point.
    let zeros = i32::try_from(digits.len() - significant.len()).unwrap_or_default();
    let point = i32::try_from(whole.len()).unwrap_or_default() + exponent - zeros;
    out.extend_from_slice(sign.as_bytes());
    layout(out, significant.trim_end_matches('0'), point);
}

fn layout(out: &mut BytesMut, digits: &str, point: i32) {
    let split = |at: i32| {
        let at = usize::try_from(at).unwrap_or_default();
        digits.split_at_checked(at).unwrap_or((digits, ""))
    };
    let repeat = |out: &mut BytesMut, zeros: i32| {
        out.put_bytes(b'0', usize::try_from(zeros).unwrap_or_default());
    };
    let fraction = |out: &mut BytesMut, digits: &str| {
        if !digits.is_empty() {
            out.put_u8(b'.');
            out.extend_from_slice(digits.as_bytes());
        }
    };
    match point {
        _ if digits.is_empty() => out.put_u8(b'0'),
        -5..=0 => {
            out.extend_from_slice(b"0.");
            repeat(out, -point);
            out.extend_from_slice(digits.as_bytes());
        }
        1..=21 => {
            let (whole, rest) = split(point);
            out.extend_from_slice(whole.as_bytes());
            repeat(out, point - i32::try_from(whole.len()).unwrap_or_default());
            fraction(out, rest);
        }
        _ => {
            let (first, rest) = split(1);
            out.extend_from_slice(first.as_bytes());
            fraction(out, rest);
            let exponent = point - 1;
            out.extend_from_slice(if exponent < 0 { b"e" } else { b"e+" });
            write_signed(out, exponent.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn integers_are_written_as_rust_writes_them() {
        let mut number = 1u64;
        let mut all = vec![
            0,
            u64::MAX,
            10,
            99,
            100,
            101,
            999,
            1000,
            9_999,
            10_000,
            100_000,
        ];
        for _ in 0..64 {
            all.extend([number, number - 1, number / 3]);
            number = number.wrapping_mul(7).wrapping_add(3);
        }
        for number in all {
            assert_eq!(
                written(|out| write_unsigned(out, number)),
                number.to_string()
            );
            let signed = number as i64;
            assert_eq!(written(|out| write_signed(out, signed)), signed.to_string());
        }
        assert_eq!(
            written(|out| write_signed(out, i64::MIN)),
            i64::MIN.to_string()
        );
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (number, text) in [
            (0.0, "0"),
            (-0.0, "-0"),
            (5.0, "5"),
            (1.5, "1.5"),
            (-0.1, "-0.1"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1.25e300, "1.25e+300"),
            (0.000001, "0.000001"),
            (0.00000099, "9.9e-7"),
            (-5e-324, "-5e-324"),
            (f64::MAX, "1.7976931348623157e+308"),
        ] {
            assert_eq!(written(|out| write_float(out, number)), text);
        }
        // Two texts are equally near: the even one.
        let tie = -3_753_354.0f32 - 0.25;
        assert_eq!(written(|out| write_float(out, tie)), "-3753354.2");
        assert_eq!(written(|out| write_float(out, 0.1f32)), "0.1");
        assert_eq!(written(|out| write_float(out, 1e21f32)), "1e+21");
        assert_eq!(written(|out| write_float(out, f32::MAX)), "3.4028235e+38");
    }

    #[test]
    fn integers_are_read_in_every_way_of_writing_them() {
        for (text, number) in [
            ("0", Some(0)),
            ("-0", Some(0)),
            ("1.0", Some(1)),
            ("1e1", Some(10)),
            ("1E+2", Some(100)),
            ("10e-1", Some(1)),
            ("-1.50e2", Some(-150)),
            ("123.456e3", Some(123_456)),
            ("9007199254740993.0", Some(9_007_199_254_740_993)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("0e99999999999", Some(0)),
            ("0.000", Some(0)),
            ("1e20", None),
            ("1e999999999", None),
            ("1e-999999999", None),
            ("1.5", None),
            ("15e-1", None),
            ("0.1", None),
        ] {
            assert_eq!(
                Integer::parse(text).and_then(Integer::signed),
                number,
                "{text}"
            );
        }
        let unsigned = |text| Integer::parse(text).and_then(Integer::unsigned);
        assert_eq!(unsigned("18446744073709551615"), Some(u64::MAX));
        assert_eq!(unsigned("1.8446744073709551615e19"), Some(u64::MAX));
        assert_eq!(unsigned("18446744073709551616"), None);
        assert_eq!(unsigned("-1"), None);
    }

    #[test]
    fn numbers_end_where_json_ends_them() {
        for (text, end) in [
            ("0", Scan::Ends(1)),
            ("01", Scan::Ends(1)),
            ("-12.5e+3,", Scan::Ends(8)),
            ("-", Scan::Truncated),
            ("1.", Scan::Truncated),
            ("1e", Scan::Truncated),
            ("-x", Scan::Wrong(1, "in numeric literal")),
            (
                "1.x",
                Scan::Wrong(2, "after decimal point in numeric literal"),
            ),
            ("1ex", Scan::Wrong(2, "in exponent of numeric literal")),
        ] {
            assert_eq!(scan(text.as_bytes()), end, "{text}");
        }
    }
}
