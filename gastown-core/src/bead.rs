//! Beads: records of work (spec 1.4, 1.6).

use alloc::boxed::Box;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use core::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::convoy::Convoy;
use crate::escalation::Escalation;
use crate::ids::{AgentId, BeadId, RigId};
use crate::mail::Mail;
use crate::reason::ReasonCode;
use crate::review::Review;
use crate::time::Timestamp;
use crate::work::Work;

/// Where a bead is in its life.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum BeadStatus {
    /// To be done.
    Open,
    /// An agent is on it; for an MR bead with a pull request: it is polled.
    InProgress,
    /// Its work is under review.
    InReview,
    /// Done; final.
    Closed,
    /// Given up; final.
    Failed,
}

impl BeadStatus {
    /// Every status.
    pub const ALL: [BeadStatus; 5] = [
        Self::Open,
        Self::InProgress,
        Self::InReview,
        Self::Closed,
        Self::Failed,
    ];

    /// The status as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            BeadStatus::Open => "open",
            BeadStatus::InProgress => "in_progress",
            BeadStatus::InReview => "in_review",
            BeadStatus::Closed => "closed",
            BeadStatus::Failed => "failed",
        }
    }

    /// Closed and failed are final (invariant I1).
    #[must_use]
    pub const fn is_terminal(self) -> bool {
        matches!(self, BeadStatus::Closed | BeadStatus::Failed)
    }

    /// The legal transitions, as one table (design 4).
    #[must_use]
    pub const fn may_become(self, to: BeadStatus) -> bool {
        use BeadStatus::{Closed, Failed, InProgress, InReview, Open};
        matches!(
            (self, to),
            (Open, InProgress | InReview | Closed | Failed)
                | (InProgress, Open | InReview | Closed | Failed)
                | (InReview, Open | Closed | Failed)
        )
    }
}

/// How urgent a bead is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Whenever.
    Low,
    /// The default.
    #[default]
    Medium,
    /// Soon.
    High,
    /// First.
    Critical,
}

/// The type of a bead, without its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BeadType {
    /// Work to do.
    Issue,
    /// The review-and-merge life of one branch.
    MergeRequest,
    /// Issues that belong together.
    Convoy,
    /// For a person or the mayor.
    Escalation,
    /// Ordered steps for one bead.
    Molecule,
    /// Mail between agents.
    Message,
}

/// The type of a bead with the state that only this type has.
#[derive(Debug, Clone, PartialEq)]
pub enum BeadKind {
    /// Work to do; says of what sort.
    Issue(Work),
    /// The review-and-merge life of one branch.
    MergeRequest(Box<Review>),
    /// Issues that belong together.
    Convoy(Box<Convoy>),
    /// For a person or the mayor.
    Escalation(Escalation),
    /// Ordered steps for the parent bead; the steps are its children.
    Molecule,
    /// Mail between agents.
    Message(Mail),
}

impl BeadKind {
    /// The type without its state.
    #[must_use]
    pub const fn bead_type(&self) -> BeadType {
        match self {
            BeadKind::Issue(_) => BeadType::Issue,
            BeadKind::MergeRequest(_) => BeadType::MergeRequest,
            BeadKind::Convoy(_) => BeadType::Convoy,
            BeadKind::Escalation(_) => BeadType::Escalation,
            BeadKind::Molecule => BeadType::Molecule,
            BeadKind::Message(_) => BeadType::Message,
        }
    }
}

/// Who made a bead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CreatedBy {
    /// The engine.
    System,
    /// The engine's triage patrol.
    Patrol,
    /// An agent or a user, by name.
    Other(String),
}

impl CreatedBy {
    /// The text as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            CreatedBy::System => "system",
            CreatedBy::Patrol => "patrol",
            CreatedBy::Other(name) => name,
        }
    }

    /// Reads the text as it stands on the wire.
    #[must_use]
    pub fn from_text(text: String) -> Self {
        match text.as_str() {
            "system" => CreatedBy::System,
            "patrol" => CreatedBy::Patrol,
            _ => CreatedBy::Other(text),
        }
    }
}

/// Why a bead failed (spec 1.4).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Failure {
    /// The code.
    pub code: ReasonCode,
    /// What a person reads.
    pub message: String,
    /// The rule, event or command that failed it.
    #[serde(default)]
    pub source: Option<String>,
}

/// One record of work (spec 1.4).
#[derive(Clone, PartialEq)]
pub struct Bead {
    /// Its identifier.
    pub id: BeadId,
    /// Its type, with the state that only this type has.
    pub kind: BeadKind,
    /// Where it is in its life.
    pub status: BeadStatus,
    /// One line.
    pub title: String,
    /// The whole text.
    pub body: Option<String>,
    /// Its rig; convoys have none, others may have none.
    pub rig_id: Option<RigId>,
    /// Repair beads: the MR bead that caused them. Steps: their molecule.
    pub parent_id: Option<BeadId>,
    /// Who is to do it.
    pub assignee: Option<AgentId>,
    /// How urgent it is.
    pub priority: Priority,
    /// The host's labels; the engine's are the type, [`Work`] and `held`.
    pub labels: BTreeSet<String>,
    /// Neither dispatched nor merged until released.
    pub held: bool,
    /// The host's data.
    pub metadata: Map<String, Value>,
    /// Dispatches so far.
    pub dispatch_attempts: u32,
    /// When it was last dispatched; the backoff counts from here.
    pub last_dispatch_attempt_at: Option<Timestamp>,
    /// Who made it.
    pub created_by: Option<CreatedBy>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last touched (spec 1.10).
    pub updated_at: Timestamp,
    /// When its status last changed.
    pub status_changed_at: Option<Timestamp>,
    /// When it became terminal.
    pub closed_at: Option<Timestamp>,
    /// Why it failed.
    pub failure: Option<Failure>,
    /// The bead that started this line of work; none: itself.
    pub root: Option<BeadId>,
    /// What a person was told about it and still is true.
    pub told: BTreeMap<ReasonCode, Timestamp>,
}

