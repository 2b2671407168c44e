//! Reading values: Go's forms, with words for a person where one makes no sense.

use std::collections::BTreeMap;
use std::net::Ipv6Addr;
use std::path::PathBuf;
use std::time::Duration;

use crate::client::{HealthCheck, RetryBudget};
use crate::selector::{NAMES, Strategy};

/// What would have been right.
pub(super) type Bad = String;

pub(super) fn text(to: &mut Option<String>, from: &str) -> Result<(), Bad> {
    *to = Some(from.to_owned());
    Ok(())
}

/// `host:port`, a host alone, or the name of a queue: what comes after the last colon and is a
/// number must be a port.
pub(super) fn address(to: &mut Option<String>, from: &str) -> Result<(), Bad> {
    let after = from.rsplit_once(':').map_or("", |(_, after)| after);
    let number = !after.is_empty() && after.bytes().all(|byte| byte.is_ascii_digit());
    if number && after.parse::<u16>().is_err() && from.parse::<Ipv6Addr>().is_err() {
        return Err("host:port with a port up to 65535".to_owned());
    }
    text(to, from)
}

pub(super) fn path(to: &mut Option<PathBuf>, from: &str) -> Result<(), Bad> {
    *to = Some(from.into());
    Ok(())
}

pub(super) fn list(to: &mut Option<Vec<String>>, from: &str) -> Result<(), Bad> {
    let items = from.split(',').map(str::trim);
    let items: Vec<_> = items.filter(|item| !item.is_empty()).collect();
    if !items.is_empty() {
        *to = Some(items.into_iter().map(str::to_owned).collect());
    }
    Ok(())
}

/// Names of protocols; `auto` among them stands for all.
pub(super) fn names(to: &mut Option<Vec<String>>, from: &str) -> Result<(), Bad> {
    list(to, from)?;
    if let Some(names) = to
        && names.iter().any(|name| name == "auto")
    {
        names.clear();
    }
    Ok(())
}

/// Web origins, in the form that browsers send.
pub(super) fn origins(to: &mut Option<Vec<String>>, from: &str) -> Result<(), Bad> {
    let mut items = None;
    list(&mut items, from)?;
    let wrong = "origins of web pages, as https://example.org or http://localhost:3000, or *";
    let read = |item: &String| crate::http1::read_origin(item);
    if let Some(items) = items {
        *to = Some(items.iter().map(read).collect::<Option<_>>().ok_or(wrong)?);
    }
    Ok(())
}

/// `k=v,k=v`; of a pair without `=` the value is empty, as in Go Micro.
pub(super) fn pairs(to: &mut Option<BTreeMap<String, String>>, from: &str) -> Result<(), Bad> {
    let mut items = None;
    list(&mut items, from)?;
    let pair = |item: &String| {
        let (key, value) = item.split_once('=').unwrap_or((item, ""));
        (key.trim().to_owned(), value.to_owned())
    };
    *to = items.map(|items| items.iter().map(pair).collect());
    Ok(())
}

/// Go Micro leaves a setting alone that is below zero.
fn not_negative<T>(to: &mut Option<T>, from: &str, value: Option<T>) -> Result<(), Bad> {
    match value {
        Some(value) => *to = Some(value),
        None if from.parse::<i64>().is_ok_and(|number| number < 0) => {}
        None => return Err("a whole number".to_owned()),
    }
    Ok(())
}

pub(super) fn whole(to: &mut Option<u32>, from: &str) -> Result<(), Bad> {
    not_negative(to, from, from.parse().ok())
}

/// As Go Micro's pool size: zero is as good as not set.
pub(super) fn positive(to: &mut Option<usize>, from: &str) -> Result<(), Bad> {
    not_negative(to, from, from.parse().ok())?;
    *to = to.filter(|number| *number > 0);
    Ok(())
}

/// Whole seconds, or a duration with its unit.
pub(super) fn seconds(to: &mut Option<Duration>, from: &str) -> Result<(), Bad> {
    let seconds = from.parse().ok().map(Duration::from_secs);
    not_negative(to, from, seconds.or_else(|| go_duration(from)))
        .map_err(|_| "a number of seconds, or a duration like 90s or 1m30s".to_owned())
}

