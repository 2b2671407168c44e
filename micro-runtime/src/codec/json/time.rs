//! Timestamps and durations as text: RFC 3339 in UTC, and seconds with an `s`.

use std::fmt::Write as _;

use prost_types::{Duration, Timestamp};

use super::fault::{Fault, Kind, Result, Short};

/// 0001-01-01T00:00:00Z and 9999-12-31T23:59:59Z.
const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;
/// Ten thousand years of seconds.
const LONGEST: i64 = 315_576_000_000;
const NANOS: i32 = 999_999_999;
const DAY: i64 = 86_400;

pub(super) fn write_timestamp(time: &Timestamp, out: &mut String) -> Result<()> {
    if !SECONDS.contains(&time.seconds) {
        return Err(timestamp(format!("seconds out of range {}", time.seconds)));
    }
    if !(0..=NANOS).contains(&time.nanos) {
        return Err(timestamp(format!("nanos out of range {}", time.nanos)));
    }
    let (year, month, day) = date(time.seconds.div_euclid(DAY));
    let second = time.seconds.rem_euclid(DAY);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Writing to a string cannot fail.
    let _ = write!(
        out,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}"
    );
    write_fraction(time.nanos.unsigned_abs(), out);
    out.push('Z');
    Ok(())
}

pub(super) fn write_duration(time: &Duration, out: &mut String) -> Result<()> {
    let (seconds, nanos) = (time.seconds, time.nanos);
    if !(-LONGEST..=LONGEST).contains(&seconds) {
        return Err(duration(format!("seconds out of range {seconds}")));
    }
    if !(-NANOS..=NANOS).contains(&nanos) {
        return Err(duration(format!("nanos out of range {nanos}")));
    }
    if (seconds > 0 && nanos < 0) || (seconds < 0 && nanos > 0) {
        return Err(duration("signs of seconds and nanos do not match".into()));
    }
    if seconds < 0 || nanos < 0 {
        out.push('-');
    }
    let _ = write!(out, "{}", seconds.unsigned_abs());
    write_fraction(nanos.unsigned_abs(), out);
    out.push('s');
    Ok(())
}

/// Reads RFC 3339 with any offset and up to nine digits of a second's fraction.
pub(super) fn parse_timestamp(text: &str) -> Result<Timestamp> {
    let invalid = || timestamp(format!("invalid value {:?}", Short(text).to_string()));
    let (seconds, nanos) = scan_timestamp(text).ok_or_else(invalid)?;
    if !SECONDS.contains(&seconds) {
        return Err(timestamp(format!("value out of range {text:?}")));
    }
    Ok(Timestamp { seconds, nanos })
}

/// Reads `1s`, `-1.5s`, `.25s`.
pub(super) fn parse_duration(text: &str) -> Result<Duration> {
    let invalid = || duration(format!("invalid value {:?}", Short(text).to_string()));
    let (seconds, nanos) = scan_duration(text).ok_or_else(invalid)?;
    if !(-LONGEST..=LONGEST).contains(&seconds) {
        return Err(duration(format!("value out of range {text:?}")));
    }
    Ok(Duration { seconds, nanos })
}

