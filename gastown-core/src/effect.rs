//! Effects: what an adapter is to do, named by what it is for (spec 2.4).

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ids::{AgentId, BeadId, NudgeId, RigId};
use crate::nudge::NudgeTier;
use crate::review::Certificate;
use crate::schema::titled;
use crate::tagged::tagged_enum;

/// What an effect is for. The attempt comes from the state and only grows, so a key never comes
/// again for something else.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema,
)]
#[serde(deny_unknown_fields)]
#[schemars(transform = titled)]
pub struct EffectKey {
    /// The bead, agent, nudge or topic that it is for.
    pub subject: String,
    /// The effect's type.
    pub kind: String,
    /// The how-manieth of its kind for this subject.
    pub attempt: u64,
}

impl fmt::Display for EffectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}", self.kind, self.subject, self.attempt)
    }
}

/// One thing that an adapter is to do, safe to run again. Holds no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Effect {
    /// What it is for; its result comes back as an event with this key.
    pub key: EffectKey,
    /// What is to be done.
    pub kind: EffectKind,
}

impl Serialize for Effect {
    fn serialize<S: serde::Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        /// Spec 8 tags everything by `type`, spec 8.3 shows an effect with `kind`: it has both.
        #[derive(Serialize)]
        struct Form<'a> {
            key: &'a EffectKey,
            kind: &'static str,
            #[serde(flatten)]
            data: &'a EffectKind,
        }
        Form {
            key: &self.key,
            kind: self.kind.type_name(),
            data: &self.kind,
        }
        .serialize(out)
    }
}

macro_rules! effect_data {
    ($($(#[$head:meta])* $struct:ident { $($(#[$doc:meta])* $name:ident: $type:ty,)* })*) => {
        $($(#[$head])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $struct {
            $($(#[$doc])* pub $name: $type,)*
        })*
    };
}

effect_data! {
    /// Start a session of an agent on its hooked bead. Starting one that runs is a no-op.
    StartAgent {
        /// The agent.
        agent_id: AgentId,
        /// The bead that it is hooked to.
        bead_id: BeadId,
        /// The rig whose worktree it uses: the agent's own.
        rig_id: RigId,
        /// Its new session.
        session: u64,
        /// The bead's attempt.
        attempt: u32,
    }
    /// Stop a session of an agent. Stopping one that has ended is a no-op.
    StopAgent {
        /// The agent.
        agent_id: AgentId,
        /// The session to stop.
        session: u64,
        /// Why, for a person.
        reason: String,
    }
    /// Look at a pull request.
    PollPr {
        /// The MR bead.
        bead_id: BeadId,
        /// The pull request.
        pr_url: String,
        /// Its rig, known or inferred.
        rig_id: Option<RigId>,
        /// Whether threads, checks and reviews are wanted.
        with_feedback: bool,
    }
    /// Merge a pull request if it still may be merged.
    MergePr {
        /// The MR bead.
        bead_id: BeadId,
        /// The pull request.
        pr_url: String,
        /// Its rig, known or inferred.
        rig_id: RigId,
        /// The head that was green for the whole delay.
        head_sha: String,
        /// Why the merge is allowed.
        certificate: Box<Certificate>,
    }
    /// Find out whether a direct merge landed.
    VerifyMerge {
        /// The MR bead.
        bead_id: BeadId,
        /// Its rig, known or inferred.
        rig_id: Option<RigId>,
        /// The branch whose work should be on the target.
        branch: String,
        /// The target branch.
        target_branch: String,
        /// The commit that the refinery says carries it.
        merge_commit: Option<String>,
    }
    /// Create a convoy's feature branch in one rig.
    CreateBranch {
        /// The convoy.
        convoy_id: BeadId,
        /// The rig.
        rig_id: RigId,
        /// The branch.
        branch: String,
    }
    /// Push a message to a running agent.
    DeliverNudge {
        /// The nudge; carried along so that the agent can tell a repetition.
        nudge_id: NudgeId,
        /// The agent.
        agent_id: AgentId,
        /// Why.
        tier: NudgeTier,
        /// The text.
        message: String,
    }
    /// Tell the mayor, and whoever the host notifies.
    NotifyMayor {
        /// What it is about.
        topic: String,
        /// The text.
        message: String,
    }
    /// Refresh the container's token.
    RefreshContainerToken {}
    /// Look at the language-model token's expiry and renew it when due.
    RenewLlmToken {}
    /// Stop the idle container.
    StopContainer {}
}

tagged_enum! {
    /// What is to be done (spec 2.4).
    EffectKind {
        /// Start a session of an agent.
        StartAgent(StartAgent) = "start_agent",
        /// Stop a session of an agent.
        StopAgent(StopAgent) = "stop_agent",
        /// Look at a pull request.
        PollPr(PollPr) = "poll_pr",
        /// Merge a pull request.
        MergePr(MergePr) = "merge_pr",
        /// Find out whether a direct merge landed.
        VerifyMerge(VerifyMerge) = "verify_merge",
        /// Create a convoy's feature branch.
        CreateBranch(CreateBranch) = "create_branch",
        /// Push a message to a running agent.
        DeliverNudge(DeliverNudge) = "deliver_nudge",
        /// Tell the mayor.
        NotifyMayor(NotifyMayor) = "notify_mayor",
        /// Refresh the container's token.
        RefreshContainerToken(RefreshContainerToken) = "refresh_container_token",
        /// Renew the language-model token.
        RenewLlmToken(RenewLlmToken) = "renew_llm_token",
        /// Stop the idle container.
        StopContainer(StopContainer) = "stop_container",
    }
}

impl EffectKind {
    /// The rig whose repository or worktree it is about, if it is about one.
    #[must_use]
    pub fn rig_id(&self) -> Option<&RigId> {
        match self {
            Self::StartAgent(start) => Some(&start.rig_id),
            Self::PollPr(poll) => poll.rig_id.as_ref(),
            Self::MergePr(merge) => Some(&merge.rig_id),
            Self::VerifyMerge(verify) => verify.rig_id.as_ref(),
            Self::CreateBranch(create) => Some(&create.rig_id),
            Self::StopAgent(_)
            | Self::DeliverNudge(_)
            | Self::NotifyMayor(_)
            | Self::RefreshContainerToken(_)
            | Self::RenewLlmToken(_)
            | Self::StopContainer(_) => None,
        }
    }
}

impl Effect {
    /// An effect keyed by its kind, `subject` and `attempt`.
    #[must_use]
    pub fn new(subject: impl Into<String>, attempt: u64, kind: impl Into<EffectKind>) -> Self {
        let kind = kind.into();
        let key = EffectKey {
            subject: subject.into(),
            kind: kind.type_name().into(),
            attempt,
        };
        Self { key, kind }
    }
}
