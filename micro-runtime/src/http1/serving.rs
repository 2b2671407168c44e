//! What servers of HTTP/1.1 share beside the parser.

use std::time::{Duration, SystemTime};

use bytes::BytesMut;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{Outbox, put_decimal};
use crate::transport::Io;

/// How long a refused caller may take to read the answer and close.
const LINGER: Duration = Duration::from_secs(1);

/// Closes so that the peer still reads the answer: a close with unread bytes would reset. Of what it
/// still sends, up to `most` bytes are passed over.
pub(crate) async fn linger(mut io: Box<dyn Io>, most: usize) {
    let drain = async {
        io.shutdown().await?;
        let mut unread = BytesMut::with_capacity(8 * 1024);
        let mut passed_over = 0;
        while passed_over < most && io.read_buf(&mut unread).await? > 0 {
            passed_over += unread.len();
            unread.clear();
        }
        std::io::Result::Ok(())
    };
    // Whether it went well or not, the connection is over.
    let _ = tokio::time::timeout(LINGER, drain).await;
}

/// Whether a `Host` names this machine by a loopback address or as `localhost`.
pub(crate) fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = std::str::from_utf8(host) else {
        return false;
    };
    let name = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, _)) => inside,
        None => host.rsplit_once(':').map_or(host, |(name, _)| name),
    };
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<std::net::IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

/// Appends an answer in plain text; the connection closes after it.
pub(crate) fn put_plain(out: &mut Outbox, code: u16, status: &str, words: &str) {
    let head = out.buffer();
    head.extend_from_slice(b"HTTP/1.1 ");
    put_decimal(head, u64::from(code));
    head.extend_from_slice(b" ");
    head.extend_from_slice(status.as_bytes());
    head.extend_from_slice(
        b"\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\nContent-Length: ",
    );
    put_decimal(head, words.len() as u64 + 1);
    head.extend_from_slice(b"\r\n\r\n");
    head.extend_from_slice(words.as_bytes());
    head.extend_from_slice(b"\n");
}

/// Appends `time` as a `Date` field has it (RFC 9110 section 5.6.7): `Sat, 21 Nov 2026 08:16:39 GMT`.
pub(crate) fn put_date(out: &mut BytesMut, time: SystemTime) {
    const WEEKDAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let seconds = time
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = date(days);
    let name = |names: &[&'static str], at: u64| {
        let at = usize::try_from(at).unwrap_or_default();
        names.get(at % names.len()).copied().unwrap_or_default()
    };
    let text = format!(
        "{}, {day:02} {} {year:04} {:02}:{:02}:{:02} GMT",
        name(&WEEKDAYS, days % 7),
        name(&MONTHS, month - 1),
        second / 3_600,
        second / 60 % 60,
        second % 60,
    );
    out.extend_from_slice(text.as_bytes());
}

/// Year, month and day of a day counted from 1970.
fn date(days: u64) -> (u64, u64, u64) {
    // Years begin with March here, so that a leap day is the last of its year, and are counted from
    // 1600, where 400 years with all their leap days begin; 11,017 days after 1970 they begin again.
    const CYCLE: u64 = 146_097;
    let day = days + CYCLE - 11_017;
    let (cycles, day) = (day / CYCLE, day % CYCLE);
    // The year of a day once the leap days before it are taken away.
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    // Months from March: 31, 30, 31, 30, 31 days again and again, 153 in all.
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let (turn, month) = if month < 10 {
        (0, month + 3)
    } else {
        (1, month - 9)
    };
    (1600 + 400 * cycles + year + turn, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (seconds, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_795_248_999, "Sat, 21 Nov 2026 08:16:39 GMT"),
            (4_107_542_399, "Sun, 28 Feb 2100 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            let mut text = BytesMut::new();
            put_date(
                &mut text,
                SystemTime::UNIX_EPOCH + Duration::from_secs(seconds),
            );
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn only_this_machine_is_loopback() {
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1",
            "127.9.9.9:1",
            "[::1]",
            "[::1]:8080",
        ] {
            assert!(is_loopback(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            "example.org",
            "localhost.example.org",
            "127.0.0.1.example.org",
            "10.0.0.1:80",
            "[::2]:80",
            ":80",
        ] {
            assert!(!is_loopback(host.as_bytes()), "{host}");
        }
    }
}
