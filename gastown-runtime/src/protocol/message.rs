//! What host and agent say to each other (spec 6.3).

use gastown_core::{AgentId, BeadId, NudgeId, NudgeTier, Role, StartRequest, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{ACTIVE_TOOLS_MAX, LINE_BYTES_MAX, LineError, NAME_BYTES_MAX};

/// The first thing that an agent hears: who it is and what it is to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Start {
    /// The agent.
    pub agent_id: AgentId,
    /// The session of it that this process is.
    pub session: u64,
    /// What the agent does.
    pub role: Role,
    /// What people call it.
    pub name: String,
    /// The bead that it is hooked to.
    pub bead_id: BeadId,
    /// The branch to work on; the worktree has it checked out.
    pub branch: String,
    /// The branch that the work goes to.
    pub target_branch: String,
    /// The organization that pays for the agent's model; none: the town has none, whatever the
    /// agent's own configuration says (spec 6.5).
    #[serde(default)]
    pub organization_id: Option<String>,
    /// The model, where one is configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The instructions (spec 6.6).
    pub prompt: String,
    /// What the agent needs to know (spec 6.6, `prime`).
    pub context: Value,
}

impl From<&StartRequest> for Start {
    fn from(request: &StartRequest) -> Self {
        Self {
            agent_id: request.session.agent_id.clone(),
            session: request.session.session,
            role: request.role,
            name: request.name.clone(),
            bead_id: request.bead_id.clone(),
            branch: request.branch.clone(),
            target_branch: request.target_branch.clone(),
            organization_id: request.organization_id.clone(),
            model: request.model.clone(),
            prompt: request.prompt.clone(),
            context: request.context.clone(),
        }
    }
}

/// A message for a running agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The nudge that it is; the same one may come twice.
    pub nudge_id: NudgeId,
    /// Why it is sent.
    pub tier: NudgeTier,
    /// The text.
    pub text: String,
}

/// Why a tool call was refused, or why nobody knows what came of it.
///
/// With a field of the input nothing was changed. With `.` the message says what happened: a store
/// that failed or did not answer, a town that was closed meanwhile and a host that gave no answer
/// may have carried the call out all the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolRefusal {
    /// The field of the input that is at fault; `.` is the whole.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// The answer to a tool call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(into = "ToolResultForm", try_from = "ToolResultForm")]
pub struct ToolResult {
    /// The call that it answers.
    pub id: u64,
    /// What came of it.
    pub outcome: Result<Value, ToolRefusal>,
}

/// How a [`ToolResult`] is written.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ToolResultForm {
    id: u64,
    ok: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<ToolRefusal>,
}

impl From<ToolResult> for ToolResultForm {
    fn from(result: ToolResult) -> Self {
        let ok = result.outcome.is_ok();
        let (value, error) = match result.outcome {
            Ok(value) => (Some(value), None),
            Err(refusal) => (None, Some(refusal)),
        };
        Self {
            id: result.id,
            ok,
            value,
            error,
        }
    }
}

impl TryFrom<ToolResultForm> for ToolResult {
    type Error = &'static str;
    fn try_from(form: ToolResultForm) -> Result<Self, Self::Error> {
        let outcome = match (form.ok, form.value, form.error) {
            (true, value, None) => Ok(value.unwrap_or(Value::Null)),
            (false, None, Some(refusal)) => Err(refusal),
            (true, _, Some(_)) => return Err("expected no `error` where `ok` is true"),
            (false, ..) => return Err("expected `error` and no `value` where `ok` is false"),
        };
        Ok(Self {
            id: form.id,
            outcome,
        })
    }
}

/// The agent is to wrap up and exit; after a while it is killed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stop {
    /// Why, for a person.
    pub reason: String,
}

/// The agent lives. Expected every 30 seconds (spec 6.3).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// What its model session last did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_type: Option<String>,
    /// When its model session last did something.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_event_at: Option<Timestamp>,
    /// Tools that run now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub active_tools: Vec<String>,
}

/// The agent wants something done (the tools of spec 2.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolCall {
    /// The agent's number for this call; the result carries it.
    pub id: u64,
    /// The tool, for example `gt_done`.
    pub name: String,
    /// The tool's input.
    pub input: Map<String, Value>,
}

/// A line for the session's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// The text.
    pub text: String,
}

