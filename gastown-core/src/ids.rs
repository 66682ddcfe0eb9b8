//! Identifiers: distinct types that do not convert into each other (spec 1.3).

use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest identifier in bytes (spec 1.3).
pub const ID_BYTES_MAX: usize = 128;
/// The form of an identifier as a schema can say it: no white space or control characters, and not
/// both two underscores at its begin and at its end.
const ID_PATTERN: &str = r"^(?!__(.*__|_?)$)[^\s\u0000-\u001f\u007f-\u009f]+$";
/// How much of an offending text an [`IdError`] shows, in characters.
const SHOWN_CHARACTERS_MAX: usize = 80;

/// Why a text is not an identifier (spec 1.3).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {expected}: \"{shown}\" {problem}")]
pub struct IdError {
    /// The identifier type that was expected, for example `bead id`.
    pub expected: &'static str,
    /// The offending text, escaped and cut at 80 characters.
    pub shown: String,
    /// What is wrong with it.
    pub problem: IdProblem,
}

/// The ways in which a text can fail to be an identifier (spec 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum IdProblem {
    /// The text is empty.
    #[error("is empty")]
    Empty,
    /// The text has more than [`ID_BYTES_MAX`] bytes.
    #[error("is longer than 128 bytes")]
    TooLong,
    /// The text holds white space or a control character.
    #[error("holds white space or a control character")]
    Blank,
    /// The text begins and ends with two underscores.
    #[error("is a reserved word (it begins and ends with two underscores)")]
    Reserved,
}

/// Escapes `text` for a message and cuts it at `characters_max` characters.
pub(crate) fn shown(text: &str, characters_max: usize) -> String {
    let mut out: String = text
        .chars()
        .take(characters_max)
        .flat_map(char::escape_debug)
        .collect();
    if text.chars().nth(characters_max).is_some() {
        out.push('…');
    }
    out
}

/// The first `characters_max` characters of `text`, and `mark` where that is not all of it.
pub(crate) fn cut(text: &str, characters_max: usize, mark: &str) -> String {
    let mut out: String = text.chars().take(characters_max).collect();
    if out.len() < text.len() {
        out.push_str(mark);
    }
    out
}

/// Says what keeps `text` from being an identifier, if anything does.
pub(crate) fn id_problem(text: &str) -> Option<IdProblem> {
    if text.is_empty() {
        Some(IdProblem::Empty)
    } else if text.len() > ID_BYTES_MAX {
        Some(IdProblem::TooLong)
    } else if text.chars().any(|c| c.is_whitespace() || c.is_control()) {
        Some(IdProblem::Blank)
    } else if text.len() >= 2 && text.starts_with("__") && text.ends_with("__") {
        Some(IdProblem::Reserved)
    } else {
        None
    }
}

macro_rules! id_type {
    ($(#[$doc:meta])* $name:ident, $expected:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 128 bytes, no white space or control characters, not a reserved word (spec 1.3).
        /// Cloning is cheap.
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Parses an identifier.
            ///
            /// # Errors
            /// [`IdError`] shows the offending text and says what is wrong with it.
            pub fn new(text: impl AsRef<str>) -> Result<Self, IdError> {
                let text = text.as_ref();
                match id_problem(text) {
                    None => Ok(Self(Arc::from(text))),
                    Some(problem) => Err(IdError {
                        expected: $expected,
                        shown: shown(text, SHOWN_CHARACTERS_MAX),
                        problem,
                    }),
                }
            }

            /// The identifier as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:?}", &*self.0)
            }
        }

        impl core::str::FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                Self::new(text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> alloc::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string", "minLength": 1, "maxLength": ID_BYTES_MAX,
                    "pattern": ID_PATTERN,
                    "description": $expected,
                })
            }
        }
    };
}

id_type!(
    /// Names a town: one team of agents with its own state.
    TownId, "town id");
id_type!(
    /// Names a rig: one git repository that a town works on.
    RigId, "rig id");
id_type!(
    /// Names a bead: one record of work.
    BeadId, "bead id");
id_type!(
    /// Names an agent.
    AgentId, "agent id");
id_type!(
    /// Names an event, so that it is applied at most once however often it is delivered.
    EventId, "event id");
id_type!(
    /// Names a nudge: a message pushed to a running agent.
    NudgeId, "nudge id");

/// What a new identifier is for; its letter becomes part of the identifier (spec 1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum IdKind {
    Agent,
    Bead,
    MergeRequest,
    Convoy,
    Escalation,
    Molecule,
    Message,
    Nudge,
}

impl IdKind {
    pub(crate) const ALL: [IdKind; 8] = [
        Self::Agent,
        Self::Bead,
        Self::MergeRequest,
        Self::Convoy,
        Self::Escalation,
        Self::Molecule,
        Self::Message,
        Self::Nudge,
    ];

    const fn letter(self) -> char {
        match self {
            IdKind::Agent => 'a',
            IdKind::Bead => 'b',
            IdKind::MergeRequest => 'm',
            IdKind::Convoy => 'c',
            IdKind::Escalation => 'e',
            IdKind::Molecule => 'f',
            IdKind::Message => 's',
            IdKind::Nudge => 'n',
        }
    }
}

/// The text of the `counter`-th identifier that `town` makes itself.
///
/// The town's id is cut at a character border within its first 100 bytes, so that the result
/// always is a valid identifier.
pub(crate) fn engine_id(town: &TownId, kind: IdKind, counter: u64) -> String {
    let prefix: String = cut_bytes(town.as_str(), 100).to_string();
    alloc::format!("{prefix}-{}{counter}", kind.letter())
}

/// The longest prefix of `text` of at most `bytes_max` bytes that ends at a character border.
pub(crate) fn cut_bytes(text: &str, bytes_max: usize) -> &str {
    let end = (0..=bytes_max.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at));
    text.get(..end.unwrap_or(0)).unwrap_or("")
}

/// The first eight characters of an identifier, for names that people read.
pub(crate) fn first_eight(id: &str) -> String {
    id.chars().take(8).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_what_the_spec_allows() {
        for text in ["b1", "_", "__", "___", "é", &"x".repeat(128)] {
            let expected = text.starts_with("__");
            assert_eq!(BeadId::new(text).is_err(), expected, "{text}");
        }
    }

    #[test]
    fn refuses_the_rest_and_shows_it() {
        let cases = [
            ("", IdProblem::Empty),
            ("a b", IdProblem::Blank),
            ("a\u{7}", IdProblem::Blank),
            ("__null_rig__", IdProblem::Reserved),
            ("____", IdProblem::Reserved),
        ];
        for (text, problem) in cases {
            assert_eq!(RigId::new(text).unwrap_err().problem, problem, "{text:?}");
        }
        let long = "y".repeat(129);
        let error = AgentId::new(&long).unwrap_err();
        assert_eq!(error.problem, IdProblem::TooLong);
        assert_eq!(error.shown.chars().count(), 81, "cut at 80 and marked");
        assert_eq!(
            BeadId::new("a\nb").unwrap_err().to_string(),
            "not a valid bead id: \"a\\nb\" holds white space or a control character"
        );
    }

    #[test]
    fn engine_ids_stay_valid_for_the_longest_town() {
        let town = TownId::new("é".repeat(64)).unwrap();
        let id = engine_id(&town, IdKind::Agent, u64::MAX);
        assert!(BeadId::new(&id).is_ok(), "{id}");
        assert_eq!(
            engine_id(&TownId::new("t1").unwrap(), IdKind::MergeRequest, 7),
            "t1-m7"
        );
    }
}
