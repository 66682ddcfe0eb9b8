//! What others write, without the town's own secrets (invariant I17).
//!
//! An agent may quote the token that it was given, and a forge a header. Such a text is neither kept
//! nor refused: an event can't be refused (spec 2.2), and what a command asks for is not lost for it.
//! What is no text but a name or an address stays as it is, because decisions rest on it; `check`
//! reports it.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde_json::{Map, Value};

use crate::command::{Command, CommandKind};
use crate::event::Event;
use crate::mask::as_json;
use crate::secret::REDACTED;
use crate::town::Town;
use crate::wire;

/// Shorter texts occur by chance, and are no secrets of any forge.
const SECRET_CHARACTERS_MIN: usize = 8;

/// Secrets that no text may hold.
pub(crate) struct Unquotable {
    texts: Vec<String>,
    /// The same as they stand within JSON.
    written: Vec<String>,
}

impl Unquotable {
    pub(crate) fn is_empty(&self) -> bool {
        self.texts.is_empty()
    }

    /// Whether JSON quotes one.
    pub(crate) fn are_in(&self, json: &str) -> bool {
        self.written
            .iter()
            .any(|secret| json.contains(secret.as_str()))
    }

    fn out_of(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_string(), |text, secret| {
            text.replace(secret.as_str(), REDACTED)
        })
    }
}

impl Town {
    /// The secrets that no text of the town may hold.
    pub(crate) fn unquotable(&self) -> Unquotable {
        let secrets = self.state().config.exposed_secrets().into_values();
        let mut texts: Vec<String> = secrets
            .filter(|secret| secret.chars().count() >= SECRET_CHARACTERS_MIN)
            .collect();
        // Of two that begin alike nothing is left of the longer one.
        texts.sort_by_key(|secret| core::cmp::Reverse(secret.len()));
        let written = texts.iter().map(|secret| as_json(secret)).collect();
        Unquotable { texts, written }
    }

    /// The same event with `[redacted]` for each secret of the town; none if it quotes none.
    pub(crate) fn unquoted_event(&self, event: &Event) -> Option<Event> {
        let unquoted = wire::event_from_value(self.unquoted(event)?).ok()?;
        // What it is known by stays, whatever it looks like.
        Some(Event {
            id: event.id.clone(),
            at: event.at,
            key: event.key.clone(),
            kind: unquoted.kind,
        })
    }

    /// The same of a command. Settings, where secrets belong, are as they are.
    pub(crate) fn unquoted_command(&self, command: &Command) -> Option<Command> {
        if matches!(
            command.kind,
            CommandKind::UpdateConfig(_) | CommandKind::AddRig(_) | CommandKind::UpdateRig(_)
        ) {
            return None;
        }
        wire::command_from_value(self.unquoted(command)?).ok()
    }

    fn unquoted(&self, input: &impl Serialize) -> Option<Value> {
        let secrets = self.unquotable();
        if secrets.is_empty() {
            return None;
        }
        let value = serde_json::to_value(input).ok()?;
        let is_quoted = secrets.are_in(&value.to_string());
        is_quoted.then(|| self.without(value, &secrets))
    }

    fn without(&self, value: Value, secrets: &Unquotable) -> Value {
        match value {
            // A name of something in the town is no quotation.
            Value::String(text) if self.is_name(&text) => Value::String(text),
            Value::String(text) => Value::String(secrets.out_of(&text)),
            Value::Array(items) => items
                .into_iter()
                .map(|item| self.without(item, secrets))
                .collect(),
            Value::Object(fields) => {
                let mut out = Map::new();
                for (name, value) in fields {
                    if is_structural(&name) {
                        out.insert(name, value);
                        continue;
                    }
                    let mut name = secrets.out_of(&name);
                    // Two names that differed in their secrets only stay two.
                    while out.contains_key(&name) {
                        name.push('_');
                    }
                    out.insert(name, self.without(value, secrets));
                }
                Value::Object(out)
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => value,
        }
    }

    fn is_name(&self, text: &str) -> bool {
        let bead = || text.parse().ok().and_then(|id| self.bead(&id)).is_some();
        let agent = || text.parse().ok().and_then(|id| self.agent(&id)).is_some();
        let rig = || text.parse().ok().and_then(|id| self.rig(&id)).is_some();
        let nudge = || text.parse().ok().and_then(|id| self.nudge(&id)).is_some();
        bead() || agent() || rig() || nudge()
    }
}

/// Fields that name something, or say where it is.
fn is_structural(field: &str) -> bool {
    const NAMES: [&str; 13] = [
        "base_branch",
        "branch",
        "commit",
        "container_instance",
        "head_branch",
        "head_repository",
        "kind",
        "merge_commit",
        "nonce",
        "pr_url",
        "repository",
        "target_branch",
        "type",
    ];
    let ends = ["_id", "_ids", "_sha"];
    NAMES.contains(&field) || ends.iter().any(|end| field.ends_with(end))
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};

