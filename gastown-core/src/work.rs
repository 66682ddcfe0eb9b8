//! What sort of issue an issue bead is, typed once at the edge (spec 1.6).

use alloc::string::String;
use alloc::vec::Vec;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ids::{AgentId, BeadId};

/// The labels that are the engine's (spec 1.6).
pub mod label {
    /// Every engine label begins so.
    pub const PREFIX: &str = "gt:";
    /// Says that the type is `merge_request`.
    pub const MERGE_REQUEST: &str = "gt:merge-request";
    /// Says that the type is `convoy`.
    pub const CONVOY: &str = "gt:convoy";
    /// Says that the type is `molecule`.
    pub const MOLECULE: &str = "gt:molecule";
    /// A step of a molecule.
    pub const MOLECULE_STEP: &str = "gt:molecule-step";
    /// Says that the type is `escalation`.
    pub const ESCALATION: &str = "gt:escalation";
    /// The refinery asked for changes.
    pub const REWORK: &str = "gt:rework";
    /// Open threads or failing checks.
    pub const PR_FEEDBACK: &str = "gt:pr-feedback";
    /// A conflict with the target.
    pub const PR_CONFLICT: &str = "gt:pr-conflict";
    /// A repair of a pull request that the town did not open.
    pub const PR_FIXUP: &str = "gt:pr-fixup";
    /// Something for the triage agent to judge.
    pub const TRIAGE_REQUEST: &str = "gt:triage-request";
    /// A batch for the triage agent.
    pub const TRIAGE: &str = "gt:triage";
    /// Neither dispatched nor merged.
    pub const HELD: &str = "gt:held";
    /// On escalations, followed by the level.
    pub const SEVERITY_PREFIX: &str = "severity:";
}

/// What sort of issue an issue bead is (spec 1.6).
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// Somebody's issue.
    Plain,
    /// The refinery asked for changes.
    Rework(Rework),
    /// Open threads or failing checks of a pull request.
    PrFeedback(PrFeedback),
    /// A pull request conflicts with its target.
    PrConflict(PrConflict),
    /// A repair of a pull request that the town did not open.
    PrFixup(PrFixup),
    /// Something for the triage agent to judge.
    TriageRequest(TriageRequest),
    /// A batch for the triage agent, or a person's bead that merely carries the label.
    TriageBatch,
    /// A step of a molecule; worked on through the molecule's bead, never dispatched by itself.
    MoleculeStep,
}

impl Work {
    /// Whether it repairs the branch of an MR bead (rework, feedback, conflict).
    #[must_use]
    pub const fn is_repair(&self) -> bool {
        match self {
            Work::Rework(_) | Work::PrFeedback(_) | Work::PrConflict(_) => true,
            Work::Plain
            | Work::PrFixup(_)
            | Work::TriageRequest(_)
            | Work::TriageBatch
            | Work::MoleculeStep => false,
        }
    }

    /// Whether it works on a branch that already exists, so that no MR bead follows (spec 4.1).
    #[must_use]
    pub const fn skips_review(&self) -> bool {
        self.is_repair() || matches!(self, Work::PrFixup(_))
    }

    /// The MR bead that a repair names in its metadata.
    #[must_use]
    pub fn repaired_mr(&self) -> Option<&BeadId> {
        match self {
            Work::Rework(work) => work.mr_bead_id.as_ref(),
            Work::PrFeedback(work) => work.pr_feedback_for.as_ref(),
            Work::PrConflict(work) => work.mr_bead_id.as_ref(),
            Work::Plain
            | Work::PrFixup(_)
            | Work::TriageRequest(_)
            | Work::TriageBatch
            | Work::MoleculeStep => None,
        }
    }

    /// Whether it is a repair of one head of a pull request.
    pub(crate) fn is_of_a_head(&self) -> bool {
        matches!(self, Work::PrFeedback(_) | Work::PrConflict(_))
    }

    /// The head of the pull request that a repair was made for.
    #[must_use]
    pub fn head_sha(&self) -> Option<&str> {
        match self {
            Work::PrFeedback(work) => work.head_sha.as_deref(),
            Work::PrConflict(work) => work.head_sha.as_deref(),
            Work::Plain
            | Work::Rework(_)
            | Work::PrFixup(_)
            | Work::TriageRequest(_)
            | Work::TriageBatch
            | Work::MoleculeStep => None,
        }
    }

