//! The pure rules engine of Gastown: towns of coding agents, decided by state and time.
//!
//! ```text
//!      Command (may be refused)        Event (may be ignored)
//!                     \                /
//!             execute  \              /  observe
//!                       v            v
//!    now ──────────>  Town ── reconcile ──> Actions ── apply ──> Effects
//!                       │                                          │
//!                       ├── explain: why not, and until when       │ commit first,
//!                       ├── next_wakeup: when to ask again         │ then perform
//!                       └── check: what does not hold              v
//!                              results come back as Events  <── adapters
//! ```
//!
//! # The contract
//!
//! - Everything is deterministic: the same state, inputs and time give the same bytes. There is no
//!   clock, no I/O, no randomness and no global state here; time is an argument named `now`.
//! - [`reconcile`] makes every decision, and nothing else does. [`settle`] repeats it with
//!   [`Town::apply`] until nothing is due.
//! - Between `now` and [`next_wakeup`] nothing is due unless an event or a command comes.
//! - No input panics. What is malformed is refused with a [`wire::WireError`] or a
//!   [`CommandError`] that says where, and what was expected.
//!
//! # The loop of a host
//!
//! 1. [`Store::lease`], [`Store::load`], [`Town::from_rows`]; observe an [`events::ObservationGap`], and perform
//!    what an earlier life left in [`Store::pending_effects`], if [`Town::wants`] it still.
//! 2. [`recall`] the ended beads that the commands name; [`tick`] takes the events of
//!    [`Store::pending_events`] and the commands, and decides until nothing is due.
//! 3. [`check`] what holds. If the tick has a fault, or there are violations that were not there before,
//!    nothing of it is committed.
//! 4. [`Store::commit`] the changes with the consumed events, the effects, and [`Ticked::record`] in the history.
//! 5. Perform the effects that the commit returns, each if [`Town::wants`] it still; each ends by
//!    [`Store::finish_effect`], with its results as events.
//! 6. Sleep until [`next_wakeup`] or the next event.
//!
//! `gastown-runtime` is this loop, ready to use.
#![no_std]
#![cfg_attr(test, allow(clippy::arithmetic_side_effects))]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod agent;
mod agent_runtime;
mod apply;
mod bead;
mod branches;
mod breaker;
mod certificate;
mod command;
mod condition;
mod config;
mod context;
mod convoy;
mod digest;
mod drain;
mod dry_run;
mod edge;
mod effect;
mod eligible;
mod escalation;
mod event;
mod explain;
mod forge;
mod green;
mod ids;
mod invariants;
mod mail;
mod mask;
mod merge_queue;
mod nudge;
mod observe;
mod pass;
mod policy;
mod prompts;
mod quoted;
mod reason;
mod recall;
mod reconcile;
pub mod replay;
pub mod report;
mod review;
mod rig;
mod rules;
mod schema;
mod secret;
mod store;
mod tagged;
mod telling;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod tick;
mod time;
mod town;
mod verdict;
mod wakeup;
pub mod wire;
pub mod work;

pub use action::{Action, ActionKind};
pub use agent::{Agent, AgentStatus, Role};
pub use agent_runtime::{
    AgentMessage, AgentRuntime, AgentRuntimeError, SavedWork, SessionId, StartRequest,
};
pub use apply::ApplyError;
pub use bead::{Bead, BeadKind, BeadStatus, BeadType, CreatedBy, Failure, Priority};
pub use branches::is_branch_name;
pub use breaker::{Breaker, BreakerState, Probe, StartFailure};
pub use command::{
    COMMANDS, Caller, Command, CommandError, CommandInfo, CommandKind, Party, Receipt, Refusal,
    command_schemas, tool_schemas, tools_of,
};
pub use condition::{Condition, ConditionKind, ConditionSubject};
pub use config::{
    AutoMergeDelay, ConfigError, ConvoyMergeMode, GitAuth, MergeMethod, MergeStrategy, PerRole,
    RefineryConfig, ReviewMode, RigConfig, Settings, TokenSource, TownConfig,
};
pub use context::{Prime, Situation, prime, prompt, session_model, start_request};
pub use convoy::{BranchState, Convoy, ConvoyBranch, Landing};
pub use drain::{Container, Drain};
pub use dry_run::dry_run;
pub use edge::{Edge, EdgeKind};
pub use effect::{Effect, EffectKey, EffectKind};
pub use escalation::{Escalation, Severity};
pub use event::{Event, EventKind, Observed, event_schemas};
pub use explain::{ExplainedCondition, ExplainedWait, Explanation, NextRule, explain, waits_for};
pub use forge::{Forge, ForgeError, MergeOutcome, Observation, VerifyOutcome};
pub use green::{GreenCondition, green_conditions};
pub use ids::{AgentId, BeadId, EventId, ID_BYTES_MAX, IdError, IdProblem, NudgeId, RigId, TownId};
pub use invariants::{Cause, Violation, check, check_step};
pub use mail::Mail;
pub use mask::Masker;
pub use merge_queue::{
    FailedReview, QueuedReview, ReviewActivity, ReviewStep, RigQueue, merge_queue,
};
pub use nudge::{Nudge, NudgeMode, NudgePriority, NudgeTier};
pub use policy::{FailedBlocker, Policy};
pub use reason::{Reason, ReasonCode};
pub use recall::{RecallError, recall};
pub use reconcile::{SettleFault, Settled, reconcile, settle};
pub use review::Review;
pub use rig::{Repository, Rig};
pub use rules::{GROUPS, Group, Rule, rules};
pub use secret::{REDACTED, RetiredSecrets, Secret};
pub use store::{
    BackendFailure, ChangeSet, Commit, Committed, Finish, HistoryEntry, HistoryFilter, HistoryKind,
    HistoryOrder, Lease, Loaded, PastFilter, Row, RowKey, Store, StoreError, StoredHistory,
};
pub use tick::{TickInput, Ticked, is_base_of_this_engine, snapshot_entries, tick};
pub use time::{Timestamp, TimestampError};
pub use town::{Lineage, Notice, Town, TownState, is_secret_row};
pub use verdict::{Wait, WaitFor};
pub use wakeup::{Outlook, next_wakeup, outlook};
pub use work::Work;