fn scan_timestamp(text: &str) -> Option<(i64, i32)> {
    // Bytes are looked at one by one below, so a character of several must not be cut.
    if !text.is_ascii() {
        return None;
    }
    let number = |from: usize, to: usize| -> Option<i64> {
        let digits = text.get(from..to)?;
        let all = digits.bytes().all(|byte| byte.is_ascii_digit());
        all.then(|| digits.parse().ok()).flatten()
    };
    let mark = |at: usize, marks: &str| {
        marks
            .contains(char::from(*text.as_bytes().get(at)?))
            .then_some(())
    };
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    mark(4, "-").and(mark(7, "-")).and(mark(10, "Tt"))?;
    mark(13, ":").and(mark(16, ":"))?;
    if !(1..=12).contains(&month) || !(1..=days_in(year, month)).contains(&day) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let mut rest = text.get(19..)?;
    let mut nanos = 0;
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = (fraction.bytes()).take_while(u8::is_ascii_digit).count();
        nanos = parse_fraction(fraction.get(..length)?).filter(|_| length > 0)?;
        rest = fraction.get(length..)?;
    }
    let offset = match rest {
        "Z" | "z" => 0,
        _ => {
            let start = text.len() - rest.len();
            let (hours, minutes) = (number(start + 1, start + 3)?, number(start + 4, start + 6)?);
            mark(start + 3, ":")?;
            if rest.len() != 6 || hours > 23 || minutes > 59 {
                return None;
            }
            let offset = hours * 3600 + minutes * 60;
            match rest.as_bytes().first()? {
                b'+' => offset,
                b'-' => -offset,
                _ => return None,
            }
        }
    };
    let days = days_since_1970(year, month, day);
    Some((
        days * DAY + hour * 3600 + minute * 60 + second - offset,
        nanos,
    ))
}

fn scan_duration(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_suffix('s')?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number.strip_prefix('+').unwrap_or(number)),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(whole) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let seconds: i64 = match whole {
        "" => 0,
        whole => whole.parse().ok()?,
    };
    let nanos = parse_fraction(fraction)?;
    Some(if negative {
        (-seconds, -nanos)
    } else {
        (seconds, nanos)
    })
}

/// Up to nine digits, as nanoseconds.
fn parse_fraction(digits: &str) -> Option<i32> {
    if digits.len() > 9 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    format!("{digits:0<9}").parse().ok()
}

