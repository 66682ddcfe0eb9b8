//! What keeps a fact from being taken at the door. Once it is in an inbox, nothing is refused any more
//! (spec 2.2): it is observed and recorded, so whatever would make a row or a record too long for a
//! store, or could not be read back, has to be found before.

use alloc::format;
use alloc::string::{String, ToString};

use serde_json::Value;

use super::{Event, EventKind};
use crate::ids::shown;
use crate::tick::to_json;
use crate::wire;

/// Fields of events that hold words for people; all other texts name something.
const WORDS: [&str; 6] = ["reason", "note", "summary", "exit_reason", "message", "why"];

/// However it is written, so short a text is no longer than [`Event::NAME_BYTES_MAX`] in JSON.
const SHORT_BYTES_MAX: usize = 1_024;

const SHOWN_CHARACTERS_MAX: usize = 80;

impl Event {
    /// Longest name in an event (a branch, a commit, an instance, a URL, a check), in bytes of JSON. A
    /// town keeps some of them many times over, each look at a head in all that is known of it.
    pub const NAME_BYTES_MAX: usize = 8 * 1024;

    /// What keeps a store from taking the event, whatever its length: a name that is too long, or a form
    /// in which nobody could read it back, as a look that holds neither an answer nor an error.
    ///
    /// ```
    /// use gastown_core::wire::event_from_str;
    /// let text = r#"{"id": "e1", "at": "2026-04-04T12:00:00Z", "type": "agent_gone", "agent_id": "a1"}"#;
    /// assert_eq!(event_from_str(text)?.problem(), None);
    /// # Ok::<(), gastown_core::wire::WireError>(())
    /// ```
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        let value = to_json(self);
        long_name("", &value).or_else(|| match wire::event_from_value(value) {
            Ok(read) if read == *self => None,
            Ok(_) => Some("it is read back as another".into()),
            Err(error) => Some(format!("it can't be read back: {error}")),
        })
    }
}

impl EventKind {
    /// The first name that is longer than [`Event::NAME_BYTES_MAX`], said for people.
    #[must_use]
    pub fn problem(&self) -> Option<String> {
        long_name("", &to_json(self))
    }
}

fn long_name(field: &str, value: &Value) -> Option<String> {
    match value {
        Value::String(_) if WORDS.contains(&field) => None,
        Value::String(text) if text.len() <= SHORT_BYTES_MAX => None,
        Value::String(text) => {
            let (bytes, most) = (value.to_string().len(), Event::NAME_BYTES_MAX);
            (bytes > most).then(|| {
                let text = shown(text, SHOWN_CHARACTERS_MAX);
                format!("`{field}` \"{text}\" has {bytes} bytes, {most} at most are taken")
            })
        }
        Value::Array(items) => items.iter().find_map(|item| long_name(field, item)),
        Value::Object(fields) => fields
            .iter()
            .find_map(|(field, value)| long_name(field, value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::events::PrObserved;
    use crate::time::Timestamp;

    fn event(kind: EventKind) -> Event {
        Event {
            id: "e1".parse().unwrap(),
            at: Timestamp::MIN,
            key: None,
            kind,
        }
    }

    fn observed(head_sha: &str, dequeued_because: &str) -> Event {
        wire::event_from_value(json!({
            "id": "e1", "at": "2026-04-04T12:00:00Z", "type": "pr_observed", "bead_id": "b1",
            "observation": {
                "state": "open", "head_sha": head_sha, "head_branch": "work", "base_branch": "main",
                "mergeable": "unknown",
                "dequeued": {"at": "2026-04-04T12:00:00Z", "cause": "other", "reason": dequeued_because},
            },
        }))
        .unwrap()
    }

    #[test]
    fn names_end_at_their_limit_and_words_do_not() {
        let longest = "x".repeat(Event::NAME_BYTES_MAX - 2);
        let words = "\u{1}".repeat(Event::NAME_BYTES_MAX);
        assert_eq!(observed(&longest, &words).problem(), None);
        // JSON writes it in more bytes than it has.
        for longer in [
            format!("{longest}x"),
            "\u{1}".repeat(Event::NAME_BYTES_MAX / 6 + 1),
        ] {
            let said = observed(&longer, "").problem().unwrap();
            assert!(said.starts_with("`head_sha` \""), "{said}");
            assert!(said.ends_with("8192 at most are taken"), "{said}");
        }
    }

    #[test]
    fn what_could_not_be_read_back_is_a_problem() {
        let EventKind::PrObserved(seen) = observed("h1", "").kind else {
            unreachable!()
        };
        let neither = PrObserved {
            observation: None,
            ..seen.clone()
        };
        let both = PrObserved {
            error: Some(crate::forge::ForgeError::Network),
            ..seen
        };
        for kind in [neither, both] {
            let said = event(kind.into()).problem().unwrap();
            assert!(
                said.contains("exactly one of `observation` and `error`"),
                "{said}"
            );
        }
    }
}