/// Data of the actions, one struct per type (spec 2.3).
pub mod actions {
    pub use crate::action::{
        AddDependency, ClearAssignee, ClearCheckpoint, ClearCondition, ClearLabel, CloseConvoy,
        CreateAgent, CreateBead, CreateBranch, CreateLandingMr, DeleteAgent, DispatchAgent,
        EndDrain, ExpireNudge, FailConvoy, HookAgent, MarkAutoMerge, MergePr, NotifyMayor, PollPr,
        ProbeBreaker, ReEscalate, RefreshContainerToken, RenewLlmToken, ResetAttempts,
        ResetBreaker, SendNudge, SetAssignee, SetCondition, SetLabel, SetReadyToLand, StopAgent,
        StopIdleContainer, Tell, TransitionAgent, TransitionBead, TripBreaker, UnhookAgent, Untell,
        UpdateConvoyProgress, VerifyMerge,
    };
}

/// Data of the commands, one struct per type, and the limits of their size (spec 2.1).
pub mod commands {
    pub use crate::command::{
        Acknowledge, AddRig, AdvanceStep, CheckMail, Checkpoint, CloseBead, ConvoyAdd,
        ConvoyRemove, ConvoyTask, CreateMolecule, DeleteBeads, Done, Escalate, FailBead, Grant,
        Hold, LandConvoy, Metadata, MoleculeStep, Nudge, Probe, Release, RemoveRig, ReopenBead,
        ReportStatus, RequestChanges, ResolveTriage, Retry, RigConfigPatch, SendMail,
        SetDependencies, Sling, SlingConvoy, StartConvoy, TownConfigPatch, UpdateBead,
        UpdateConfig, UpdateRig, limits,
    };
}

/// The parts of what an agent is told at its start (spec 6.6).
pub mod contexts {
    pub use crate::context::{
        ConvoyPosition, MoleculeContext, OpenBead, PrConflictContext, PrFixupContext, PrimedAgent,
        PrimedMail, RequestContext, ReviewContext, ReworkContext, StepContext, TriageContext,
    };
}

/// Data of the effects, one struct per kind (spec 2.4).
pub mod effects {
    pub use crate::effect::{
        CreateBranch, DeliverNudge, MergePr, NotifyMayor, PollPr, RefreshContainerToken,
        RenewLlmToken, StartAgent, StopAgent, StopContainer, VerifyMerge,
    };
}

/// Data of the events, one struct per type (spec 8.2).
pub mod events {
    pub use crate::event::{
        AgentDone, AgentExited, AgentGone, AgentStarted, AgentStopped, BranchCreated,
        CONTAINER_EVICTION, ContainerEviction, ContainerReady, ContainerStatus, DispatchFailed,
        DispatchOutcome, EffectOutcome, ExitStatus, Heartbeat, MayorPrompted, MayorWaiting,
        MergeAttempted, MergeVerified, Notified, NudgeDelivered, ObservationGap, PrObserved,
        ProcessStatus, TokenKind, TokenRefreshed, Webhook,
    };
}

/// What forges are asked and answer (spec 4.2, 4.5).
pub mod forges {
    pub use crate::forge::{
        ApiBudget, Checks, ChecksState, CommentRequest, CreateBranchRequest, Decision,
        DequeueCause, Dequeued, Feedback, MergeQueue, MergeRequest, Mergeable, ObserveRequest,
        PrState, RepositoryRef, VerifyRequest,
    };
}

/// The parts of a review (spec 1.4).
pub mod reviews {
    pub use crate::review::{
        AgentSession, Approval, AutoMerge, Certificate, CertifiedCondition, Conflict, MergeAttempt,
        Poll, RepairRounds, ReviewOutcome, Reviewed, Seen, Verify, Waiting,
    };
}

/// The example of the README compiles and runs as a test.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
struct Readme;
