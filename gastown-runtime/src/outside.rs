//! What comes from outside: agents and forges say as much as they like, and a store takes events up to
//! [`Event::BYTES_MAX`]. What can't be refused, since it happened, is cut; of an answer of a forge that
//! can't be cut it is said that it was too long, or a name in it.

use gastown_core::events::{
    AgentExited, AgentStarted, DispatchFailed, Heartbeat, MergeAttempted, PrObserved,
};
use gastown_core::{EventKind, ForgeError, MergeOutcome, VerifyOutcome};

#[cfg(doc)]
use gastown_core::Event;

/// Longest text for people, in bytes: a note of the engine's has no more. Two of them, of nothing but
/// characters that JSON writes in six, fit into an event.
const TEXT_BYTES_MAX: usize = 64 * 1024;
/// Longest name of something that an agent did or uses.
const NAME_BYTES_MAX: usize = 1024;
/// Most tools of an agent that are shown.
const TOOLS_MAX: usize = 64;
/// Longest answer of a forge, in bytes of JSON. The event has names and its effect's key besides.
const ANSWER_BYTES_MAX: usize = 1000 * 1024;

/// The same fact in a form that every store takes.
pub(crate) fn bounded(kind: EventKind) -> EventKind {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "all others hold names of the engine's and no texts, or come from the host"
    )]
    match kind {
        EventKind::AgentStarted(started) => EventKind::from(AgentStarted {
            container_instance: started.container_instance.map(name),
            ..started
        }),
        EventKind::AgentExited(exited) => EventKind::from(AgentExited {
            reason: exited.reason.map(|text| cut(text, TEXT_BYTES_MAX)),
            note: exited.note.map(|text| cut(text, TEXT_BYTES_MAX)),
            ..exited
        }),
        EventKind::DispatchFailed(failed) => EventKind::from(DispatchFailed {
            reason: cut(failed.reason, TEXT_BYTES_MAX),
            ..failed
        }),
        EventKind::Heartbeat(heartbeat) => EventKind::from(bounded_heartbeat(heartbeat)),
        EventKind::PrObserved(observed) => EventKind::from(bounded_look(observed)),
        EventKind::MergeAttempted(attempted) => EventKind::from(bounded_merge(attempted)),
        EventKind::MergeVerified(mut verified) => {
            if too_long(&verified.outcome).is_some() || misnamed(verified.clone()).is_some() {
                verified.outcome = VerifyOutcome::Unknown;
            }
            verified.into()
        }
        other => other,
    }
}

fn bounded_heartbeat(mut heartbeat: Heartbeat) -> Heartbeat {
    heartbeat.container_instance = heartbeat.container_instance.map(name);
    heartbeat.last_event_type = heartbeat.last_event_type.map(name);
    heartbeat.active_tools.truncate(TOOLS_MAX);
    heartbeat.active_tools = heartbeat.active_tools.into_iter().map(name).collect();
    heartbeat
}

fn name(text: String) -> String {
    cut(text, NAME_BYTES_MAX)
}

fn bounded_look(observed: PrObserved) -> PrObserved {
    let unfit = too_long(&observed.observation)
        .or_else(|| too_long(&observed.error))
        .or_else(|| misnamed(observed.clone()));
    match unfit {
        Some(error) => PrObserved {
            observation: None,
            error: Some(error),
            ..observed
        },
        None => observed,
    }
}

fn bounded_merge(mut attempted: MergeAttempted) -> MergeAttempted {
    if let MergeOutcome::Refused { message, .. } = &mut attempted.outcome {
        *message = cut(core::mem::take(message), TEXT_BYTES_MAX);
    }
    // Whether it merged, the next look tells.
    if let Some(error) = too_long(&attempted.outcome).or_else(|| misnamed(attempted.clone())) {
        attempted.outcome = MergeOutcome::Error { error };
    }
    attempted
}

/// What to say of an answer instead of it, if a name in it is too long.
fn misnamed(answer: impl Into<EventKind>) -> Option<ForgeError> {
    let why = answer.into().problem()?;
    Some(ForgeError::InvalidResponse { why })
}

/// What to say of an answer instead of it, if it is too long.
fn too_long(answer: &impl serde::Serialize) -> Option<ForgeError> {
    let bytes = serde_json::to_string(answer).map_or(usize::MAX, |text| text.len());
    (bytes > ANSWER_BYTES_MAX).then(|| ForgeError::InvalidResponse {
        why: format!("an answer of {bytes} bytes; {ANSWER_BYTES_MAX} at most are taken"),
    })
}

/// The beginning of `text`, with a word on how long it was, if it has more than `bytes_max` bytes.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() <= bytes_max {
        return text;
    }
    let mark = format!(" … (cut; it had {} bytes)", text.len());
    let mut end = bytes_max.saturating_sub(mark.len());
    while !text.is_char_boundary(end) {
        end = end.saturating_sub(1);
    }
    text.truncate(end);
    text.push_str(&mark);
    text
}

