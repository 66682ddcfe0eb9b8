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
        let agent = self.agent(&agent_id);
        let problem = agent.and_then(|agent| self.done_branch_problem(agent, &done.branch));
        if let Some(problem) = problem {
            return Err(CommandError::invalid("branch", problem));
        }
        let hook = agent.and_then(|agent| agent.hook.clone());
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
        check::json_value("data", &checkpoint.data, limits::CHECKPOINT_BYTES_MAX)?;
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

#[cfg(test)]
mod tests {
    use crate::testing::executes;

    const TOWN: &str = "
        rig r1
        rig r2
        agent a1 polecat working rig_id=r1 hook=b1 session=2 last_bead=b1
        agent a2 polecat idle rig_id=r2
        agent a3 mayor waiting
        agent a4 polecat dead rig_id=r1
        bead b1 issue in_progress rig_id=r1 assignee=a1
    ";

    #[test]
    fn done_does_what_the_event_does_and_names_what_it_made() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "done", "caller": {"kind": "agent", "id": "a1"}, "branch": "gt/a1/b1", "pr_url": "https://github.com/acme/r1/pull/3", "summary": "did it"}
            {"type": "done", "caller": {"kind": "agent", "id": "a1"}, "branch": "gt/a1/b1"}
            {"type": "done", "caller": {"kind": "agent", "id": "a2"}, "branch": "gt/a1/b1"}
            {"type": "done", "caller": {"kind": "agent", "id": "a2"}, "branch": ""}
            {"type": "done", "caller": {"kind": "agent", "id": "a2"}, "branch": "x", "head_sha": "--all"}
            {"type": "done", "caller": {"kind": "mayor"}, "branch": "x"}
        "#), @r#"
        done [t1-m1]: t1-m1 reviews branch gt/a1/b1
          a1.done_session: - → 2
          a1.exited_at: - → "2026-04-04T12:00:00.000Z"
          a1.hook: "b1" → -
          a1.status: "working" → "idle"
          b1.status: "in_progress" → "in_review"
          t1-m1 tracks b1.type: - → "tracks"
          t1-m1.body: - → "did it"
          t1-m1.created_by: - → "a1"
          t1-m1.labels: - → ["gt:merge-request"]
          t1-m1.priority: - → "medium"
          t1-m1.review.branch: - → "gt/a1/b1"
          t1-m1.review.poll.due_now: - → true
          t1-m1.review.pr_url: - → "https://github.com/acme/r1/pull/3"
          t1-m1.review.source: - → "b1"
          t1-m1.review.source_agent: - → "a1"
          t1-m1.review.target_branch: - → "main"
          t1-m1.rig_id: - → "r1"
          t1-m1.root: - → "b1"
          t1-m1.status: - → "open"
          t1-m1.title: - → "Review: b1"
          t1-m1.type: - → "merge_request"
        refused Conflict: .: this session said done before
        refused Conflict: .: the agent holds no bead
        refused Invalid: branch: is empty
        refused Invalid: head_sha: expected the name of a commit
        refused Forbidden: caller: mayor may not done
        "#);
    }

    /// Spec 4.1, I20: a review of what all work goes to would land whatever it holds.
    #[test]
    fn done_names_no_branch_that_all_work_goes_to() {
        let town = TOWN.replace(
            "    bead b1 ",
            "
            bead c1 convoy open convoy.feature_branch=convoy/x/c1/head
            edge b2 tracks c1
            agent a5 polecat working rig_id=r1 hook=b2 session=1 last_bead=b2
            bead b2 issue in_progress rig_id=r1 assignee=a5
            agent a6 polecat working rig_id=r1 hook=b3 session=1 last_bead=b3
            bead b3 issue in_progress rig_id=r1 assignee=a6 labels=[\"gt:rework\"] parent_id=m1
            agent a7 polecat idle rig_id=r1 session=1 last_bead=b4
            bead b4 issue open rig_id=r1
            agent a8 refinery working rig_id=r1 hook=m1 session=1 last_bead=m1
            bead b5 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 assignee=a8 review.source=b5
            edge m1 tracks b5
            bead b1 ",
        );
        let said = |agent: &str, branch: &str| {
            let command = alloc::format!(
                r#"{{"type": "done", "caller": {{"kind": "agent", "id": "{agent}"}}, "branch": "{branch}"}}"#
            );
            let said = executes(&town, &command);
            said.lines().next().unwrap_or_default().into()
        };
        let rows: [alloc::string::String; 9] = [
            said("a1", "main"),
            said("a1", "convoy/x/c1/head"),
            said("a1", "mainly"),
            said("a5", "main"),
            said("a5", "convoy/x/c1/head"),
            said("a5", "convoy/x/c1/gt/a5/b2"),
            // It lost its hook; what it says counts all the same.
            said("a7", "main"),
            // Of a repair and of a review the branch is known.
            said("a6", "main"),
            said("a8", "main"),
        ];
        insta::assert_snapshot!(rows.join("\n"), @r#"
        refused Invalid: branch: "main" is the rig's default branch; expected one that holds this work alone, such as "gt/a1/b1"
        refused Invalid: branch: "convoy/x/c1/head" is the feature branch of a convoy; expected one that holds this work alone, such as "gt/a1/b1"
        done [t1-m1]: t1-m1 reviews branch mainly
        refused Invalid: branch: "main" is the rig's default branch; expected one that holds this work alone, such as "convoy/x/c1/gt/a5/b2"
        refused Invalid: branch: "convoy/x/c1/head" is the feature branch of a convoy; expected one that holds this work alone, such as "convoy/x/c1/gt/a5/b2"
        done [t1-m1]: t1-m1 reviews branch convoy/x/c1/gt/a5/b2
        refused Invalid: branch: "main" is the rig's default branch; expected one that holds this work alone, such as "gt/a7/b4"
        done []: b3 is closed; no review follows
        done []: m1 waits for its rework
        "#);
    }

    #[test]
    fn status_and_checkpoint_are_kept() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "report_status", "caller": {"kind": "agent", "id": "a1"}, "message": "reading"}
            {"type": "checkpoint", "caller": {"kind": "agent", "id": "a1"}, "data": {"step": 2}}
            {"type": "checkpoint", "caller": {"kind": "agent", "id": "a1"}, "data": null}
            {"type": "report_status", "caller": {"kind": "mayor"}, "message": "talking"}
        "#), @r#"
        report_status []: the status is known
          a1.status_message: - → "reading"
          a1.status_message_at: - → "2026-04-04T12:00:00.000Z"
        checkpoint []: kept for the next start on the same bead
          a1.checkpoint.step: - → 2
        checkpoint []: kept for the next start on the same bead
          a1.checkpoint.step: 2 → -
        report_status []: the status is known
          a3.status_message: - → "talking"
          a3.status_message_at: - → "2026-04-04T12:00:00.000Z"
        "#);
        let say = |length: usize| {
            let text = "x".repeat(length);
            executes(
                TOWN,
                &alloc::format!(
                    r#"{{"type": "report_status", "caller": {{"kind": "agent", "id": "a1"}}, "message": "{text}"}}"#
                ),
            )
        };
        assert!(say(280).starts_with("report_status"));
        insta::assert_snapshot!(say(281), @"refused Limit: message: expected 280 characters at most");
    }

    #[test]
    fn nudges_are_made_for_living_agents() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "nudge", "caller": {"kind": "mayor"}, "agent_id": "a1", "message": "Faster!", "mode": "when_idle", "priority": "urgent", "expires_at": "2026-04-04T13:00:00Z"}
            {"type": "nudge", "caller": {"kind": "mayor"}, "agent_id": "a1", "message": "Faster!"}
            {"type": "nudge", "caller": {"kind": "mayor"}, "agent_id": "a1", "message": " "}
            {"type": "nudge", "caller": {"kind": "mayor"}, "agent_id": "a4", "message": "x"}
            {"type": "nudge", "caller": {"kind": "mayor"}, "agent_id": "a9", "message": "x"}
            {"type": "nudge", "caller": {"kind": "mayor"}, "agent_id": "a1", "message": "x", "expires_at": "2026-04-04T12:00:00Z"}
            {"type": "nudge", "caller": {"kind": "user", "id": "ann", "rig_id": "r2"}, "agent_id": "a1", "message": "x"}
        "#), @r#"
        nudge [t1-n1]: a1 is nudged
          t1-n1.agent_id: - → "a1"
          t1-n1.expires_at: - → "2026-04-04T13:00:00.000Z"
          t1-n1.message: - → "Faster!"
          t1-n1.mode: - → "when_idle"
          t1-n1.priority: - → "urgent"
          t1-n1.tier: - → "message"
        nudge [t1-n2]: a1 is nudged
          t1-n2.agent_id: - → "a1"
          t1-n2.message: - → "Faster!"
          t1-n2.mode: - → "immediate"
          t1-n2.priority: - → "normal"
          t1-n2.tier: - → "message"
        refused Invalid: message: is empty
        refused Conflict: agent_id: the agent was given up
        refused NotFound: agent_id: there is no agent "a9"
        refused Invalid: expires_at: is over already
        refused Forbidden: agent_id: belongs to another rig than "r2", the caller's
        "#);
    }

    #[test]
    fn mail_reaches_one_agent_and_is_closed_by_reading() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "send_mail", "caller": {"kind": "agent", "id": "a1"}, "to": "mayor", "subject": "Hello", "body": "All well."}
            {"type": "send_mail", "caller": {"kind": "mayor"}, "to": "a2", "subject": "Hello", "body": "All well?"}
            {"type": "send_mail", "caller": {"kind": "agent", "id": "a1"}, "to": "a2", "subject": "Psst", "body": "x"}
            {"type": "send_mail", "caller": {"kind": "agent", "id": "a1"}, "to": "a4", "subject": "Psst", "body": "x"}
            {"type": "check_mail", "caller": {"kind": "mayor"}}
            {"type": "check_mail", "caller": {"kind": "mayor"}}
        "#), @r#"
        send_mail [t1-s1]: mail to a3
          t1-s1.body: - → "All well."
          t1-s1.created_by: - → "a1"
          t1-s1.message.from: - → "a1"
          t1-s1.message.to: - → "a3"
          t1-s1.priority: - → "medium"
          t1-s1.status: - → "open"
          t1-s1.title: - → "Hello"
          t1-s1.type: - → "message"
        send_mail [t1-s2]: mail to a2
          t1-s2.body: - → "All well?"
          t1-s2.created_by: - → "mayor"
          t1-s2.message.from: - → "mayor"
          t1-s2.message.to: - → "a2"
          t1-s2.priority: - → "medium"
          t1-s2.status: - → "open"
          t1-s2.title: - → "Hello"
          t1-s2.type: - → "message"
        refused Forbidden: to: belongs to another rig than "r1", the caller's
        refused NotFound: to: there is no living agent "a4"
        check_mail []: 1 new messages
          data [{"at":"2026-04-04T12:00:00.000Z","body":"All well.","from":"a1","id":"t1-s1","subject":"Hello"}]
          t1-s1.status: "open" → "closed"
        check_mail []: 0 new messages
          data []
        "#);
    }
}