macro_rules! lines {
    ($(#[$head:meta])* $enum:ident { $($(#[$doc:meta])* $variant:ident($struct:ty) = $tag:literal,)* }) => {
        $(#[$head])*
        #[derive(Debug, Clone, PartialEq, Serialize)]
        #[serde(tag = "type")]
        pub enum $enum {
            $($(#[$doc])* #[serde(rename = $tag)] $variant($struct),)*
        }

        impl $enum {
            /// Every type, as it stands on the wire.
            pub const TYPES: &'static [&'static str] = &[$($tag),*];

            /// Reads one line.
            ///
            /// # Errors
            /// [`LineError`] says what is wrong, where, and what was expected.
            pub fn parse(line: &str) -> Result<Self, LineError> {
                let (type_name, object) = typed_object(line)?;
                let read = match type_name.as_str() {
                    $($tag => read_object(object).map(Self::$variant)?,)*
                    _ => return Err(unknown_type(&type_name, Self::TYPES)),
                };
                read.check()?;
                Ok(read)
            }

            /// The line for this, with its line feed.
            ///
            /// # Errors
            /// [`LineError::TooLong`] when it does not fit into a line.
            pub fn to_line(&self) -> Result<String, LineError> {
                let mut line = serde_json::to_string(self)
                    .map_err(|error| LineError::NotJson { message: error.to_string() })?;
                if line.len() > LINE_BYTES_MAX {
                    return Err(LineError::TooLong { limit: LINE_BYTES_MAX });
                }
                line.push('\n');
                Ok(line)
            }
        }

        $(impl From<$struct> for $enum {
            fn from(value: $struct) -> Self {
                Self::$variant(value)
            }
        })*
    };
}

lines! {
    /// What the host says to an agent.
    ToAgent {
        /// Who it is and what it is to do; always the first line.
        Start(Start) = "start",
        /// A message.
        Message(Message) = "message",
        /// The answer to a tool call.
        Result(ToolResult) = "result",
        /// Wrap up and exit.
        Stop(Stop) = "stop",
    }
}

lines! {
    /// What an agent says to the host.
    FromAgent {
        /// It lives.
        Heartbeat(Heartbeat) = "heartbeat",
        /// It wants something done.
        Tool(ToolCall) = "tool",
        /// A line for the log.
        Log(Log) = "log",
    }
}

impl ToAgent {
    // The host is trusted to keep the limits; both directions share the reader.
    fn check(&self) -> Result<(), LineError> {
        match self {
            Self::Start(_) | Self::Message(_) | Self::Result(_) | Self::Stop(_) => Ok(()),
        }
    }
}

impl FromAgent {
    fn check(&self) -> Result<(), LineError> {
        match self {
            Self::Heartbeat(heartbeat) => heartbeat.check(),
            Self::Tool(call) => check_name("name", &call.name),
            Self::Log(_) => Ok(()),
        }
    }
}

impl Heartbeat {
    // What a heartbeat says is stored with the agent, so it has to stay small.
    fn check(&self) -> Result<(), LineError> {
        if self.active_tools.len() > ACTIVE_TOOLS_MAX {
            let message = format!("expected at most {ACTIVE_TOOLS_MAX} tools");
            return Err(invalid("active_tools", message));
        }
        for tool in &self.active_tools {
            check_name("active_tools", tool)?;
        }
        match &self.last_event_type {
            Some(name) => check_name("last_event_type", name),
            None => Ok(()),
        }
    }
}

fn check_name(path: &str, name: &str) -> Result<(), LineError> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        let message = format!("expected a name of 1 to {NAME_BYTES_MAX} bytes");
        return Err(invalid(path, message));
    }
    Ok(())
}

fn invalid(path: &str, message: impl Into<String>) -> LineError {
    LineError::Invalid {
        path: path.into(),
        message: message.into(),
    }
}

fn unknown_type(found: &str, expected: &[&str]) -> LineError {
    // Escaped and cut: the text comes from a program that may print anything.
    let shown: String = found
        .chars()
        .take(80)
        .flat_map(char::escape_debug)
        .collect();
    let expected = expected.join(", ");
    invalid(
        "type",
        format!("unknown type \"{shown}\", expected one of {expected}"),
    )
}

/// Parses a line and takes its type out of it.
fn typed_object(line: &str) -> Result<(String, Map<String, Value>), LineError> {
    let value: Value = serde_json::from_str(line).map_err(|error| LineError::NotJson {
        message: error.to_string(),
    })?;
    let Value::Object(mut object) = value else {
        return Err(invalid(".", "expected a JSON object"));
    };
    match object.remove("type") {
        Some(Value::String(name)) => Ok((name, object)),
        Some(_) => Err(invalid("type", "expected a text")),
        None => Err(invalid("type", "missing field `type`")),
    }
}

fn read_object<T: DeserializeOwned>(object: Map<String, Value>) -> Result<T, LineError> {
    serde_path_to_error::deserialize(Value::Object(object)).map_err(|error| {
        let path = error.path().to_string();
        invalid(&path, error.into_inner().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn refused(line: &str, expected: &str) {
        assert_eq!(FromAgent::parse(line).unwrap_err().to_string(), expected);
    }

    #[test]
    fn what_an_agent_says_is_read_strictly() {
        refused(
            r#"{"type":"heartbeat","active_tool":[]}"#,
            "active_tool: unknown field `active_tool`, expected one of `last_event_type`, \
             `last_event_at`, `active_tools`",
        );
        refused(
            r#"{"type":"tol"}"#,
            "type: unknown type \"tol\", expected one of heartbeat, tool, log",
        );
        refused(r#"{"id":1}"#, "type: missing field `type`");
        refused(r#"[1]"#, ".: expected a JSON object");
        refused(
            r#"{"type":"tool","id":1,"name":"gt_done","input":"{}"}"#,
            "input: invalid type: string \"{}\", expected a map",
        );
        refused(
            r#"{"type":"tool","id":-1,"name":"gt_done","input":{}}"#,
            "id: invalid value: integer `-1`, expected u64",
        );
        let garbage = FromAgent::parse("Segmentation fault").unwrap_err();
        assert!(matches!(garbage, LineError::NotJson { .. }), "{garbage}");
    }

    #[test]
    fn heartbeats_stay_small() {
        let heartbeat = |count: usize| {
            let tools = vec!["bash"; count];
            FromAgent::parse(&json!({"type": "heartbeat", "active_tools": tools}).to_string())
        };
        assert!(heartbeat(ACTIVE_TOOLS_MAX).is_ok());
        assert_eq!(
            heartbeat(ACTIVE_TOOLS_MAX + 1).unwrap_err().to_string(),
            "active_tools: expected at most 64 tools"
        );
        let long = "x".repeat(NAME_BYTES_MAX + 1);
        let line = json!({"type": "heartbeat", "last_event_type": long}).to_string();
        assert!(FromAgent::parse(&line).is_err());
    }

    #[test]
    fn results_are_one_or_the_other() {
        let refusal = ToolRefusal {
            field: "branch".into(),
            message: "is empty".into(),
        };
        let lines = [
            (
                ToolResult {
                    id: 7,
                    outcome: Ok(json!({"made": ["m1"]})),
                },
                r#"{"type":"result","id":7,"ok":true,"value":{"made":["m1"]}}"#,
            ),
            (
                ToolResult {
                    id: 8,
                    outcome: Err(refusal),
                },
                r#"{"type":"result","id":8,"ok":false,"error":{"field":"branch","message":"is empty"}}"#,
            ),
        ];
        for (result, line) in lines {
            let result = ToAgent::from(result);
            assert_eq!(result.to_line().unwrap().trim_end(), line);
            assert_eq!(ToAgent::parse(line).unwrap(), result);
        }
        let both = r#"{"type":"result","id":8,"ok":true,"error":{"field":"a","message":"b"}}"#;
        assert!(ToAgent::parse(both).is_err());
        assert!(ToAgent::parse(r#"{"type":"result","id":8,"ok":false}"#).is_err());
    }

    #[test]
    fn what_does_not_fit_into_a_line_is_not_written() {
        let log = |bytes: usize| {
            FromAgent::from(Log {
                text: "x".repeat(bytes),
            })
        };
        let frame = log(0).to_line().unwrap().len() - 1;
        assert!(log(LINE_BYTES_MAX - frame).to_line().is_ok());
        assert_eq!(
            log(LINE_BYTES_MAX - frame + 1).to_line().unwrap_err(),
            LineError::TooLong {
                limit: LINE_BYTES_MAX
            }
        );
    }

    /// The page that agents' authors read is tested line by line.
    #[test]
    fn the_conversation_of_the_page_is_valid() {
        let page = include_str!("../../../docs/agent-protocol.md");
        let mut read = 0;
        for line in page.lines() {
            if let Some(line) = line.strip_prefix("host:  ") {
                ToAgent::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            } else if let Some(line) = line.strip_prefix("agent: ") {
                FromAgent::parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
            } else {
                continue;
            }
            read += 1;
        }
        assert!(read >= 12, "the page lost its conversation");
    }
}
