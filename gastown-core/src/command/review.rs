//! `request_changes`: a refinery asks for rework (spec 2.1).

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde_json::json;

use super::check::{self, limits};
use super::data::RequestChanges;
use super::{Actor, CommandError, Did, Executed, Refusal};
use crate::bead::{Bead, BeadKind};
use crate::edge::EdgeKind;
use crate::ids::{BeadId, IdKind};
use crate::review::{AgentSession, Review};
use crate::town::Town;
use crate::work::{Rework, Work};

impl Town {
    pub(super) fn request_changes(&mut self, ask: RequestChanges, actor: &Actor) -> Executed {
        check::text("feedback", &ask.feedback)?;
        check::count("files", ask.files.len(), limits::FILES_MAX)?;
        for (at, file) in ask.files.iter().enumerate() {
            check::size(
                &format!("files[{at}]"),
                file.len(),
                limits::PATH_CHARACTERS_MAX,
            )?;
        }
        let agent_id = actor.agent()?.clone();
        let agent = self
            .agent(&agent_id)
            .ok_or_else(|| CommandError::missing("caller.id", "agent", &agent_id))?;
        let session = AgentSession::of(agent);
        let hooked = agent.hook.as_ref().and_then(|hook| self.bead(hook));
        let Some((mr, review)) = hooked.and_then(|mr| Some((mr, mr.review()?))) else {
            return Err(CommandError::forbidden(
                "changes are requested by a refinery on its hooked merge request",
            ));
        };
        if !mr.is_live() {
            return Err(CommandError::conflict(
                ".",
                format!("merge request {} is {}", mr.id, mr.status.as_str()),
            ));
        }
        let mr_id = mr.id.clone();
        let live = self
            .repairs_of(&mr_id)
            .into_iter()
            .find(|bead| bead.is_live() && matches!(bead.work(), Some(Work::Rework(_))))
            .map(|bead| bead.id.clone());
        let did = match live {
            Some(rework) => self.add_to_rework(&rework, ask, actor)?,
            None => {
                let limit = self.policy().repair_rounds;
                if review.repair_rounds.rework >= limit {
                    return Err(CommandError::new(
                        Refusal::Limit,
                        ".",
                        format!(
                            "changes were requested {limit} times already; escalate (gt_escalate) \
                             and say what stands in the way, then give it back (gt_done with the \
                             branch alone)"
                        ),
                    ));
                }
                self.add_rework(&mr_id, ask, actor)?
            }
        };
        self.edit_bead(&mr_id, |bead| {
            if let Some(review) = bead.review_mut() {
                review.changes_requested_in = Some(session);
                // Whatever was passed before, it is not to be merged as it is.
                review.reviewed = None;
                review.auto_merge.pending = false;
                review.auto_merge.ready_since = None;
            }
        });
        Ok(did)
    }

    fn add_to_rework(&mut self, rework: &BeadId, ask: RequestChanges, actor: &Actor) -> Executed {
        self.append_to_body(rework, "feedback", &ask.feedback, actor)?;
        self.edit_bead(rework, |bead| {
            if let Some(Work::Rework(work)) = bead.work_mut() {
                for file in ask.files {
                    if !work.files.contains(&file) && work.files.len() < limits::FILES_MAX {
                        work.files.push(file);
                    }
                }
            }
        });
        Ok(Did::text(format!("added to rework issue {rework}")))
    }

    /// Adds a paragraph to a bead's body.
    pub(super) fn append_to_body(
        &mut self,
        id: &BeadId,
        field: &str,
        text: &str,
        actor: &Actor,
    ) -> Result<(), CommandError> {
        let before = self.bead(id).and_then(|bead| bead.body.as_deref());
        let length = before.map_or(0, str::len).saturating_add(text.len());
        check::size(field, length, limits::BODY_BYTES_MAX)?;
        self.edit_bead(id, |bead| {
            let body = bead.body.get_or_insert_with(String::new);
            if !body.is_empty() {
                body.push_str("\n\n");
            }
            body.push_str(text);
            bead.updated_at = actor.now;
        });
        self.note(id, actor, "body", json!({"added": text.len()}));
        Ok(())
    }

    fn add_rework(&mut self, mr_id: &BeadId, ask: RequestChanges, actor: &Actor) -> Executed {
        let Some((mr, review)) = self.bead(mr_id).and_then(|mr| Some((mr, mr.review()?))) else {
            return Err(CommandError::missing(".", "merge request", mr_id));
        };
        let mut files: Vec<String> = Vec::new();
        for file in ask.files {
            if !files.contains(&file) {
                files.push(file);
            }
        }
        let source_id = self.source_of(mr).cloned();
        let source = source_id.as_ref().and_then(|id| self.bead(id));
        let title = format!("Rework: {}", source.unwrap_or(mr).title);
        let priority = source.unwrap_or(mr).priority;
        let rig = self.repair_rig(mr, actor);
        let work = Work::Rework(Rework {
            rework_for: source_id,
            mr_bead_id: Some(mr_id.clone()),
            branch: Some(review.branch.clone()),
            target_branch: Some(review.target_branch.clone()),
            files,
        });
        let root = mr.lineage().clone();
        let id = self.next_bead_id(IdKind::Bead);
        let mut bead = Bead::new(id.clone(), BeadKind::Issue(work), title, actor.now);
        bead.body = Some(ask.feedback);
        bead.priority = priority;
        bead.rig_id = rig;
        bead.parent_id = Some(mr_id.clone());
        bead.root = Some(root);
        self.add_bead(bead, actor);
        self.insert_edge(&id, mr_id, EdgeKind::ParentChild);
        self.insert_edge(mr_id, &id, EdgeKind::Blocks);
        self.edit_bead(mr_id, |bead| {
            if let Some(Review { repair_rounds, .. }) = bead.review_mut() {
                repair_rounds.rework = repair_rounds.rework.saturating_add(1);
            }
        });
        Ok(Did::made(&id, format!("made rework issue {id}")))
    }

