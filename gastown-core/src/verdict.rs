//! What a rule says of a subject: not mine, act, or wait (design 2).

use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::action::ActionKind;
use crate::time::Timestamp;

/// Who or what a wait is for (spec 8.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// A time.
    Time,
    /// An agent that is fresh.
    Agent,
    /// Another bead.
    Bead,
    /// The forge.
    Forge,
    /// A person: one who was told, or whose own command makes it wait.
    Person,
    /// A condition that holds.
    Condition,
}

/// Why a rule does not act, and until when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wait {
    /// Who or what it is for.
    pub kind: WaitFor,
    /// Which one, where it has an id.
    pub id: Option<String>,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// Until when, where the passing of time ends it.
    pub until: Option<Timestamp>,
    /// For a person.
    pub text: String,
}

impl Wait {
    /// A wait for somebody or something without an identifier.
    pub(crate) fn on(kind: WaitFor, text: impl Into<String>) -> Self {
        Self {
            kind,
            id: None,
            since: None,
            until: None,
            text: text.into(),
        }
    }

    /// A wait for a point in time.
    pub(crate) fn until(until: Timestamp, text: impl Into<String>) -> Self {
        Self {
            until: Some(until),
            ..Self::on(WaitFor::Time, text)
        }
    }

    pub(crate) fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    pub(crate) fn since(mut self, since: Timestamp) -> Self {
        self.since = Some(since);
        self
    }

    pub(crate) fn not_before(mut self, until: Timestamp) -> Self {
        self.until = Some(until);
        self
    }
}

/// What a rule says of a subject.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Verdict {
    /// The rule has nothing to do with the subject.
    NotMine,
    /// The rule acts now: all of these, in this order, or none of them.
    Act(Vec<ActionKind>),
    /// The rule would act, but for these.
    Wait(Vec<Wait>),
}

impl Verdict {
    pub(crate) fn act(action: impl Into<ActionKind>) -> Self {
        Verdict::Act(alloc::vec![action.into()])
    }

    pub(crate) fn wait(wait: Wait) -> Self {
        Verdict::Wait(alloc::vec![wait])
    }
}
