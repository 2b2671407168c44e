//! What stands in an event's header, and what becomes of it in a context.

use std::time::{Duration, UNIX_EPOCH};

use tokio::time::Instant;

use crate::broker::Message;
use crate::context::Context;
use crate::error::Error;
use crate::metadata::{Metadata, Text};
use crate::tasks::{Tasks, after};

/// The header of the publisher's deadline, in milliseconds of Unix time: sent where
/// [`Publish::carry_deadline`](super::Publish::carry_deadline) asks for it.
pub const DEADLINE: &str = "Micro-Deadline";
/// The header of a dead letter with the topic that it was published to.
pub const DEAD_TOPIC: &str = "Micro-Dead-Topic";
/// The header of a dead letter with the last failure, in words.
pub const DEAD_ERROR: &str = "Micro-Dead-Error";
/// The header of a dead letter with how often its handler was run.
pub const DEAD_ATTEMPTS: &str = "Micro-Dead-Attempts";

pub(super) const CONTENT_TYPE: &str = "Content-Type";
pub(super) const TOPIC: &str = "Micro-Topic";
const ID: &str = "Micro-ID";

/// How much is told of why an event is dead.
const LONGEST_ERROR: usize = 1024;

/// The header that Go Micro's client writes: metadata under title-cased keys, and over it what the
/// event is.
pub(super) fn outgoing(
    metadata: &Metadata,
    content_type: &str,
    topic: &Text,
    id: String,
) -> Metadata {
    let mut header = Metadata::with_capacity(metadata.len() + 4);
    for (key, value) in metadata.iter_text() {
        header.set(title(key), value.clone());
    }
    header.set(CONTENT_TYPE, content_type.to_owned());
    header.set(TOPIC, topic.clone());
    header.set(ID, id);
    header
}

/// Says until when the publisher cares.
pub(super) fn set_deadline(header: &mut Metadata, deadline: Instant, tasks: &Tasks) {
    let left = deadline.saturating_duration_since(Instant::now());
    let at = tasks.now().duration_since(UNIX_EPOCH).unwrap_or_default();
    header.set(DEADLINE, at.saturating_add(left).as_millis().to_string());
}

/// The context of an event: its whole header as metadata, and the deadline that it names.
pub(super) fn incoming(header: &Metadata, tasks: &Tasks) -> Context {
    let deadline = header.get(DEADLINE).and_then(|text| text.parse().ok());
    let deadline = deadline.map(|millis| {
        let now = tasks.now().duration_since(UNIX_EPOCH).unwrap_or_default();
        after(Duration::from_millis(millis).saturating_sub(now))
    });
    Context::build(header.clone(), deadline, None)
}

/// The dead letter of `message`, whose handler was run `attempts` times and last failed with `error`.
pub(super) fn dead_letter(message: &Message, topic: &str, error: &Error, attempts: u32) -> Message {
    let words = error.to_string();
    // Which nodes its handler's calls went to is not told to who reads it.
    let hidden = error.why().and_then(|why| why.hide(&words));
    let mut words = hidden.unwrap_or(words);
    if words.len() > LONGEST_ERROR {
        let end = (0..=LONGEST_ERROR)
            .rev()
            .find(|at| words.is_char_boundary(*at));
        words.truncate(end.unwrap_or_default());
    }
    let mut letter = message.clone();
    // It speaks of handling that is over.
    letter.header.remove(DEADLINE);
    letter.header.set(DEAD_TOPIC, topic.to_owned());
    letter.header.set(DEAD_ERROR, words);
    letter.header.set(DEAD_ATTEMPTS, attempts.to_string());
    letter
}

/// Go's title case: the first letter of each word in capitals, the others as they are.
fn title(key: &Text) -> Text {
    let mut titled = String::with_capacity(key.len());
    let mut begins = true;
    for c in key.chars() {
        if begins {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        // To Go an underscore is no end of a word.
        begins = if c.is_ascii() {
            !(c.is_ascii_alphanumeric() || c == '_')
        } else {
            c.is_whitespace()
        };
    }
    if titled == **key {
        key.clone()
    } else {
        titled.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_get_gos_title_case() {
        for (key, titled) in [
            ("x-user", "X-User"),
            ("foo", "Foo"),
            ("fOO", "FOO"),
            ("x_user id", "X_user Id"),
            ("micro-trace-id", "Micro-Trace-Id"),
            ("größe-ä", "Größe-Ä"),
            ("", ""),
        ] {
            assert_eq!(title(&Text::from(key)), titled);
        }
    }

    #[test]
    fn what_an_event_is_stands_over_metadata() {
        let metadata = [("content-type", "text/plain"), ("micro-topic", "other")];
        let header = outgoing(
            &metadata.into_iter().collect(),
            "application/json",
            &Text::from("greeted"),
            "7".to_owned(),
        );
        let pairs: Vec<_> = header.iter().collect();
        assert_eq!(
            pairs,
            [
                ("Content-Type", "application/json"),
                ("Micro-Topic", "greeted"),
                ("Micro-ID", "7")
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deadline_comes_back_as_it_went() {
        let tasks = Tasks::seeded(1, UNIX_EPOCH + Duration::from_secs(1_700_000_000));
        let mut header = Metadata::new();
        set_deadline(&mut header, Instant::now() + Duration::from_secs(3), &tasks);
        assert_eq!(header.get(DEADLINE), Some("1700000003000"));
        tokio::time::advance(Duration::from_secs(1)).await;
        let cx = incoming(&header, &tasks);
        assert_eq!(cx.remaining(), Some(Duration::from_secs(2)));
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(incoming(&header, &tasks).is_cancelled());
    }

    #[test]
    fn a_deadline_that_is_none_is_ignored() {
        for wrong in ["", "soon", "-1", "1e9", "99999999999999999999999"] {
            let header = [(DEADLINE, wrong)].into_iter().collect();
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .expect("a runtime");
            let deadline = runtime.block_on(async { incoming(&header, &Tasks::new()).deadline() });
            assert_eq!(deadline, None, "{wrong}");
        }
    }

    #[test]
    fn a_long_error_is_cut_between_characters() {
        let error = Error::plain("ä".repeat(2000));
        let letter = dead_letter(&Message::default(), "t", &error, 1);
        assert_eq!(letter.header.get(DEAD_ERROR).map(str::len), Some(1024));
    }
}