    /// The engine's label for this sort, if it has one.
    #[must_use]
    pub const fn label(&self) -> Option<&'static str> {
        match self {
            Work::Plain => None,
            Work::Rework(_) => Some(label::REWORK),
            Work::PrFeedback(_) => Some(label::PR_FEEDBACK),
            Work::PrConflict(_) => Some(label::PR_CONFLICT),
            Work::PrFixup(_) => Some(label::PR_FIXUP),
            Work::TriageRequest(_) => Some(label::TRIAGE_REQUEST),
            Work::TriageBatch => Some(label::TRIAGE),
            Work::MoleculeStep => Some(label::MOLECULE_STEP),
        }
    }
}

macro_rules! work_data {
    ($(#[$head:meta])* $struct:ident { $($(#[$doc:meta])* $name:ident: $type:ty,)* }) => {
        $(#[$head])*
        #[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
        #[serde(default)]
        pub struct $struct {
            $($(#[$doc])* #[serde(skip_serializing_if = "is_empty")] pub $name: $type,)*
        }

        impl $struct {
            /// The keys that this sort of work owns in a bead's metadata.
            pub const KEYS: &'static [&'static str] = &[$(stringify!($name)),*];
        }
    };
}

/// Left out on the wire: what says nothing.
fn is_empty<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

work_data! {
    /// The refinery asked for changes; the body holds its feedback.
    Rework {
        /// The source bead.
        rework_for: Option<BeadId>,
        /// The MR bead.
        mr_bead_id: Option<BeadId>,
        /// The branch to repair.
        branch: Option<String>,
        /// Where it goes.
        target_branch: Option<String>,
        /// The files meant.
        files: Vec<String>,
    }
}

work_data! {
    /// Open threads, failing or unseen checks.
    PrFeedback {
        /// The MR bead.
        pr_feedback_for: Option<BeadId>,
        /// The pull request.
        pr_url: Option<String>,
        /// The branch to repair.
        branch: Option<String>,
        /// The head that it was made for.
        head_sha: Option<String>,
        /// Conflicts were merged into this repair.
        has_conflicts: bool,
        /// The target that the conflicts are with.
        conflict_target_branch: Option<String>,
    }
}

work_data! {
    /// The pull request conflicts with its target, or is behind it.
    PrConflict {
        /// The pull request.
        pr_url: Option<String>,
        /// The branch to repair.
        branch: Option<String>,
        /// The head that it was made for.
        head_sha: Option<String>,
        /// The target that it conflicts with.
        target_branch: Option<String>,
        /// The MR bead.
        mr_bead_id: Option<BeadId>,
        /// The source bead.
        source_bead_id: Option<BeadId>,
        /// Feedback was merged into this repair.
        has_feedback: bool,
    }
}

work_data! {
    /// A repair of a pull request that the town did not open.
    PrFixup {
        /// The pull request.
        pr_url: Option<String>,
        /// The branch to repair.
        branch: Option<String>,
        /// Where it goes.
        target_branch: Option<String>,
    }
}

/// What a triage request asks (spec 3.8).
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TriageType {
    /// An agent shows no activity.
    StuckAgent,
    /// A worktree holds work that nobody claims.
    DirtyPolecat,
    /// An agent asks for help.
    #[default]
    HelpRequest,
    /// Is this agent really gone?
    ZombieConfirm,
    /// An agent keeps dying.
    CrashLoop,
    /// An escalation; never dropped and not counted.
    Escalation,
}

impl TriageType {
    /// The type as it stands on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            TriageType::StuckAgent => "stuck_agent",
            TriageType::DirtyPolecat => "dirty_polecat",
            TriageType::HelpRequest => "help_request",
            TriageType::ZombieConfirm => "zombie_confirm",
            TriageType::CrashLoop => "crash_loop",
            TriageType::Escalation => "escalation",
        }
    }
}

work_data! {
    /// Something for the triage agent to judge. Bead, hook and session are those of *then*.
    TriageRequest {
        /// What it asks.
        triage_type: TriageType,
        /// The agent meant.
        agent_id: Option<AgentId>,
        /// The bead that it was hooked to.
        hooked_bead_id: Option<BeadId>,
        /// Its session.
        session: Option<u64>,
        /// Batches that carried the request.
        carries: u32,
        /// The escalation that it came from.
        escalation_id: Option<BeadId>,
        /// What is known.
        context: Option<Value>,
        /// The actions offered.
        options: Vec<String>,
        /// Once resolved: the action.
        action: Option<String>,
        /// Once resolved: the notes.
        notes: Option<String>,
        /// Once resolved: by whom.
        resolver: Option<String>,
    }
}