impl Bead {
    /// An open bead made at `now`.
    #[must_use]
    pub fn new(id: BeadId, kind: BeadKind, title: impl Into<String>, now: Timestamp) -> Self {
        Self {
            id,
            kind,
            status: BeadStatus::Open,
            title: title.into(),
            body: None,
            rig_id: None,
            parent_id: None,
            assignee: None,
            priority: Priority::default(),
            labels: BTreeSet::new(),
            held: false,
            metadata: Map::new(),
            dispatch_attempts: 0,
            last_dispatch_attempt_at: None,
            created_by: None,
            created_at: now,
            updated_at: now,
            status_changed_at: Some(now),
            closed_at: None,
            failure: None,
            root: None,
            told: BTreeMap::new(),
        }
    }

    /// Not terminal.
    #[must_use]
    pub fn is_live(&self) -> bool {
        !self.status.is_terminal()
    }

    /// The bead whose lineage pays for this one.
    #[must_use]
    pub fn lineage(&self) -> &BeadId {
        self.root.as_ref().unwrap_or(&self.id)
    }

    /// Since when it has its status; absent: since it was last touched (spec 1.10).
    #[must_use]
    pub fn in_status_since(&self) -> Timestamp {
        self.status_changed_at.unwrap_or(self.updated_at)
    }

    /// What sort of issue it is, if it is one.
    #[must_use]
    pub fn work(&self) -> Option<&Work> {
        match &self.kind {
            BeadKind::Issue(work) => Some(work),
            BeadKind::MergeRequest(_)
            | BeadKind::Convoy(_)
            | BeadKind::Escalation(_)
            | BeadKind::Molecule
            | BeadKind::Message(_) => None,
        }
    }

    /// The review, of an MR bead.
    #[must_use]
    pub fn review(&self) -> Option<&Review> {
        match &self.kind {
            BeadKind::MergeRequest(review) => Some(review),
            BeadKind::Issue(_)
            | BeadKind::Convoy(_)
            | BeadKind::Escalation(_)
            | BeadKind::Molecule
            | BeadKind::Message(_) => None,
        }
    }

    /// The convoy, of a convoy bead.
    #[must_use]
    pub fn convoy(&self) -> Option<&Convoy> {
        match &self.kind {
            BeadKind::Convoy(convoy) => Some(convoy),
            BeadKind::Issue(_)
            | BeadKind::MergeRequest(_)
            | BeadKind::Escalation(_)
            | BeadKind::Molecule
            | BeadKind::Message(_) => None,
        }
    }

    /// The escalation, of an escalation bead.
    #[must_use]
    pub fn escalation(&self) -> Option<&Escalation> {
        match &self.kind {
            BeadKind::Escalation(escalation) => Some(escalation),
            BeadKind::Issue(_)
            | BeadKind::MergeRequest(_)
            | BeadKind::Convoy(_)
            | BeadKind::Molecule
            | BeadKind::Message(_) => None,
        }
    }

    pub(crate) fn review_mut(&mut self) -> Option<&mut Review> {
        if let BeadKind::MergeRequest(review) = &mut self.kind {
            Some(review)
        } else {
            None
        }
    }

    pub(crate) fn convoy_mut(&mut self) -> Option<&mut Convoy> {
        if let BeadKind::Convoy(convoy) = &mut self.kind {
            Some(convoy)
        } else {
            None
        }
    }

    pub(crate) fn escalation_mut(&mut self) -> Option<&mut Escalation> {
        if let BeadKind::Escalation(escalation) = &mut self.kind {
            Some(escalation)
        } else {
            None
        }
    }

    pub(crate) fn work_mut(&mut self) -> Option<&mut Work> {
        if let BeadKind::Issue(work) = &mut self.kind {
            Some(work)
        } else {
            None
        }
    }
}

impl fmt::Debug for Bead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bead")
            .field("id", &self.id)
            .field("status", &self.status)
            .field("kind", &self.kind)
            .field("assignee", &self.assignee)
            .field("title", &self.title)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn transitions_over_all_pairs() {
        let mut legal = alloc::vec::Vec::new();
        for from in BeadStatus::ALL {
            for to in BeadStatus::ALL {
                if from.may_become(to) {
                    legal.push(alloc::format!("{}→{}", from.as_str(), to.as_str()));
                }
                assert!(
                    !(from.is_terminal() && from.may_become(to)),
                    "I1: {from:?} is final"
                );
            }
        }
        insta::assert_snapshot!(legal.join(" "), @"open→in_progress open→in_review open→closed open→failed in_progress→open in_progress→in_review in_progress→closed in_progress→failed in_review→open in_review→closed in_review→failed");
    }
}