pub(super) fn duration(to: &mut Option<Duration>, from: &str) -> Result<(), Bad> {
    let wrong = "a duration like 300ms, 1.5s or 1h2m";
    *to = Some(go_duration(from).ok_or(wrong)?);
    Ok(())
}

/// What Go's `strconv.ParseBool` reads, and the words of a person.
pub(super) fn switch(to: &mut Option<bool>, from: &str) -> Result<(), Bad> {
    *to = Some(match &*from.to_ascii_lowercase() {
        "1" | "t" | "true" | "yes" | "on" => true,
        "0" | "f" | "false" | "no" | "off" => false,
        _ => return Err("true or false".to_owned()),
    });
    Ok(())
}

pub(super) fn strategy(to: &mut Option<Strategy>, from: &str) -> Result<(), Bad> {
    let wrong = |_| format!("one of {NAMES}");
    *to = Some(from.parse().map_err(wrong)?);
    Ok(())
}

pub(super) fn health_check(to: &mut Option<Option<HealthCheck>>, from: &str) -> Result<(), Bad> {
    *to = Some(match from {
        "off" | "none" | "false" => None,
        kind => Some(kind.parse().map_err(|_| "grpc, debug or off".to_owned())?),
    });
    Ok(())
}

pub(super) fn retry_budget(to: &mut Option<Option<RetryBudget>>, from: &str) -> Result<(), Bad> {
    *to = Some(match from {
        "off" | "none" | "false" => None,
        percent => {
            let percent = percent.trim_end_matches('%').parse();
            let wrong = |_| "a whole number of percent, or off".to_owned();
            Some(RetryBudget::percent(percent.map_err(wrong)?))
        }
    });
    Ok(())
}

/// 64 hexadecimal digits, with or without colons between the bytes.
pub(super) fn fingerprint(to: &mut Option<[u8; 32]>, from: &str) -> Result<(), Bad> {
    let wrong = || "the 64 hexadecimal digits of a SHA-256, with or without colons".to_owned();
    let digits: Option<Vec<_>> = from
        .chars()
        .filter(|char| *char != ':')
        .map(|char| char.to_digit(16).and_then(|digit| u8::try_from(digit).ok()))
        .collect();
    let bytes: Vec<_> = match digits.as_deref().map(<[u8]>::as_chunks::<2>) {
        Some((pairs, [])) => pairs.iter().map(|[high, low]| high << 4 | low).collect(),
        _ => return Err(wrong()),
    };
    *to = Some(bytes.try_into().map_err(|_| wrong())?);
    Ok(())
}

/// Reads what Go's `time.ParseDuration` reads, but nothing below zero.
pub(super) fn go_duration(text: &str) -> Option<Duration> {
    let text = text.strip_prefix('+').unwrap_or(text);
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let mut rest = text;
    let mut total: u64 = 0;
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after
            .find(|c: char| c == '.' || c.is_ascii_digit())
            .unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let unit = nanos(unit)?;
        let mut part = match whole {
            "" => 0,
            whole => whole.parse::<u64>().ok()?.checked_mul(unit)?,
        };
        // Digit by digit, cut at whole nanoseconds.
        let mut scale = unit;
        let mut rounded: u64 = 0;
        for digit in fraction.bytes().take(18) {
            // Tenths of the last scale: units are at most 3.6e12, so eighteen digits fit.
            rounded = rounded.checked_add(scale.checked_mul(u64::from(digit - b'0'))? / 10)?;
            scale /= 10;
        }
        part = part.checked_add(rounded)?;
        total = total.checked_add(part)?;
        rest = after;
    }
    // Go counts in 63 bits.
    (!text.is_empty() && i64::try_from(total).is_ok()).then(|| Duration::from_nanos(total))
}

fn digits(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

fn nanos(unit: &str) -> Option<u64> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}