/// Nothing, or three, six or nine digits.
fn write_fraction(nanos: u32, out: &mut String) {
    let _ = match nanos {
        0 => Ok(()),
        _ if nanos.is_multiple_of(1_000_000) => write!(out, ".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => write!(out, ".{:06}", nanos / 1_000),
        _ => write!(out, ".{nanos:09}"),
    };
}

fn timestamp(what: String) -> Fault {
    Fault::new(
        Kind::Timestamp,
        format!("google.protobuf.Timestamp: {what}"),
    )
}

fn duration(what: String) -> Fault {
    Fault::new(Kind::Duration, format!("google.protobuf.Duration: {what}"))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days before the year, counted from the year 0 of the Gregorian calendar.
fn days_before(year: i64) -> i64 {
    let last = year - 1;
    365 * year + last.div_euclid(4) - last.div_euclid(100) + last.div_euclid(400)
}

fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    days_before(year) - days_before(1970) + months + day - 1
}

/// Year, month and day of a day counted from 1970.
fn date(day: i64) -> (i64, i64, i64) {
    let day = day + days_before(1970);
    // A guess that is right but near the turn of a year.
    let mut year = day * 400 / 146_097;
    while days_before(year + 1) <= day {
        year += 1;
    }
    while days_before(year) > day {
        year -= 1;
    }
    let mut left = day - days_before(year);
    let mut month = 1;
    while left >= days_in(year, month) {
        left -= days_in(year, month);
        month += 1;
    }
    (year, month, left + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp_text(seconds: i64, nanos: i32) -> Result<String> {
        let mut out = String::new();
        write_timestamp(&Timestamp { seconds, nanos }, &mut out).map(|()| out)
    }

    fn duration_text(seconds: i64, nanos: i32) -> Result<String> {
        let mut out = String::new();
        write_duration(&Duration { seconds, nanos }, &mut out).map(|()| out)
    }

    #[test]
    fn timestamps_are_rfc_3339_in_utc() {
        for (seconds, nanos, text) in [
            (0, 0, "1970-01-01T00:00:00Z"),
            (-1, 0, "1969-12-31T23:59:59Z"),
            (1_700_000_000, 5, "2023-11-14T22:13:20.000000005Z"),
            (1_709_164_800, 500_000_000, "2024-02-29T00:00:00.500Z"),
            (951_782_400, 1_000, "2000-02-29T00:00:00.000001Z"),
            (-62_135_596_800, 0, "0001-01-01T00:00:00Z"),
            (
                253_402_300_799,
                999_999_999,
                "9999-12-31T23:59:59.999999999Z",
            ),
        ] {
            assert_eq!(timestamp_text(seconds, nanos).unwrap(), text);
            assert_eq!(parse_timestamp(text).unwrap(), Timestamp { seconds, nanos });
        }
        for (seconds, nanos) in [
            (-62_135_596_801, 0),
            (253_402_300_800, 0),
            (0, -1),
            (0, NANOS + 1),
        ] {
            assert_eq!(
                timestamp_text(seconds, nanos).unwrap_err().kind(),
                Kind::Timestamp
            );
        }
    }

    #[test]
    fn every_day_has_one_date() {
        let mut last = (0, 12, 31);
        for day in -719_162..2_932_897 {
            let (year, month, of_month) = date(day);
            assert_eq!(days_since_1970(year, month, of_month), day);
            assert!((year, month, of_month) > last, "{day}");
            last = (year, month, of_month);
        }
        assert_eq!(last, (9999, 12, 31));
    }

    #[test]
    fn timestamps_are_read_with_any_offset() {
        for (text, seconds) in [
            ("1970-01-01T01:00:00+01:00", 0),
            ("1969-12-31T22:30:00-01:30", 0),
            ("1970-01-01t00:00:01z", 1),
            ("1970-01-01T00:00:01.0+00:00", 1),
        ] {
            assert_eq!(
                parse_timestamp(text).unwrap(),
                Timestamp { seconds, nanos: 0 }
            );
        }
        for text in [
            "",
            "1970",
            "1970-01-01",
            "1970-01-01T00:00:00",
            "1970-01-01 00:00:00Z",
            "1970-13-01T00:00:00Z",
            "1970-02-29T00:00:00Z",
            "1970-01-00T00:00:00Z",
            "1970-01-01T24:00:00Z",
            "1970-01-01T00:60:00Z",
            "1970-01-01T00:00:60Z",
            "1970-01-01T00:00:00.Z",
            "1970-01-01T00:00:00.1234567890Z",
            "1970-01-01T00:00:00+1:00",
            "1970-01-01T00:00:00+01:00x",
            "1970-01-01T00:00:00*01:00",
            "0000-12-31T23:59:59Z",
            "+970-01-01T00:00:00Z",
            "1970-01-01T00:00:00+0100",
            "9999-12-31T23:59:59-00:01",
            "1970-01-01T00:00:0\u{e9}Z",
        ] {
            assert_eq!(
                parse_timestamp(text).unwrap_err().kind(),
                Kind::Timestamp,
                "{text}"
            );
        }
    }

    #[test]
    fn durations_are_seconds_with_a_fraction() {
        for (seconds, nanos, text) in [
            (0, 0, "0s"),
            (1, 500_000_000, "1.500s"),
            (0, -500_000_000, "-0.500s"),
            (-3, -1, "-3.000000001s"),
            (LONGEST, 0, "315576000000s"),
        ] {
            assert_eq!(duration_text(seconds, nanos).unwrap(), text);
            assert_eq!(parse_duration(text).unwrap(), Duration { seconds, nanos });
        }
        for (seconds, nanos) in [(LONGEST + 1, 0), (0, NANOS + 1), (1, -1), (-1, 1)] {
            assert_eq!(
                duration_text(seconds, nanos).unwrap_err().kind(),
                Kind::Duration
            );
        }
        for (text, seconds, nanos) in [
            ("1.5s", 1, 500_000_000),
            (".25s", 0, 250_000_000),
            ("+1.s", 1, 0),
        ] {
            assert_eq!(parse_duration(text).unwrap(), Duration { seconds, nanos });
        }
        for text in [
            "",
            "s",
            "1",
            "-s",
            ".s",
            "1.5",
            "1.0000000001s",
            "--1s",
            "1 s",
            "1e1s",
            "315576000001s",
            "-1.-5s",
        ] {
            assert_eq!(
                parse_duration(text).unwrap_err().kind(),
                Kind::Duration,
                "{text}"
            );
        }
    }
}
