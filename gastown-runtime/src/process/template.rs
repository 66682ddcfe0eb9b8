//! The command that starts an agent.

use std::path::Path;

use gastown_core::StartRequest;

use crate::error::RuntimeError;

/// What a placeholder stands for.
const PLACEHOLDERS: [&str; 11] = [
    "town_id",
    "agent_id",
    "session",
    "role",
    "name",
    "bead_id",
    "rig_id",
    "branch",
    "target_branch",
    "model",
    "worktree",
];

/// A program with its arguments, in which `{agent_id}`, `{session}`, `{role}` and the like stand
/// for those of the session. `{{` and `}}` stand for braces.
///
/// No shell is involved: a value is always one word, whatever it holds.
///
/// ```
/// use gastown_runtime::CommandTemplate;
/// let command = CommandTemplate::new(["agent", "--role={role}", "--model", "{model}"])?;
/// let error = CommandTemplate::new(["agent", "{rolle}"]).unwrap_err();
/// assert!(error.to_string().contains("unknown placeholder {rolle}"));
/// # Ok::<(), gastown_runtime::RuntimeError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandTemplate {
    words: Vec<Vec<Piece>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    /// One of [`PLACEHOLDERS`].
    Value(&'static str),
}

impl CommandTemplate {
    /// Reads a program and its arguments, one word each.
    ///
    /// # Errors
    /// [`RuntimeError::ReadTemplate`] names the word and what is wrong with it.
    pub fn new<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, RuntimeError> {
        let words = words
            .into_iter()
            .map(|word| read_word(word.as_ref()))
            .collect::<Result<Vec<_>, _>>()?;
        match words.first() {
            Some(program) if !program.is_empty() => Ok(Self { words }),
            Some(_) | None => Err(wrong("", "expected a program".into())),
        }
    }

    /// The program and its arguments for one session.
    pub(crate) fn fill(&self, request: &StartRequest, worktree: &Path) -> Vec<String> {
        let value = |name: &str| match name {
            "town_id" => request.session.town_id.to_string(),
            "agent_id" => request.session.agent_id.to_string(),
            "session" => request.session.session.to_string(),
            "role" => request.role.as_str().to_owned(),
            "name" => request.name.clone(),
            "bead_id" => request.bead_id.to_string(),
            "rig_id" => request.rig_id.to_string(),
            "branch" => request.branch.clone(),
            "target_branch" => request.target_branch.clone(),
            "model" => request.model.clone().unwrap_or_default(),
            // The last one of the list.
            _ => worktree.display().to_string(),
        };
        let fill = |word: &Vec<Piece>| -> String {
            word.iter()
                .map(|piece| match piece {
                    Piece::Text(text) => text.clone(),
                    Piece::Value(name) => value(name),
                })
                .collect()
        };
        self.words.iter().map(fill).collect()
    }

    /// The program, unless it depends on the session.
    pub(crate) fn program(&self) -> Option<&str> {
        match self.words.first().map(Vec::as_slice) {
            Some([Piece::Text(program)]) => Some(program),
            Some(_) | None => None,
        }
    }
}

fn read_word(word: &str) -> Result<Vec<Piece>, RuntimeError> {
    let mut pieces = Vec::new();
    let mut text = String::new();
    let mut rest = word;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        text.push_str(before);
        if let Some(after) = from.strip_prefix("{{") {
            text.push('{');
            rest = after;
        } else if let Some(after) = from.strip_prefix("}}") {
            text.push('}');
            rest = after;
        } else if let Some((name, after)) = from
            .strip_prefix('{')
            .and_then(|inside| inside.split_once('}'))
        {
            let Some(known) = PLACEHOLDERS.into_iter().find(|known| *known == name) else {
                let expected = PLACEHOLDERS.join(", ");
                let problem = format!("unknown placeholder {{{name}}}, expected one of {expected}");
                return Err(wrong(word, problem));
            };
            if !text.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut text)));
            }
            pieces.push(Piece::Value(known));
            rest = after;
        } else {
            return Err(wrong(
                word,
                "a brace without its other half; write {{ or }}".into(),
            ));
        }
    }
    text.push_str(rest);
    if !text.is_empty() {
        pieces.push(Piece::Text(text));
    }
    Ok(pieces)
}

fn wrong(word: &str, problem: String) -> RuntimeError {
    RuntimeError::ReadTemplate {
        word: word.to_owned(),
        problem,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::start_request;

    #[test]
    fn values_are_one_word_each_and_braces_can_be_written() {
        let words: Vec<String> = PLACEHOLDERS
            .iter()
            .map(|name| format!("<{{{name}}}>"))
            .chain(["a{{b}}c".into(), String::new()])
            .collect();
        let mut request = start_request("t1", "a1", 3);
        request.name = "Ash; rm -rf {role}".into();
        let filled = CommandTemplate::new(&words)
            .unwrap()
            .fill(&request, Path::new("/w t"));
        let expected = [
            "<t1>",
            "<a1>",
            "<3>",
            "<polecat>",
            "<Ash; rm -rf {role}>",
            "<b1>",
            "<r1>",
            "<work>",
            "<main>",
            "<>",
            "</w t>",
            "a{b}c",
            "",
        ];
        assert_eq!(filled, expected);
    }

    #[test]
    fn bad_words_are_named() {
        let cases: [(&[&str], &str); 4] = [
            (&[], "agent command, word \"\": expected a program"),
            (&[""], "agent command, word \"\": expected a program"),
            (
                &["a", "x{"],
                "agent command, word \"x{\": a brace without its other half; write {{ or }}",
            ),
            (
                &["a", "}x"],
                "agent command, word \"}x\": a brace without its other half; write {{ or }}",
            ),
        ];
        for (words, expected) in cases {
            let error = CommandTemplate::new(words).unwrap_err();
            assert_eq!(error.to_string(), expected);
        }
    }
}