    /// The rig of a repair: the review's, else inferred, else that of the refinery that asked
    /// (spec 4.4).
    fn repair_rig(&self, mr: &Bead, actor: &Actor) -> Option<crate::ids::RigId> {
        self.rig_of_review(mr)
            .map(|rig| rig.id.clone())
            .or_else(|| actor.rig.clone())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::executes;

    const TOWN: &str = r#"
        town policy.repair_rounds=2
        rig r1
        agent a1 refinery working rig_id=r1 hook=m1 session=4
        agent a2 polecat working rig_id=r1 hook=b2 session=1
        bead b1 issue in_review title="Fix it" rig_id=r1 priority=high
        bead b2 issue in_progress rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 root=b1 review.source=b1 review.branch=gt/x/b1 review.reviewed.at=-1h
        edge m1 tracks b1
    "#;

    #[test]
    fn request_changes_makes_a_rework_bead_that_blocks_the_review_and_adds_to_it() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "request_changes", "caller": {"kind": "agent", "id": "a1"}, "feedback": "Handle the empty input.", "files": ["a.rs", "a.rs"]}
            {"type": "request_changes", "caller": {"kind": "agent", "id": "a1"}, "feedback": "And say so.", "files": ["b.rs"]}
        "#), @r#"
        request_changes [t1-b1]: made rework issue t1-b1
          m1 blocks t1-b1.type: - → "blocks"
          m1.review.changes_requested_in.agent_id: - → "a1"
          m1.review.changes_requested_in.session: - → 4
          m1.review.repair_rounds.rework: 0 → 1
          m1.review.reviewed.at: "2026-04-04T11:00:00.000Z" → -
          t1-b1 parent-child m1.type: - → "parent-child"
          t1-b1.body: - → "Handle the empty input."
          t1-b1.created_by: - → "a1"
          t1-b1.labels: - → ["gt:rework"]
          t1-b1.metadata.branch: - → "gt/x/b1"
          t1-b1.metadata.files: - → ["a.rs"]
          t1-b1.metadata.mr_bead_id: - → "m1"
          t1-b1.metadata.rework_for: - → "b1"
          t1-b1.metadata.target_branch: - → "main"
          t1-b1.parent_id: - → "m1"
          t1-b1.priority: - → "high"
          t1-b1.rig_id: - → "r1"
          t1-b1.root: - → "b1"
          t1-b1.status: - → "open"
          t1-b1.title: - → "Rework: Fix it"
          t1-b1.type: - → "issue"
        request_changes []: added to rework issue t1-b1
          t1-b1.body: "Handle the empty input." → "Handle the empty input.\n\nAnd say so."
          t1-b1.metadata.files: ["a.rs"] → ["a.rs","b.rs"]
        "#);
    }

    #[test]
    fn request_changes_over_the_rounds_is_told_to_escalate() {
        let at = |rounds: u32| {
            let town = TOWN.replace(
                "review.branch",
                &alloc::format!("review.repair_rounds.rework={rounds} review.branch"),
            );
            executes(
                &town,
                r#"{"type": "request_changes", "caller": {"kind": "agent", "id": "a1"}, "feedback": "x"}"#,
            )
        };
        assert!(at(1).starts_with("request_changes [t1-b1]"), "{}", at(1));
        insta::assert_snapshot!(at(2), @"refused Limit: .: changes were requested 2 times already; escalate (gt_escalate) and say what stands in the way, then give it back (gt_done with the branch alone)");
    }

    #[test]
    fn request_changes_is_a_refinery_s_on_its_own_review() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "request_changes", "caller": {"kind": "agent", "id": "a2"}, "feedback": "x"}
            {"type": "request_changes", "caller": {"kind": "agent", "id": "a1"}, "feedback": ""}
        "#), @"
        refused Forbidden: caller: a2 may not request_changes
        refused Invalid: feedback: is empty
        ");
        let unhooked = TOWN.replace("hook=m1", "hook=b1");
        insta::assert_snapshot!(executes(&unhooked, r#"
            {"type": "request_changes", "caller": {"kind": "agent", "id": "a1"}, "feedback": "x"}
        "#), @"refused Forbidden: caller: changes are requested by a refinery on its hooked merge request");
    }
}
