//! What every command's input has to satisfy, and the limits of its size.

use alloc::format;
use alloc::string::{String, ToString};

use serde_json::{Map, Value};

use super::{CommandError, Executed, Refusal};
use crate::branches::is_branch_name;
use crate::ids::{IdProblem, id_problem, shown};
use crate::rig::Repository;
use crate::work::label;

/// How much a command may hold. What is over a limit is refused, never cut.
pub mod limits {
    /// Bytes of a whole command as JSON. Its record is one entry of the history, with the receipt.
    pub const COMMAND_BYTES_MAX: usize = 4 * 1024 * 1024;
    /// Levels of objects and lists in a JSON value of the host's or an agent's. It is recorded within
    /// other JSON, and no store takes a body that is deeper than a reader of JSON goes (127).
    pub const JSON_DEPTH_MAX: usize = 32;
    /// Characters of a title or a mail's subject.
    pub const TITLE_CHARACTERS_MAX: usize = 500;
    /// Bytes of a body, a message, feedback or notes.
    pub const TEXT_BYTES_MAX: usize = 65_536;
    /// Bytes that a body may grow to by what is appended to it.
    pub const BODY_BYTES_MAX: usize = 131_072;
    /// Bytes of a bead's metadata as JSON.
    pub const METADATA_BYTES_MAX: usize = 65_536;
    /// Labels of a bead.
    pub const LABELS_MAX: usize = 50;
    /// Characters of a label, a category or a name.
    pub const NAME_CHARACTERS_MAX: usize = 100;
    /// Beads that a bead may depend on by command.
    pub const DEPENDS_ON_MAX: usize = 200;
    /// Tasks of one `sling_convoy`.
    pub const TASKS_MAX: usize = 200;
    /// Issues of one convoy.
    pub const CONVOY_ISSUES_MAX: usize = 1_000;
    /// Files of one `request_changes`.
    pub const FILES_MAX: usize = 500;
    /// Characters of a path, a branch or a commit.
    pub const PATH_CHARACTERS_MAX: usize = 1_024;
    /// Characters of a URL.
    pub const URL_CHARACTERS_MAX: usize = 2_000;
    /// Characters of a status message (spec 2.1).
    pub const STATUS_CHARACTERS_MAX: usize = 280;
    /// Bytes of a checkpoint as JSON.
    pub const CHECKPOINT_BYTES_MAX: usize = 65_536;
    /// Steps of a molecule.
    pub const STEPS_MAX: usize = 100;
    /// Beads of one `delete_beads`.
    pub const DELETED_BEADS_MAX: usize = 1_000;
    /// Messages that wait for one agent.
    pub const MAIL_UNREAD_MAX: usize = 100;
    /// Bytes of JSON of the messages that one `check_mail` reads, if more than one; the rest wait for
    /// the next. The record of the command repeats them, and an agent is told them in a line of 1 MiB.
    pub const MAIL_READ_BYTES_MAX: usize = 1024 * 1024 - 16 * 1024;
    /// Nudges that wait for one agent.
    pub const NUDGES_WAITING_MAX: usize = 100;
    /// Rigs of a town.
    pub const RIGS_MAX: usize = 200;
    /// Dispatches of one `grant`.
    pub const GRANT_MAX: u32 = 1_000;
    /// Names in `env_vars`.
    pub const ENV_VARS_MAX: usize = 200;
    /// Commands in `refinery.gates`.
    pub const GATES_MAX: usize = 50;
    /// Bytes of a token or key.
    pub const SECRET_BYTES_MAX: usize = 65_536;
    /// Characters of a setting.
    pub const SETTING_CHARACTERS_MAX: usize = 2_000;
    /// Bytes of a user's name.
    pub const USER_BYTES_MAX: usize = 128;
}

use limits::{
    JSON_DEPTH_MAX, LABELS_MAX, METADATA_BYTES_MAX, NAME_CHARACTERS_MAX, PATH_CHARACTERS_MAX,
    TEXT_BYTES_MAX, TITLE_CHARACTERS_MAX, URL_CHARACTERS_MAX, USER_BYTES_MAX,
};

type Checked = Result<(), CommandError>;

fn over(field: &str, max: usize, unit: &str) -> CommandError {
    CommandError::new(
        Refusal::Limit,
        field,
        format!("expected {max} {unit} at most"),
    )
}

