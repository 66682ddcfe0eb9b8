//! Actions: one decision each, made by a rule and performed by `apply` (spec 2.3).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::agent::{AgentStatus, Role};
use crate::apply::{ESCALATION_TOPIC, WAITING_TOPIC};
use crate::bead::{Bead, BeadStatus};
use crate::condition::{ConditionKind, ConditionSubject};
use crate::edge::EdgeKind;
use crate::escalation::Severity;
use crate::ids::{AgentId, BeadId, NudgeId, RigId};
use crate::nudge::NudgeTier;
use crate::reason::{Reason, ReasonCode};
use crate::review::Certificate;
use crate::tagged::tagged_enum;
use crate::time::Timestamp;

/// One decision with the rule that made it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Action {
    /// The id of the rule, for example `dispatch/issue`.
    pub rule: Cow<'static, str>,
    /// What is decided.
    #[serde(flatten)]
    pub kind: ActionKind,
}

macro_rules! action_data {
    ($($(#[$head:meta])* $struct:ident {
        $($(#[$doc:meta])* $name:ident: $type:ty,)*
        $(; $($(#[$odoc:meta])* $oname:ident: $otype:ty,)*)?
    })*) => {
        $($(#[$head])*
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(deny_unknown_fields)]
        pub struct $struct {
            $($(#[$doc])* pub $name: $type,)*
            $($($(#[$odoc])* #[serde(default, skip_serializing_if = "says_nothing")] pub $oname: $otype,)*)?
        })*
    };
}

/// Left out on the wire: what says nothing.
fn says_nothing<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

action_data! {
    /// Moves a bead to another status. A bead that leaves its review for `open` begins its
    /// backoff.
    TransitionBead {
        /// The bead.
        bead_id: BeadId,
        /// The status that it must have.
        from: BeadStatus,
        /// The status that it gets.
        to: BeadStatus,
        /// Why; becomes the failure of a bead that fails.
        reason: Reason,
    }
    /// Gives a bead to an agent.
    SetAssignee {
        /// The bead.
        bead_id: BeadId,
        /// The agent.
        agent_id: AgentId,
    }
    /// Takes a bead from its agent.
    ClearAssignee {
        /// The bead.
        bead_id: BeadId,
    }
    /// Makes a bead. A triage batch counts as carried by every open request.
    CreateBead {
        /// Its identifier.
        bead_id: BeadId,
        /// All of it.
        bead: Box<Bead>,
    }
    /// Adds an edge.
    AddDependency {
        /// The bead that depends.
        bead_id: BeadId,
        /// The bead that it depends on.
        depends_on: BeadId,
        /// What that means.
        kind: EdgeKind,
    }
    /// Adds a label.
    SetLabel {
        /// The bead.
        bead_id: BeadId,
        /// The label.
        label: String,
    }
    /// Removes a label.
    ClearLabel {
        /// The bead.
        bead_id: BeadId,
        /// The label.
        label: String,
    }
    /// Records that a person was told.
    Tell {
        /// The bead that it is about.
        bead_id: BeadId,
        /// What was told.
        category: ReasonCode,
        /// The escalation that tells it.
        escalation_id: BeadId,
    }
    /// Records that what was told is over.
    Untell {
        /// The bead that it was about.
        bead_id: BeadId,
        /// What was told.
        category: ReasonCode,
    }
    /// Moves an agent to another status.
    TransitionAgent {
        /// The agent.
        agent_id: AgentId,
        /// The status that it must have.
        from: AgentStatus,
        /// The status that it gets.
        to: AgentStatus,
        /// Why; `never_reported` counts as a failure of the breaker.
        reason: Reason,
    }
    /// Makes an agent.
    CreateAgent {
        /// Its identifier.
        agent_id: AgentId,
        /// What it does.
        role: Role,
        /// What people call it.
        name: String,
        /// Its unique identity.
        identity: String,
        /// Its rig.
        rig_id: Option<RigId>,
    }
    /// Attaches an agent to a bead.
    HookAgent {
        /// The agent.
        agent_id: AgentId,
        /// The bead.
        bead_id: BeadId,
    }
    /// Detaches an agent from a bead.
    UnhookAgent {
        /// The agent.
        agent_id: AgentId,
        /// The bead.
        bead_id: BeadId,
        /// Why.
        reason: Reason,
    }
    /// Forgets what an agent wanted to know at its next start.
    ClearCheckpoint {
        /// The agent.
        agent_id: AgentId,
    }
    /// Forgets an agent's own attempts.
    ResetAttempts {
        /// The agent.
        agent_id: AgentId,
    }
    /// Removes an agent; beads lose it as assignee.
    DeleteAgent {
        /// The agent.
        agent_id: AgentId,
        /// Why.
        reason: Reason,
    }
    /// Writes a convoy's counts.
    UpdateConvoyProgress {
        /// The convoy.
        convoy_id: BeadId,
        /// Its issues.
        total: u32,
        /// Those that are terminal.
        closed: u32,
    }
    /// Says whether all of a convoy's work is on its feature branch.
    SetReadyToLand {
        /// The convoy.
        convoy_id: BeadId,
        /// Whether it is.
        ready: bool,
    }
    /// Makes the review that lands a convoy in one rig.
    CreateLandingMr {
        /// The convoy.
        convoy_id: BeadId,
        /// The identifier of the MR bead.
        mr_id: BeadId,
        /// The rig.
        rig_id: RigId,
        /// The feature branch.
        branch: String,
        /// The branch that it goes to.
        target_branch: String,
    }
    /// Closes a convoy that has landed.
    CloseConvoy {
        /// The convoy.
        convoy_id: BeadId,
    }
    /// Fails a convoy.
    FailConvoy {
        /// The convoy.
        convoy_id: BeadId,
        /// Why.
        reason: Reason,
    }
    /// Sets or clears the clock of merging by the engine.
    MarkAutoMerge {
        /// The MR bead.
        bead_id: BeadId,
        /// Green for the delay: to be merged.
        pending: bool,
        /// Since when it has been green.
        ready_since: Option<Timestamp>,
        /// The head that has been green.
        head_sha: Option<String>,
        ;
        /// From now on the engine does not merge this head; `unseen` when none is known.
        off_for_head: Option<String>,
        /// The attempt under way had no outcome: it is given up and counts as refused.
        attempt_given_up: bool,
    }
    /// Raises an escalation by one level.
    ReEscalate {
        /// The escalation.
        bead_id: BeadId,
        /// The level that it must have.
        from: Severity,
        /// The level that it gets.
        to: Severity,
    }
    /// Removes a nudge that is delivered or no longer worth sending.
    ExpireNudge {
        /// The nudge.
        nudge_id: NudgeId,
    }
    /// Opens the breaker.
    TripBreaker {
        /// The failures that opened it.
        failures: u32,
    }
    /// Lets one dispatch through an open breaker.
    ProbeBreaker {
        /// The bead whose dispatch it is.
        bead_id: BeadId,
    }
    /// Closes the breaker.
    ResetBreaker {}
    /// Ends a drain.
    EndDrain {
        /// Why.
        cause: Reason,
    }
    /// Marks a condition as told.
    SetCondition {
        /// What is wrong.
        kind: ConditionKind,
        /// Whom it is about.
        subject: ConditionSubject,
    }
    /// Ends a condition.
    ClearCondition {
        /// What was wrong.
        kind: ConditionKind,
        /// Whom it was about.
        subject: ConditionSubject,
    }
    /// Starts a session of an agent on its hooked bead.
    DispatchAgent {
        /// The agent.
        agent_id: AgentId,
        /// The bead.
        bead_id: BeadId,
        /// The rig whose worktree it uses: the agent's own.
        rig_id: RigId,
        /// Its new session.
        session: u64,
        /// The bead's attempt.
        attempt: u32,
    }
    /// Stops a session of an agent.
    StopAgent {
        /// The agent.
        agent_id: AgentId,
        /// The session.
        session: u64,
        /// Why.
        reason: Reason,
    }
    /// Looks at a pull request.
    PollPr {
        /// The MR bead.
        bead_id: BeadId,
        /// The pull request.
        pr_url: String,
        /// Whether threads, checks and reviews are wanted.
        with_feedback: bool,
    }
    /// Merges a pull request.
    MergePr {
        /// The MR bead.
        bead_id: BeadId,
        /// The pull request.
        pr_url: String,
        /// The head that was green for the whole delay.
        head_sha: String,
        /// Why the merge is allowed.
        certificate: Box<Certificate>,
    }
    /// Finds out whether a direct merge landed.
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
        /// The number of this verification.
        number: u64,
    }
    /// Creates a convoy's feature branch in one rig.
    CreateBranch {
        /// The convoy.
        convoy_id: BeadId,
        /// The rig.
        rig_id: RigId,
        /// The branch.
        branch: String,
    }
    /// Pushes a message to a running agent; makes the nudge if there is none yet.
    SendNudge {
        /// The agent.
        agent_id: AgentId,
        /// The nudge.
        nudge_id: NudgeId,
        /// Why.
        tier: NudgeTier,
        /// The text.
        message: String,
    }
    /// Tells the mayor. A topic `escalation:<id>` stamps that escalation.
    NotifyMayor {
        /// What it is about.
        topic: String,
        /// The text.
        message: String,
    }
    /// Refreshes the container's token.
    RefreshContainerToken {}
    /// Looks at the language-model token's expiry.
    RenewLlmToken {}
    /// Stops the idle container.
    StopIdleContainer {}
}

tagged_enum! {
    /// What is decided (spec 2.3).
    ActionKind {
        /// Moves a bead to another status.
        TransitionBead(TransitionBead) = "transition_bead",
        /// Gives a bead to an agent.
        SetAssignee(SetAssignee) = "set_assignee",
        /// Takes a bead from its agent.
        ClearAssignee(ClearAssignee) = "clear_assignee",
        /// Makes a bead.
        CreateBead(CreateBead) = "create_bead",
        /// Adds an edge.
        AddDependency(AddDependency) = "add_dependency",
        /// Adds a label.
        SetLabel(SetLabel) = "set_label",
        /// Removes a label.
        ClearLabel(ClearLabel) = "clear_label",
        /// Records that a person was told.
        Tell(Tell) = "tell",
        /// Records that what was told is over.
        Untell(Untell) = "untell",
        /// Moves an agent to another status.
        TransitionAgent(TransitionAgent) = "transition_agent",
        /// Makes an agent.
        CreateAgent(CreateAgent) = "create_agent",
        /// Attaches an agent to a bead.
        HookAgent(HookAgent) = "hook_agent",
        /// Detaches an agent from a bead.
        UnhookAgent(UnhookAgent) = "unhook_agent",
        /// Forgets what an agent wanted to know at its next start.
        ClearCheckpoint(ClearCheckpoint) = "clear_checkpoint",
        /// Forgets an agent's own attempts.
        ResetAttempts(ResetAttempts) = "reset_attempts",
        /// Removes an agent.
        DeleteAgent(DeleteAgent) = "delete_agent",
        /// Writes a convoy's counts.
        UpdateConvoyProgress(UpdateConvoyProgress) = "update_convoy_progress",
        /// Says whether all of a convoy's work is on its feature branch.
        SetReadyToLand(SetReadyToLand) = "set_ready_to_land",
        /// Makes the review that lands a convoy in one rig.
        CreateLandingMr(CreateLandingMr) = "create_landing_mr",
        /// Closes a convoy that has landed.
        CloseConvoy(CloseConvoy) = "close_convoy",
        /// Fails a convoy.
        FailConvoy(FailConvoy) = "fail_convoy",
        /// Sets or clears the clock of merging by the engine.
        MarkAutoMerge(MarkAutoMerge) = "mark_auto_merge",
        /// Raises an escalation by one level.
        ReEscalate(ReEscalate) = "re_escalate",
        /// Removes a nudge.
        ExpireNudge(ExpireNudge) = "expire_nudge",
        /// Opens the breaker.
        TripBreaker(TripBreaker) = "trip_breaker",
        /// Lets one dispatch through an open breaker.
        ProbeBreaker(ProbeBreaker) = "probe_breaker",
        /// Closes the breaker.
        ResetBreaker(ResetBreaker) = "reset_breaker",
        /// Ends a drain.
        EndDrain(EndDrain) = "end_drain",
        /// Marks a condition as told.
        SetCondition(SetCondition) = "set_condition",
        /// Ends a condition.
        ClearCondition(ClearCondition) = "clear_condition",
        /// Starts a session of an agent on its hooked bead.
        DispatchAgent(DispatchAgent) = "dispatch_agent",
        /// Stops a session of an agent.
        StopAgent(StopAgent) = "stop_agent",
        /// Looks at a pull request.
        PollPr(PollPr) = "poll_pr",
        /// Merges a pull request.
        MergePr(MergePr) = "merge_pr",
        /// Finds out whether a direct merge landed.
        VerifyMerge(VerifyMerge) = "verify_merge",
        /// Creates a convoy's feature branch in one rig.
        CreateBranch(CreateBranch) = "create_branch",
        /// Pushes a message to a running agent.
        SendNudge(SendNudge) = "send_nudge",
        /// Tells the mayor.
        NotifyMayor(NotifyMayor) = "notify_mayor",
        /// Refreshes the container's token.
        RefreshContainerToken(RefreshContainerToken) = "refresh_container_token",
        /// Looks at the language-model token's expiry.
        RenewLlmToken(RenewLlmToken) = "renew_llm_token",
        /// Stops the idle container.
        StopIdleContainer(StopIdleContainer) = "stop_idle_container",
    }
}

/// What an action changes: what one pass changes at most once (property P4).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    Bead(BeadId),
    Agent(AgentId),
    Nudge(NudgeId),
    Condition(ConditionKind, ConditionSubject),
    Breaker,
    Drain,
    ContainerToken,
    LlmToken,
    Container,
    Topic(String),
}

impl ActionKind {
    /// Whether it sends an agent to work.
    pub(crate) fn sends_an_agent(&self) -> bool {
        matches!(self, ActionKind::DispatchAgent(_))
    }

    /// The bead that a notice stamps with the time at which its mayor was told.
    pub(crate) fn stamped_bead(&self) -> Option<BeadId> {
        let ActionKind::NotifyMayor(notice) = self else {
            return None;
        };
        [ESCALATION_TOPIC, WAITING_TOPIC]
            .iter()
            .find_map(|prefix| BeadId::new(notice.topic.strip_prefix(prefix)?).ok())
    }

    /// What the action changes.
    pub(crate) fn subjects(&self) -> alloc::vec::Vec<Subject> {
        use ActionKind as A;
        let bead = |id: &BeadId| Subject::Bead(id.clone());
        let agent = |id: &AgentId| Subject::Agent(id.clone());
        let subjects: [Option<Subject>; 2] = match self {
            A::TransitionBead(a) => [Some(bead(&a.bead_id)), None],
            A::SetAssignee(a) => [Some(bead(&a.bead_id)), None],
            A::ClearAssignee(a) => [Some(bead(&a.bead_id)), None],
            A::CreateBead(a) => [Some(bead(&a.bead_id)), None],
            A::AddDependency(a) => [Some(bead(&a.bead_id)), None],
            A::SetLabel(a) => [Some(bead(&a.bead_id)), None],
            A::ClearLabel(a) => [Some(bead(&a.bead_id)), None],
            A::Tell(a) => [Some(bead(&a.bead_id)), None],
            A::Untell(a) => [Some(bead(&a.bead_id)), None],
            A::TransitionAgent(a) => [Some(agent(&a.agent_id)), None],
            A::CreateAgent(a) => [Some(agent(&a.agent_id)), None],
            A::HookAgent(a) => [Some(agent(&a.agent_id)), Some(bead(&a.bead_id))],
            A::UnhookAgent(a) => [Some(agent(&a.agent_id)), None],
            A::ClearCheckpoint(a) => [Some(agent(&a.agent_id)), None],
            A::ResetAttempts(a) => [Some(agent(&a.agent_id)), None],
            A::DeleteAgent(a) => [Some(agent(&a.agent_id)), None],
            A::UpdateConvoyProgress(a) => [Some(bead(&a.convoy_id)), None],
            A::SetReadyToLand(a) => [Some(bead(&a.convoy_id)), None],
            A::CreateLandingMr(a) => [Some(bead(&a.convoy_id)), Some(bead(&a.mr_id))],
            A::CloseConvoy(a) => [Some(bead(&a.convoy_id)), None],
            A::FailConvoy(a) => [Some(bead(&a.convoy_id)), None],
            A::MarkAutoMerge(a) => [Some(bead(&a.bead_id)), None],
            A::ReEscalate(a) => [Some(bead(&a.bead_id)), None],
            A::ExpireNudge(a) => [Some(Subject::Nudge(a.nudge_id.clone())), None],
            A::TripBreaker(_) | A::ResetBreaker(_) => [Some(Subject::Breaker), None],
            A::ProbeBreaker(a) => [Some(Subject::Breaker), Some(bead(&a.bead_id))],
            A::EndDrain(_) => [Some(Subject::Drain), None],
            A::SetCondition(a) => [Some(Subject::Condition(a.kind, a.subject.clone())), None],
            A::ClearCondition(a) => [Some(Subject::Condition(a.kind, a.subject.clone())), None],
            A::DispatchAgent(a) => [Some(agent(&a.agent_id)), Some(bead(&a.bead_id))],
            A::StopAgent(a) => [Some(agent(&a.agent_id)), None],
            A::PollPr(a) => [Some(bead(&a.bead_id)), None],
            A::MergePr(a) => [Some(bead(&a.bead_id)), None],
            A::VerifyMerge(a) => [Some(bead(&a.bead_id)), None],
            A::CreateBranch(a) => [Some(bead(&a.convoy_id)), None],
            A::SendNudge(a) => [Some(Subject::Nudge(a.nudge_id.clone())), None],
            A::NotifyMayor(a) => [Some(Subject::Topic(a.topic.clone())), None],
            A::RefreshContainerToken(_) => [Some(Subject::ContainerToken), None],
            A::RenewLlmToken(_) => [Some(Subject::LlmToken), None],
            A::StopIdleContainer(_) => [Some(Subject::Container), None],
        };
        subjects.into_iter().flatten().collect()
    }
}
