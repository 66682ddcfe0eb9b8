//! *Green*: whether a pull request may be merged by the engine (spec 4.4, 6).
//!
//! This is the only evaluation. The observation that starts the clock, the rule that merges, the
//! certificate, the explanation and the rule that polls all read this one list, so that none of
//! them can hold another opinion. It depends on the state alone and not on the time of asking:
//! only an observation can make a pull request green, never the passing of time.

mod forge_facts;
mod town_facts;

pub(crate) use self::forge_facts::{APPROVED_EARLIER, NO_CHECKS};
pub(crate) use self::town_facts::PULL_REQUEST;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;

use crate::bead::Bead;
use crate::config::Settings;
use crate::forge::{Decision, Mergeable, Observation};
use crate::ids::BeadId;
use crate::review::Review;
use crate::time::Timestamp;
use crate::town::Town;
use crate::verdict::{Wait, WaitFor};

/// One condition of *green*, with its value and who can change it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GreenCondition {
    /// Its name.
    pub name: &'static str,
    /// Its value, for a person.
    pub value: Cow<'static, str>,
    /// Whether it holds. What is unknown does not.
    pub holds: bool,
    /// When the forge was seen to say so; none for what the town itself knows, which is true now.
    pub observed_at: Option<Timestamp>,
    /// Since when it has not held, where that is known; none while it holds.
    pub since: Option<Timestamp>,
    /// Who can change it.
    pub changed_by: WaitFor,
    /// Which one, where it has an id.
    pub id: Option<String>,
    /// Whether only the forge can change it: its checks, its people, its answer.
    pub of_the_forge: bool,
}

impl GreenCondition {
    /// What the town knows by itself.
    fn town(
        name: &'static str,
        holds: bool,
        changed_by: WaitFor,
        value: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            name,
            value: value.into(),
            holds,
            observed_at: None,
            since: None,
            changed_by,
            id: None,
            of_the_forge: false,
        }
    }

    /// What the forge was seen to say.
    fn forge(
        name: &'static str,
        holds: bool,
        changed_by: WaitFor,
        value: impl Into<Cow<'static, str>>,
        seen_at: Option<Timestamp>,
    ) -> Self {
        Self {
            observed_at: seen_at,
            of_the_forge: true,
            ..Self::town(name, holds, changed_by, value)
        }
    }

    fn is_unseen(&self) -> bool {
        self.of_the_forge && self.value == forge_facts::UNSEEN
    }

    /// Since when it has not held; nothing for one that does.
    fn since(mut self, since: Option<Timestamp>) -> Self {
        self.since = since.filter(|_| !self.holds);
        self
    }

    fn of(mut self, id: &BeadId) -> Self {
        self.id = Some(id.as_str().into());
        self
    }

    /// Who has to move, where the condition does not hold.
    pub(crate) fn wait(&self) -> Option<Wait> {
        if self.holds {
            return None;
        }
        let mut wait = Wait::on(
            self.changed_by,
            alloc::format!("{}: {}", self.name, self.value),
        );
        wait.id.clone_from(&self.id);
        wait.since = self.since.or(self.observed_at);
        Some(wait)
    }
}

/// Every condition of *green*, on the current configuration and the last observation; none for a
/// bead that is no live review of a pull request.
#[must_use]
pub fn green_conditions(town: &Town, mr: &BeadId) -> Option<Vec<GreenCondition>> {
    let mr = town.bead(mr)?;
    Some(green(town, mr, &town.settings_of_review(mr))?.conditions)
}

/// The verdict on one pull request.
#[derive(Debug)]
pub(crate) struct Green {
    pub(crate) conditions: Vec<GreenCondition>,
}

/// Judges a live review of a pull request.
pub(crate) fn green(town: &Town, mr: &Bead, settings: &Settings) -> Option<Green> {
    let review = mr.review().filter(|review| review.pr_url.is_some())?;
    if !mr.is_live() {
        return None;
    }
    let mut conditions = forge_facts::conditions(town, mr, review, settings);
    conditions.extend(town_facts::conditions(town, mr, review, settings));
    Some(Green { conditions })
}

impl Green {
    pub(crate) fn holds(&self) -> bool {
        self.conditions.iter().all(|condition| condition.holds)
    }

    /// The conditions that do not hold.
    pub(crate) fn missing(&self) -> impl Iterator<Item = &GreenCondition> {
        self.conditions.iter().filter(|condition| !condition.holds)
    }

    /// Whether nothing but the forge could make it green.
    pub(crate) fn needs_the_forge(&self) -> bool {
        self.missing().any(|condition| condition.of_the_forge)
    }

    /// Whether something that the town itself knows is in the way, whatever the forge says.
    pub(crate) fn town_objects(&self) -> bool {
        self.missing().any(|condition| !condition.of_the_forge)
    }

    /// Whether the one condition of this name holds.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.conditions
            .iter()
            .any(|condition| condition.name == name && condition.holds)
    }

    /// What it waits for, for a person.
    pub(crate) fn summary(&self) -> String {
        let (unseen, seen): (Vec<_>, Vec<_>) =
            self.missing().partition(|condition| condition.is_unseen());
        let first = (!unseen.is_empty()).then(|| String::from("a first look"));
        let missing: Vec<String> = first
            .into_iter()
            .chain(
                seen.iter()
                    .map(|condition| alloc::format!("{} ({})", condition.name, condition.value)),
            )
            .collect();
        missing.join("; ")
    }
}

/// What is wrong with the identity of the pull request that was seen, if anything (spec 4.4, 3).
pub(crate) fn identity_problem(town: &Town, mr: &Bead, review: &Review) -> Option<String> {
    forge_facts::identity_problem(town, mr, review)
}

/// Whether a pull request brings another branch than the review's, or brings it elsewhere.
pub(crate) fn other_way(review: &Review, seen: &Observation) -> Option<String> {
    forge_facts::other_way(review, seen)
}

/// Whether the last observation asks for a repair of comments or checks (spec 4.4, 8).
pub(crate) fn needs_feedback_repair(review: &Review) -> bool {
    forge_facts::needs_feedback_repair(review)
}

/// A few names of checks for a person, cut and escaped.
pub(crate) fn check_names(names: &[String]) -> String {
    forge_facts::names(names)
}

/// Whether an approval is awaited: the forge says so, or blocks the merge although nothing else is
/// missing (spec 4.4, 7). Whether the engine merges by itself makes no difference.
pub(crate) fn awaits_approval(town: &Town, mr: &Bead, settings: &Settings) -> bool {
    let seen = mr.review().and_then(|review| review.observation.as_ref());
    let Some(seen) = seen.map(|seen| &seen.observation) else {
        return false;
    };
    let decision = seen.feedback.as_ref().and_then(|said| said.decision);
    let is_other = |condition: &GreenCondition| {
        !["mergeable", "auto_merge", "delay", "not_off"].contains(&condition.name)
    };
    decision == Some(Decision::ReviewRequired)
        || seen.mergeable == Mergeable::Blocked
            && green(town, mr, settings).is_some_and(|green| !green.missing().any(is_other))
}

#[cfg(test)]
mod tests;
