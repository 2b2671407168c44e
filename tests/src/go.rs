//! Texts as Go writes and reads them: durations, and structs as JSON.

use std::time::Duration;

use micro_runtime::call::Payload;
use micro_runtime::codec::{self, JsonCodec};

/// Reads a duration as Go's `time.ParseDuration`: `2s`, `15ms`, `1m30s`, `1.5h`.
///
/// # Errors
/// Where it is none, or is negative.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("{text:?} is no duration such as 2s, 15ms or 1m30s");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let mut rest = text;
    let mut total = 0.0;
    while !rest.is_empty() {
        let digits = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .ok_or_else(wrong)?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail
            .find(|c: char| c.is_ascii_digit() || c == '.')
            .unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * seconds;
        rest = tail;
    }
    if text.is_empty() {
        return Err(wrong());
    }
    Duration::try_from_secs_f64(total).map_err(|_| wrong())
}

/// Writes a duration, rounded to milliseconds, as Go prints it: `0s`, `12ms`, `1.5s`, `1m1.002s`.
pub fn rounded_to_millis(duration: Duration) -> String {
    let millis = (duration.as_micros() + 500) / 1000;
    match millis {
        0 => "0s".to_owned(),
        1..1000 => format!("{millis}ms"),
        _ => {
            let (minutes, millis) = (millis / 60_000, millis % 60_000);
            let mut seconds = format!("{}.{:03}", millis / 1000, millis % 1000);
            seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
            match (minutes / 60, minutes % 60) {
                (0, 0) => format!("{seconds}s"),
                (0, minutes) => format!("{minutes}m{seconds}s"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// A message as Go's `encoding/json` writes its struct; the words of the error where it cannot.
pub fn json(message: &dyn Payload) -> String {
    let codec = JsonCodec::go("application/json-rpc");
    match codec::encode(&codec, message) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim_end().to_owned(),
        Err(error) => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, millis) in [
            ("2s", 2000),
            ("15ms", 15),
            ("1m30s", 90_000),
            ("1.5s", 1500),
            ("0", 0),
            ("0s", 0),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(millis)));
        }
        for text in ["", "2", "s", "2 s", "-1s", "1d", "1..5s"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        let text = |micros| rounded_to_millis(Duration::from_micros(micros));
        assert_eq!(
            [0, 499, 500, 12_345, 1_500_000, 2_000_000, 61_002_000].map(text),
            ["0s", "0s", "1ms", "12ms", "1.5s", "2s", "1m1.002s"]
        );
        assert_eq!(text(3_600_000_000), "1h0m0s");
    }
}
