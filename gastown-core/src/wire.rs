//! Wire formats: how things are written and read (spec 8).
//!
//! Commands, events, actions and effects are their own wire form; a snapshot has forms of its own.
//! Every reader refuses unknown fields and tags, and says where and what was expected.

mod bead;
pub(crate) mod snapshot;

use alloc::format;
use alloc::string::{String, ToString};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

pub use self::bead::bead_from_value;
pub use self::snapshot::{
    SNAPSHOT_FORMAT, snapshot_from_str, snapshot_from_value, snapshot_to_value,
};

use crate::action::{Action, ActionKind};
use crate::command::{Caller, Command, CommandKind};
use crate::effect::{Effect, EffectKind};
use crate::event::{Event, EventKind};

/// What is as it is by default is not written.
pub(crate) fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// Where a JSON text can't be taken, and why (spec 8).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message}")]
pub struct WireError {
    /// The JSON path, for example `beads[3].review.poll.last_at`; `.` is the whole text.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl WireError {
    pub(crate) fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }

    /// Whether the text is not of the format at all: it holds a field or a tag that the format
    /// does not have, or is no object (spec 8). Any other error is about a value.
    #[must_use]
    pub fn is_of_another_format(&self) -> bool {
        self.path == "."
            || self.message.starts_with("unknown field `")
            || matches!(self.path.as_str(), "type" | "caller.kind")
    }

    /// The same error, seen from one level up.
    pub(crate) fn under(self, prefix: &str) -> Self {
        let path = match self.path.as_str() {
            "." => prefix.to_string(),
            path if prefix == "." => path.to_string(),
            path if path.starts_with('[') => format!("{prefix}{path}"),
            path => format!("{prefix}.{path}"),
        };
        Self {
            path,
            message: self.message,
        }
    }
}

/// Reads a value that was parsed already.
pub(crate) fn read_value<T: DeserializeOwned>(value: Value) -> Result<T, WireError> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let found = WireError::new(error.path().to_string(), error.inner().to_string());
        match field_of(&found) {
            Some(name) => WireError::new(name, found.message.clone()).under(&found.path),
            None => found,
        }
    })
}

/// The field that an error is about, where the path only leads to the object that lacks it or has
/// it without need.
fn field_of(error: &WireError) -> Option<&str> {
    let rest = error
        .message
        .strip_prefix("missing field `")
        .or_else(|| error.message.strip_prefix("unknown field `"))?;
    let name = rest.split('`').next()?;
    let is_named = error.path == name || error.path.ends_with(&format!(".{name}"));
    (!is_named).then_some(name)
}

/// Parses a JSON text.
pub(crate) fn parse(text: &str) -> Result<Value, WireError> {
    serde_json::from_str(text).map_err(|error| WireError::new(".", error.to_string()))
}

/// Takes the field `name` out of an object and reads it; absent reads as null.
pub(crate) fn take<T: DeserializeOwned>(
    object: &mut Map<String, Value>,
    name: &str,
) -> Result<T, WireError> {
    let absent = !object.contains_key(name);
    read_value(object.remove(name).unwrap_or(Value::Null)).map_err(|error| {
        let error = error.under(name);
        if absent {
            WireError::new(error.path, format!("missing field `{name}`"))
        } else {
            error
        }
    })
}

pub(crate) fn object_of(value: Value) -> Result<Map<String, Value>, WireError> {
    match value {
        Value::Object(object) => Ok(object),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(WireError::new(".", "expected an object"))
        }
    }
}

/// Reads an event from JSON that was parsed already (spec 8.2).
///
/// # Errors
/// [`WireError`] names the path and what was expected.
pub fn event_from_value(value: Value) -> Result<Event, WireError> {
    let mut object = object_of(value)?;
    let id = take(&mut object, "id")?;
    let at = take(&mut object, "at")?;
    let key = take(&mut object, "key")?;
    let type_name: String = take(&mut object, "type")?;
    let kind = EventKind::from_object(&type_name, object)?;
    if let EventKind::PrObserved(observed) = &kind
        && observed.observation.is_some() == observed.error.is_some()
    {
        return Err(WireError::new(
            ".",
            "expected exactly one of `observation` and `error`",
        ));
    }
    Ok(Event { id, at, key, kind })
}