#[cfg(test)]
mod tests {
    use gastown_core::events::ExitStatus;
    use gastown_core::{Effect, Event, Timestamp, effects};
    use serde_json::{Value, json};

    use super::*;

    /// An event as the runtime makes it, with the longest key.
    fn stored(kind: EventKind) -> Event {
        let longest = "é".repeat(512);
        let message = effects::NotifyMayor {
            topic: longest.clone(),
            message: String::new(),
        };
        Event {
            id: "e1".parse().unwrap(),
            at: Timestamp::MIN,
            key: Some(Effect::new(longest, u64::MAX, message).key),
            kind: bounded(kind),
        }
    }

    fn event_kind(value: Value) -> EventKind {
        let mut event = json!({"id": "e1", "at": "2026-04-04T12:00:00Z"});
        event
            .as_object_mut()
            .unwrap()
            .extend(value.as_object().unwrap().clone());
        gastown_core::wire::event_from_value(event).unwrap().kind
    }

    #[test]
    fn texts_are_cut_between_characters_and_say_so() {
        assert_eq!(cut("short".into(), 40), "short");
        let exact = "é".repeat(20);
        assert_eq!(cut(exact.clone(), 40), exact);
        assert_eq!(
            cut("é".repeat(30), 40),
            "éééééé … (cut; it had 60 bytes)",
            "the half of a character is left out"
        );
        for bytes_max in 40..60 {
            assert!(cut("🦀".repeat(30), bytes_max).len() <= bytes_max);
        }
    }

    #[test]
    fn whatever_comes_from_outside_is_taken_by_a_store() {
        // JSON writes this character in six.
        let long = "\u{1}".repeat(3 * Event::BYTES_MAX);
        let exited = EventKind::from(AgentExited {
            agent_id: "a1".parse().unwrap(),
            status: ExitStatus::Failed,
            session: Some(1),
            bead_id: None,
            reason: Some(long.clone()),
            note: Some(long.clone()),
        });
        let observation = json!({
            "state": "open", "head_sha": long, "head_branch": "work", "base_branch": "main",
            "mergeable": "unknown",
        });
        let mut misnamed = observation.clone();
        misnamed["head_sha"] = "x".repeat(Event::NAME_BYTES_MAX).into();
        let mut shown = Vec::new();
        for kind in [
            exited,
            event_kind(
                json!({"type": "dispatch_failed", "agent_id": "a1", "outcome": "rejected", "reason": long}),
            ),
            event_kind(
                json!({"type": "heartbeat", "agent_id": "a1", "last_event_type": long,
                "container_instance": long, "active_tools": vec!["\u{1}".repeat(4096); 512]}),
            ),
            event_kind(
                json!({"type": "pr_observed", "bead_id": "b1", "error": {"kind": "invalid_response", "why": long}}),
            ),
            event_kind(json!({"type": "pr_observed", "bead_id": "b1", "observation": observation})),
            event_kind(json!({"type": "pr_observed", "bead_id": "b1", "observation": misnamed})),
            event_kind(
                json!({"type": "agent_started", "agent_id": "a1", "container_instance": long}),
            ),
            event_kind(
                json!({"type": "merge_attempted", "bead_id": "b1", "head_sha": "h1",
                "outcome": {"kind": "not_ready", "observation": observation}}),
            ),
            event_kind(
                json!({"type": "merge_attempted", "bead_id": "b1", "head_sha": "h1",
                "outcome": {"kind": "refused", "status": 405, "message": long}}),
            ),
            event_kind(
                json!({"type": "merge_attempted", "bead_id": "b1", "head_sha": "h1",
                "outcome": {"kind": "merged", "commit": long}}),
            ),
            event_kind(
                json!({"type": "merge_verified", "bead_id": "b1", "outcome": {"kind": "landed", "commit": long}}),
            ),
        ] {
            let event = stored(kind);
            let text = event.to_stored("append_events").unwrap();
            let value: Value = serde_json::from_str(&text).unwrap();
            let kind =
                ["outcome", "error"].map(|field| value[field]["kind"].as_str().unwrap_or("-"));
            shown.push(format!(
                "{}: {}",
                value["type"].as_str().unwrap(),
                kind.join(" ")
            ));
        }
        let expected = [
            "agent_exited: - -",
            "dispatch_failed: - -",
            "heartbeat: - -",
            "pr_observed: - invalid_response",
            "pr_observed: - invalid_response",
            "pr_observed: - invalid_response",
            "agent_started: - -",
            "merge_attempted: error -",
            "merge_attempted: refused -",
            "merge_attempted: error -",
            "merge_verified: unknown -",
        ];
        assert_eq!(shown, expected);
    }
}
