//! What agents say of themselves, and what is said to them (spec 2.1).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;

use super::check::{self, limits};
use super::data::{Checkpoint, Done, Nudge, ReportStatus};
use super::{Actor, CommandError, Did, Executed, Refusal};
use crate::agent::AgentStatus;
use crate::event::AgentDone;
use crate::ids::{AgentId, BeadId, NudgeId};
use crate::nudge::{NudgeMode, NudgePriority, NudgeTier};
use crate::town::Town;

impl Town {
    /// `done` as a command is the event of the agent's current session (spec 4.1).
    pub(super) fn done_by_command(&mut self, done: Done, actor: &Actor) -> Executed {
        check::branch("branch", &done.branch)?;
        check::url("pr_url", done.pr_url.as_deref())?;
        check::commit("head_sha", done.head_sha.as_deref())?;
        check::commit("merge_commit", done.merge_commit.as_deref())?;
        check::optional_text("summary", done.summary.as_deref())?;
        let agent_id = actor.agent()?.clone();
        let hook = self.agent(&agent_id).and_then(|agent| agent.hook.clone());
        let reviews = |town: &Self| -> BTreeSet<BeadId> {
            let mrs = hook.as_ref().map(|hook| town.reviews_of(hook));
            mrs.into_iter().flatten().map(|mr| mr.id.clone()).collect()
        };
        let before = reviews(self);
        let done = AgentDone {
            agent_id,
            branch: done.branch,
            session: None,
            bead_id: None,
            pr_url: done.pr_url,
            head_sha: done.head_sha,
            merge_commit: done.merge_commit,
            summary: done.summary,
        };
        let text = self
            .done(&done, actor.now)
            .map_err(|why| CommandError::conflict(".", why))?;
        let mut did = Did::text(text);
        let after = reviews(self);
        did.made = after.difference(&before).map(ToString::to_string).collect();
        Ok(did)
    }

    pub(super) fn report_status(&mut self, report: ReportStatus, actor: &Actor) -> Executed {
        check::status("message", &report.message)?;
        let id = actor.agent()?.clone();
        self.edit_agent(&id, |agent| {
            agent.status_message = Some(report.message);
            agent.status_message_at = Some(actor.now);
        });
        Ok(Did::text("the status is known"))
    }

    pub(super) fn checkpoint(&mut self, checkpoint: Checkpoint, actor: &Actor) -> Executed {
        check::json_size("data", &checkpoint.data, limits::CHECKPOINT_BYTES_MAX)?;
        let id = actor.agent()?.clone();
        self.edit_agent(&id, |agent| {
            agent.checkpoint = Some(checkpoint.data).filter(|data| !data.is_null());
        });
        Ok(Did::text("kept for the next start on the same bead"))
    }

    pub(super) fn nudge_agent(&mut self, nudge: Nudge, actor: &Actor) -> Executed {
        let agent = self
            .agent(&nudge.agent_id)
            .ok_or_else(|| CommandError::missing("agent_id", "agent", &nudge.agent_id))?;
        actor.may_touch("agent_id", agent.rig_id.as_ref())?;
        if agent.status == AgentStatus::Dead {
            return Err(CommandError::conflict("agent_id", "the agent was given up"));
        }
        check::text("message", &nudge.message)?;
        if nudge.expires_at.is_some_and(|at| at <= actor.now) {
            return Err(CommandError::invalid("expires_at", "is over already"));
        }
        let waiting = self
            .nudges()
            .filter(|other| other.agent_id == nudge.agent_id && other.delivered_at.is_none());
        if waiting.count() >= limits::NUDGES_WAITING_MAX {
            return Err(CommandError::new(
                Refusal::Limit,
                "agent_id",
                format!("{} nudges wait for it already", limits::NUDGES_WAITING_MAX),
            ));
        }
        let agent_id = nudge.agent_id.clone();
        let id = self.add_nudge(nudge, actor);
        Ok(Did::made(&id, format!("{agent_id} is nudged")))
    }

    fn add_nudge(&mut self, nudge: Nudge, actor: &Actor) -> NudgeId {
        let id = self.next_nudge_id();
        self.insert_nudge(crate::nudge::Nudge {
            id: id.clone(),
            agent_id: nudge.agent_id,
            tier: NudgeTier::Message,
            message: nudge.message,
            mode: nudge.mode.unwrap_or_default(),
            priority: nudge.priority.unwrap_or_default(),
            created_at: actor.now,
            sent_at: None,
            attempts: 0,
            next_at: None,
            delivered_at: None,
            expires_at: nudge.expires_at,
        });
        id
    }

    /// Pushes a text to an agent as soon as it runs.
    pub(super) fn say_to(
        &mut self,
        agent: &AgentId,
        message: &str,
        priority: NudgePriority,
        actor: &Actor,
    ) -> NudgeId {
        let nudge = Nudge {
            agent_id: agent.clone(),
            message: message.into(),
            mode: Some(NudgeMode::Immediate),
            priority: Some(priority),
            expires_at: None,
        };
        self.add_nudge(nudge, actor)
    }
}