/// Something must be said.
fn not_blank(field: &str, text: &str) -> Checked {
    if text.trim().is_empty() {
        return Err(CommandError::invalid(field, "is empty"));
    }
    Ok(())
}

fn one_line(field: &str, text: &str, max: usize) -> Checked {
    not_blank(field, text)?;
    if text.chars().count() > max {
        return Err(over(field, max, "characters"));
    }
    if text.chars().any(char::is_control) {
        return Err(CommandError::invalid(field, "holds a control character"));
    }
    Ok(())
}

/// A title: one line.
pub(super) fn title(field: &str, text: &str) -> Checked {
    one_line(field, text, TITLE_CHARACTERS_MAX)
}

/// A name, a label or a category: one short line.
pub(super) fn name(field: &str, text: &str) -> Checked {
    one_line(field, text, NAME_CHARACTERS_MAX)
}

/// A setting that is one line.
pub(super) fn setting(field: &str, text: &str) -> Checked {
    one_line(field, text, limits::SETTING_CHARACTERS_MAX)
}

/// A status message.
pub(super) fn status(field: &str, text: &str) -> Checked {
    not_blank(field, text)?;
    if text.chars().count() > limits::STATUS_CHARACTERS_MAX {
        return Err(over(field, limits::STATUS_CHARACTERS_MAX, "characters"));
    }
    Ok(())
}

/// A text of any number of lines that must say something.
pub(super) fn text(field: &str, text: &str) -> Checked {
    not_blank(field, text)?;
    size(field, text.len(), TEXT_BYTES_MAX)
}

/// A text that may be absent or empty.
pub(super) fn optional_text(field: &str, text: Option<&str>) -> Checked {
    size(field, text.map_or(0, str::len), TEXT_BYTES_MAX)
}

/// A number of bytes.
pub(super) fn size(field: &str, bytes: usize, max: usize) -> Checked {
    if bytes > max {
        return Err(over(field, max, "bytes"));
    }
    Ok(())
}

/// A number of items.
pub(super) fn count(field: &str, items: usize, max: usize) -> Checked {
    if items > max {
        return Err(over(field, max, "items"));
    }
    Ok(())
}

/// The size of a JSON value.
pub(super) fn json_size(field: &str, value: &impl serde::Serialize, max: usize) -> Checked {
    match serde_json::to_string(value) {
        Ok(text) => size(field, text.len(), max),
        Err(error) => Err(CommandError::invalid(field, error.to_string())),
    }
}

/// The size and the depth of a JSON value of the host's or an agent's.
pub(super) fn json_value(field: &str, value: &Value, max: usize) -> Checked {
    depth(field, [value].into_iter(), JSON_DEPTH_MAX)?;
    json_size(field, value, max)
}

/// The host's data on a bead.
pub(super) fn metadata(metadata: &Map<String, Value>) -> Checked {
    const FIELD: &str = "metadata";
    // The object itself is a level.
    depth(FIELD, metadata.values(), JSON_DEPTH_MAX.saturating_sub(1))?;
    json_size(FIELD, metadata, METADATA_BYTES_MAX)
}

fn depth<'a>(field: &str, mut values: impl Iterator<Item = &'a Value>, levels: usize) -> Checked {
    if values.any(|value| is_deeper(value, levels)) {
        return Err(over(field, JSON_DEPTH_MAX, "levels"));
    }
    Ok(())
}