/// Reads a command from JSON that was parsed already (spec 8.1).
///
/// # Errors
/// [`WireError`] names the path and what was expected.
pub fn command_from_value(value: Value) -> Result<Command, WireError> {
    let mut object = object_of(value)?;
    let caller = take(&mut object, "caller")?;
    let type_name: String = take(&mut object, "type")?;
    Ok(Command {
        caller,
        kind: CommandKind::from_object(&type_name, object)?,
    })
}

/// Reads the call of an agent's tool as a command (spec 2.1).
///
/// ```
/// use gastown_core::{Caller, wire::command_from_tool};
/// let input = serde_json::json!({"rig_id": "r1", "title": "Fix it", "metadata": "{}"});
/// let error = command_from_tool("gt_sling", input, Caller::Mayor).unwrap_err();
/// assert_eq!(error.path, "metadata");
/// assert!(error.message.contains("not JSON inside a string"));
/// ```
///
/// # Errors
/// [`WireError`] names the path within the input and what was expected.
pub fn command_from_tool(
    tool_name: &str,
    input: Value,
    caller: Caller,
) -> Result<Command, WireError> {
    let type_name = crate::command::command_of_tool(tool_name)
        .map_err(|problem| WireError::new("name", problem))?;
    let object = object_of(input)?;
    Ok(Command {
        caller,
        kind: CommandKind::from_object(type_name, object)?,
    })
}

/// Reads an effect from JSON that was parsed already (spec 2.4).
///
/// # Errors
/// [`WireError`] names the path and what was expected.
pub fn effect_from_value(value: Value) -> Result<Effect, WireError> {
    let mut object = object_of(value)?;
    let key = take(&mut object, "key")?;
    let kind: Option<String> = take(&mut object, "kind")?;
    let type_name: Option<String> = take(&mut object, "type")?;
    let Some(type_name) = type_name.or_else(|| kind.clone()) else {
        return Err(WireError::new("type", "missing field `type`"));
    };
    if kind.is_some_and(|kind| kind != type_name) {
        return Err(WireError::new("kind", "differs from `type`"));
    }
    Ok(Effect {
        key,
        kind: EffectKind::from_object(&type_name, object)?,
    })
}

/// Reads an action from JSON that was parsed already (spec 2.3).
///
/// # Errors
/// [`WireError`] names the path and what was expected.
pub fn action_from_value(value: Value) -> Result<Action, WireError> {
    let mut object = object_of(value)?;
    let rule: String = take(&mut object, "rule")?;
    let type_name: String = take(&mut object, "type")?;
    Ok(Action {
        rule: rule.into(),
        kind: ActionKind::from_object(&type_name, object)?,
    })
}

macro_rules! read_from_text {
    ($(#[$doc:meta])* $name:ident, $type:ty, $from_value:path) => {
        $(#[$doc])*
        ///
        /// # Errors
        /// [`WireError`] names the path and what was expected.
        pub fn $name(text: &str) -> Result<$type, WireError> {
            $from_value(parse(text)?)
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(input: D) -> Result<Self, D::Error> {
                $from_value(Value::deserialize(input)?).map_err(serde::de::Error::custom)
            }
        }
    };
}

read_from_text!(
    /// Reads an event (spec 8.2).
    event_from_str, Event, event_from_value);
read_from_text!(
    /// Reads a command (spec 8.1).
    command_from_str, Command, command_from_value);
read_from_text!(
    /// Reads an action (spec 2.3).
    action_from_str, Action, action_from_value);
read_from_text!(
    /// Reads an effect (spec 2.4).
    effect_from_str, Effect, effect_from_value);