    use crate::testing::{at, executes, observed, town};

    const TOWN: &str = "
        town config.git_auth.github_token=ghp_0123456789 config.llm_token=ghp_0123456789-longer
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=2 reported=true last_bead=b1
        bead b1 issue in_progress rig_id=r1 assignee=a1
    ";

    /// I17: whatever an agent, a person or a forge quotes, no state holds it.
    #[test]
    fn i17_commands_that_quote_a_secret_are_taken_without_it() {
        for command in [
            r#"{"type": "sling", "caller": {"kind": "user", "id": "ann"}, "rig_id": "r1", "title": "x ghp_0123456789-longer", "body": "ghp_0123456789", "metadata": {"ghp_0123456789": {"a": ["ghp_0123456789"]}, "[redacted]": 1}}"#,
            r#"{"type": "report_status", "caller": {"kind": "agent", "id": "a1"}, "message": "token ghp_0123456789"}"#,
            r#"{"type": "send_mail", "caller": {"kind": "agent", "id": "a1"}, "to": "a1", "subject": "s", "body": "ghp_0123456789"}"#,
        ] {
            let told = executes(TOWN, command);
            assert!(!told.contains("refused"), "{told}");
            assert!(
                told.contains("[redacted]") && !told.contains("0123456789"),
                "{told}"
            );
            assert!(!told.contains("-longer"), "{told}");
        }
    }

    #[test]
    fn i17_events_that_quote_a_secret_are_taken_without_it() {
        for event in [
            r#"{"type": "heartbeat", "agent_id": "a1", "session": 2, "active_tools": ["ghp_0123456789"]}"#,
            r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "work", "summary": "used ghp_0123456789"}"#,
            r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "failed", "reason": "container eviction", "note": "ghp_0123456789"}"#,
        ] {
            let told = observed(TOWN, "0s", event);
            assert!(told.starts_with("observed"), "{told}");
            assert!(!told.contains("0123456789"), "{told}");
        }
    }

    /// A placeholder for a token may be the name of a repository.
    #[test]
    fn i17_addresses_stay_what_they_are() {
        let town = TOWN.replace("ghp_0123456789-longer", "lm-studio");
        let done = r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "work/lm-studio", "summary": "for lm-studio"}"#;
        let told = observed(&town, "0s", done);
        assert!(told.contains(r#""work/lm-studio""#), "{told}");
        let status = r#"{"type": "report_status", "caller": {"kind": "agent", "id": "a1"}, "message": "for lm-studio"}"#;
        assert!(executes(&town, status).contains("for [redacted]"));
    }

    /// However JSON writes it.
    #[test]
    fn i17_a_secret_with_quotes_is_known() {
        let town = TOWN.replace("ghp_0123456789-longer", r#""a\"b\\c-0123""#);
        let event = r#"{"type": "report_status", "caller": {"kind": "agent", "id": "a1"}, "message": "x a\"b\\c-0123"}"#;
        let told = executes(&town, event);
        assert!(
            told.contains("x [redacted]") && !told.contains("c-0123"),
            "{told}"
        );
    }

    /// Who names a rig like a token must still be able to name the rig.
    #[test]
    fn i17_names_of_the_town_are_no_quotations() {
        let town = TOWN.replace("rig r1", "rig ghp_0123456789\n        rig r1");
        let sling = r#"{"type": "sling", "caller": {"kind": "user", "id": "ann"}, "rig_id": "ghp_0123456789", "title": "x"}"#;
        assert!(executes(&town, sling).contains("rig_id: - → \"ghp_0123456789\""));
    }

    /// What is recorded replays to the same: without the secret, which a replay does not know.
    #[test]
    fn p13_what_quoted_a_secret_is_recorded_without_it() {
        let mut town = town(TOWN);
        let command = crate::wire::command_from_value(serde_json::json!({
            "type": "report_status", "caller": {"kind": "agent", "id": "a1"}, "message": "ghp_0123456789",
        }));
        let event = crate::wire::event_from_value(serde_json::json!({
            "id": "e1", "at": at("0s"), "type": "heartbeat", "agent_id": "a1", "session": 2,
            "active_tools": ["ghp_0123456789"],
        }));
        let (commands, events) = ([command.unwrap()], [event.unwrap()]);
        let input = crate::TickInput {
            number: 1,
            now: at("0s"),
            loaded: false,
            recalled: &[],
            stored: &events,
            local: &[],
            commands: &commands,
        };
        let ticked = crate::tick(&mut town, &input);
        let record = ticked.record(&input, core::time::Duration::ZERO);
        let written: String = record.iter().map(|entry| entry.body.to_string()).collect();
        assert!(written.contains("[redacted]"), "{written}");
        assert!(!written.contains("0123456789"), "{written}");
        let agent = ticked
            .changes
            .put
            .iter()
            .find(|row| row.key.kind == "agent");
        assert!(!agent.unwrap().body.contains("0123456789"));
    }
}