/// Whether objects and lists stand in each other on more levels than this; goes no deeper to tell.
pub(crate) fn is_deeper(value: &Value, levels: usize) -> bool {
    let is_nested = value.is_object() || value.is_array();
    let Some(within) = levels.checked_sub(1) else {
        return is_nested;
    };
    match value {
        Value::Array(items) => items.iter().any(|item| is_deeper(item, within)),
        Value::Object(fields) => fields.values().any(|item| is_deeper(item, within)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}

/// The size of a whole command.
pub(super) fn command(command: &super::Command) -> Checked {
    json_size(".", command, limits::COMMAND_BYTES_MAX)
}

/// The host's labels; `allowed` are those of the engine that may stand among them.
pub(super) fn labels<'a>(
    labels: impl IntoIterator<Item = &'a String>,
    allowed: &[&str],
) -> Checked {
    for (at, text) in labels.into_iter().enumerate() {
        let field = format!("labels[{at}]");
        count("labels", at.saturating_add(1), LABELS_MAX)?;
        name(&field, text)?;
        let is_engine_owned =
            text.starts_with(label::PREFIX) || text.starts_with(label::SEVERITY_PREFIX);
        if is_engine_owned && !allowed.contains(&text.as_str()) {
            return Err(CommandError::invalid(
                field,
                format!("\"{}\" belongs to the engine", shown(text, 80)),
            ));
        }
    }
    Ok(())
}

/// The name of a branch.
pub(super) fn branch(field: &str, text: &str) -> Checked {
    one_line(field, text, PATH_CHARACTERS_MAX)?;
    if !is_branch_name(text) {
        return Err(CommandError::invalid(
            field,
            format!("\"{}\" is no name of a branch", shown(text, 80)),
        ));
    }
    Ok(())
}

/// A commit, where one is given.
pub(super) fn commit(field: &str, text: Option<&str>) -> Checked {
    let Some(text) = text else { return Ok(()) };
    one_line(field, text, PATH_CHARACTERS_MAX)?;
    // A leading dash would be an option to git.
    if text.starts_with('-') || text.contains(char::is_whitespace) {
        return Err(CommandError::invalid(
            field,
            "expected the name of a commit",
        ));
    }
    Ok(())
}

/// A URL, where one is given: its length; whether it is the right one is judged elsewhere.
pub(super) fn url(field: &str, text: Option<&str>) -> Checked {
    if text.is_some_and(|text| text.chars().count() > URL_CHARACTERS_MAX) {
        return Err(over(field, URL_CHARACTERS_MAX, "characters"));
    }
    Ok(())
}

/// Where a rig is fetched from. Credentials in it would be shown to every agent.
pub(super) fn git_url(field: &str, text: &str) -> Checked {
    one_line(field, text, URL_CHARACTERS_MAX)?;
    url(field, Some(text))?;
    if text.starts_with('-') || text.contains("::") || text.contains(char::is_whitespace) {
        return Err(CommandError::invalid(field, "expected a git URL or a path"));
    }
    let rest = text.split_once("://");
    let user = rest
        .and_then(|(_, rest)| rest.split('/').next())
        .and_then(|authority| authority.rsplit_once('@'))
        .map(|(user, _)| user);
    let is_ssh = text.starts_with("ssh://") || text.starts_with("git+ssh://");
    if user.is_some_and(|user| !is_ssh || user.contains(':')) {
        return Err(CommandError::invalid(
            field,
            "holds credentials; store them in the town's settings",
        ));
    }
    Ok(())
}

/// A pull request of `repository`.
pub(super) fn pr_url(field: &str, text: &str, repository: Option<&Repository>) -> Checked {
    url(field, Some(text))?;
    let Some((named, _)) = Repository::of_pr_url(text) else {
        return Err(CommandError::invalid(
            field,
            "expected https://host/owner/name/pull/number",
        ));
    };
    if repository != Some(&named) {
        return Err(CommandError::invalid(
            field,
            "names another repository than the rig's",
        ));
    }
    Ok(())
}

/// A user's name, which stands in `created_by`.
pub(super) fn user_id(id: &str) -> Checked {
    const FIELD: &str = "caller.id";
    not_blank(FIELD, id)?;
    size(FIELD, id.len(), USER_BYTES_MAX)?;
    if id.chars().any(char::is_control) {
        return Err(CommandError::invalid(FIELD, "holds a control character"));
    }
    if id_problem(id) == Some(IdProblem::Reserved) {
        return Err(CommandError::invalid(
            FIELD,
            IdProblem::Reserved.to_string(),
        ));
    }
    creator(id)
}

/// The engine signs as `system` and `patrol`; nobody else may.
pub(super) fn creator(id: &str) -> Checked {
    if matches!(id, "system" | "patrol") {
        return Err(CommandError::invalid(
            "caller.id",
            format!("\"{id}\" is a name of the engine's own"),
        ));
    }
    Ok(())
}

/// Nothing was done, and that is fine.
pub(super) fn nothing(text: &str) -> Executed {
    Ok(super::Did::text(text))
}
