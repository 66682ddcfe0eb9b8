//! `retry`: a successor of a bead that ended (spec 2.1).

use alloc::boxed::Box;
use alloc::format;
use alloc::vec::Vec;

use serde_json::json;

use super::convoys::cycle_error;
use super::data::Retry;
use super::{Actor, CommandError, Did, Executed};
use crate::agent::AgentStatus;
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::edge::{Edge, EdgeKind};
use crate::ids::{AgentId, BeadId, IdKind};
use crate::reason::{Reason, ReasonCode};
use crate::review::{OFF_UNSEEN, Review};
use crate::town::{Town, is_merged};
use crate::work::Work;

/// Where a successor says whose successor it is.
const RETRY_OF: &str = "retry_of";

impl Town {
    pub(super) fn retry(&mut self, retry: &Retry, actor: &Actor) -> Executed {
        let id = &retry.bead_id;
        let bead = self.bead_for("bead_id", id, actor)?.clone();
        if bead.is_live() {
            return Err(CommandError::conflict(
                "bead_id",
                format!("is {}, expected closed or failed", bead.status.as_str()),
            ));
        }
        let successor = self.live_beads().find(|other| {
            other.metadata.get(RETRY_OF).and_then(|of| of.as_str()) == Some(id.as_str())
        });
        if let Some(successor) = successor {
            return Err(CommandError::conflict(
                "bead_id",
                format!("is retried already, by \"{}\"", successor.id),
            ));
        }
        // Its successor would take its place in the circle.
        if self.waits_for_itself(id) {
            return Err(CommandError::conflict(
                "bead_id",
                "waits for itself; let it depend on something else first",
            ));
        }
        let (kind, letter) = match &bead.kind {
            BeadKind::Issue(work) => {
                self.check_retried_issue(&bead, work)?;
                (BeadKind::Issue(work.clone()), IdKind::Bead)
            }
            BeadKind::MergeRequest(review) => {
                self.check_retried_review(&bead, review)?;
                let source = self.source_of(&bead).unwrap_or(&review.source);
                let again = BeadKind::MergeRequest(Box::new(begun_anew(review, source)));
                (again, IdKind::MergeRequest)
            }
            BeadKind::Convoy(_)
            | BeadKind::Escalation(_)
            | BeadKind::Molecule
            | BeadKind::Message(_) => {
                return Err(CommandError::invalid(
                    "bead_id",
                    "expected an issue or a merge request",
                ));
            }
        };
        self.check_retried_order(&bead)?;
        let new_id = self.next_bead_id(letter);
        let mut new = Bead::new(new_id.clone(), kind, bead.title.clone(), actor.now);
        new.body.clone_from(&bead.body);
        new.rig_id.clone_from(&bead.rig_id);
        new.parent_id = self.parent_of(&bead).cloned();
        new.priority = bead.priority;
        new.labels.clone_from(&bead.labels);
        new.metadata.clone_from(&bead.metadata);
        new.metadata.insert(RETRY_OF.into(), id.as_str().into());
        self.add_bead(new, actor);
        self.take_over_edges(&bead, &new_id, actor);
        self.note(id, actor, "retried", json!({"by_bead": new_id}));
        self.repair_is_retried(&bead);
        if bead.review().is_some() {
            self.source_to_review(&bead, actor);
        }
        Ok(Did::made(&new_id, format!("{new_id} takes over from {id}")))
    }

    fn check_retried_issue(&self, bead: &Bead, work: &Work) -> Result<(), CommandError> {
        match work {
            Work::Plain | Work::PrFixup(_) => Ok(()),
            Work::Rework(_) | Work::PrFeedback(_) | Work::PrConflict(_) => {
                let mr = self.repaired_mr(bead).and_then(|mr| self.bead(mr));
                let Some(mr) = mr.filter(|mr| mr.is_live()) else {
                    return Err(CommandError::conflict(
                        "bead_id",
                        "its merge request has ended; retry that",
                    ));
                };
                let sort = work.label();
                let other = self
                    .repairs_of(&mr.id)
                    .into_iter()
                    .find(|repair| repair.is_live() && repair.work().and_then(Work::label) == sort);
                match other {
                    None => Ok(()),
                    Some(other) => Err(CommandError::conflict(
                        "bead_id",
                        format!("\"{}\" does the same repair already", other.id),
                    )),
                }
            }
            Work::TriageRequest(_) | Work::TriageBatch | Work::MoleculeStep => Err(
                CommandError::invalid("bead_id", "is the engine's own and can't be retried"),
            ),
        }
    }

    fn check_retried_review(&self, mr: &Bead, review: &Review) -> Result<(), CommandError> {
        if is_merged(mr) {
            return Err(CommandError::conflict("bead_id", "was merged"));
        }
        let source = self.source_of(mr).and_then(|id| self.bead(id));
        let Some(source) = source.filter(|source| source.is_live()) else {
            return Err(CommandError::conflict(
                "bead_id",
                "its source has ended; retry that",
            ));
        };
        let works = |status: AgentStatus| status.is_running();
        if source.status == BeadStatus::InProgress
            || self.holders(&source.id).any(|agent| works(agent.status))
        {
            return Err(CommandError::conflict(
                "bead_id",
                format!("an agent works on its source, \"{}\"", source.id),
            ));
        }
        let other = self
            .reviews_of(&source.id)
            .into_iter()
            .find(|other| {
                other.is_live()
                    && other.review().is_some_and(|theirs| {
                        theirs.branch == review.branch && theirs.landing_rig == review.landing_rig
                    })
            })
            .or_else(|| {
                let url = review.pr_url.as_deref()?;
                self.live_reviews_with_pr(url).next()
            });
        match other {
            None => Ok(()),
            Some(other) => Err(CommandError::conflict(
                "bead_id",
                format!("\"{}\" reviews the same branch already", other.id),
            )),
        }
    }

    /// A review that ended no longer stood between its source and what the review waited for; its
    /// successor does again, which must close no cycle (spec 1.7).
    fn check_retried_order(&self, old: &Bead) -> Result<(), CommandError> {
        let Some(source) = self.source_of(old).filter(|_| old.review().is_some()) else {
            return Ok(());
        };
        let mut blockers = self.depends_on(&old.id, EdgeKind::Blocks);
        match blockers.find_map(|blocker| self.cycle_through(source, blocker)) {
            None => Ok(()),
            Some(cycle) => Err(cycle_error("bead_id", &cycle)),
        }
    }

    /// The successor takes over what the bead belonged to, what it waited for, and what waits for
    /// it. Reviews stay with the bead that they were made for, repairs with their review.
    fn take_over_edges(&mut self, old: &Bead, new: &BeadId, actor: &Actor) {
        let repairs: Vec<BeadId> = self
            .repairs_of(&old.id)
            .iter()
            .map(|repair| repair.id.clone())
            .collect();
        for edge in self.edges_at(&old.id) {
            let other = if edge.bead_id == old.id {
                &edge.depends_on
            } else {
                &edge.bead_id
            };
            let ended_convoy = self
                .bead(other)
                .is_some_and(|other| other.convoy().is_some() && !other.is_live());
            let moves = match edge.kind {
                EdgeKind::Blocks => !repairs.contains(other),
                EdgeKind::Tracks => edge.bead_id == old.id && !ended_convoy,
                EdgeKind::ParentChild => false,
            };
            if moves {
                self.remove_edge(&edge);
                let Edge {
                    bead_id,
                    depends_on,
                    kind,
                } = edge;
                if bead_id == old.id {
                    self.insert_edge(new, &depends_on, kind);
                } else {
                    self.insert_edge(&bead_id, new, kind);
                }
            }
        }
        if let Some(parent) = self.bead(new).and_then(|bead| bead.parent_id.clone()) {
            self.insert_edge(new, &parent, EdgeKind::ParentChild);
        }
        let convoy = self.convoy_of(new).map(|convoy| convoy.id.clone());
        if let (Some(convoy), Some(rig), true) = (convoy, &old.rig_id, old.work().is_some()) {
            self.joined(&convoy, new, rig, actor);
            self.recount(&convoy, actor);
        }
    }

    /// A failed repair took auto-merge off its head: a person who wants it once more wants that head repaired
    /// and merged. A merge that was refused too often stays off, and so does what a person took out of the queue.
    fn repair_is_retried(&mut self, repair: &Bead) {
        let Some(work) = repair.work().filter(|work| work.is_of_a_head()) else {
            return;
        };
        let Some(mr) = self.repaired_mr(repair).cloned() else {
            return;
        };
        let limit = self.policy().refusals_max();
        let head = work.head_sha().unwrap_or(OFF_UNSEEN);
        self.edit_bead(&mr, |mr| {
            if !mr.told.contains_key(&ReasonCode::Dequeued)
                && let Some(review) = mr.review_mut()
                && review.auto_merge.off_for_head.as_deref() == Some(head)
                && review.auto_merge.refusals < limit
            {
                review.auto_merge.off_for_head = None;
            }
        });
    }

    /// The source of a retried review is in review again: an open one gives up its hold and its
    /// idle polecat.
    fn source_to_review(&mut self, mr: &Bead, actor: &Actor) {
        let Some(source) = self.source_of(mr).and_then(|id| self.bead(id)) else {
            return;
        };
        // A convoy has no review status of its own.
        if source.work().is_none() {
            return;
        }
        // Only a source that waits for this gives up its hold: another one's is a person's word (spec 2.1).
        let waited = source.status == BeadStatus::Open;
        let id = source.id.clone();
        let holders: Vec<AgentId> = self.holders(&id).map(|agent| agent.id.clone()).collect();
        for holder in holders {
            self.unhook(&holder);
        }
        let reason = Reason::new(ReasonCode::ByCommand, "its review is retried");
        self.set_status(&id, BeadStatus::InReview, &reason, "retry", actor.now);
        if waited {
            self.edit_bead(&id, |bead| bead.held = false);
        }
    }
}

/// A review of the same branch with nothing of the old one's life. Its source is the one that its
/// edge names, which it takes over.
fn begun_anew(review: &Review, source: &BeadId) -> Review {
    Review {
        source_agent: review.source_agent.clone(),
        convoy: review.convoy.clone(),
        landing_rig: review.landing_rig.clone(),
        lands_all: review.is_landing().then_some(true),
        pr_url: review.pr_url.clone(),
        ..Review::new(
            review.branch.clone(),
            review.target_branch.clone(),
            source.clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::executes;

    const TOWN: &str = r#"
        rig r1
        bead c1 convoy open convoy.total=2 convoy.closed=1 convoy.ready_to_land=true
        bead b1 issue failed title="Fix it" body=All rig_id=r1 priority=high labels=["ui"] metadata.k=1 dispatch_attempts=5 told.attempts_exhausted=-1h
        bead b2 issue open rig_id=r1
        bead b3 issue closed rig_id=r1
        edge b1 tracks c1
        edge b2 blocks b1
        edge b1 blocks b3
    "#;

    #[test]
    fn retry_of_an_issue_makes_a_successor_in_its_place() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "b1"}
            {"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "b1"}
            {"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "b2"}
        "#), @r#"
        retry [t1-b1]: t1-b1 takes over from b1
          b1 blocks b3.type: "blocks" → -
          b1 tracks c1.type: "tracks" → -
          b2 blocks b1.type: "blocks" → -
          b2 blocks t1-b1.type: - → "blocks"
          c1.convoy.closed: 1 → 0
          c1.convoy.ready_to_land: true → false
          c1.convoy.total: 2 → 1
          t1-b1 blocks b3.type: - → "blocks"
          t1-b1 tracks c1.type: - → "tracks"
          t1-b1.body: - → "All"
          t1-b1.created_by: - → "mayor"
          t1-b1.labels: - → ["ui"]
          t1-b1.metadata.k: - → 1
          t1-b1.metadata.retry_of: - → "b1"
          t1-b1.priority: - → "high"
          t1-b1.rig_id: - → "r1"
          t1-b1.status: - → "open"
          t1-b1.title: - → "Fix it"
          t1-b1.type: - → "issue"
        refused Conflict: bead_id: is retried already, by "t1-b1"
        refused Conflict: bead_id: is open, expected closed or failed
        "#);
    }

    const REVIEW: &str = r#"
        rig r1
        agent a1 polecat idle rig_id=r1 hook=b1
        bead b1 issue open rig_id=r1 labels=["gt:held"]
        bead m1 merge_request failed rig_id=r1 parent_id=b1 review.source=b1 review.branch=x review.pr_url=https://github.com/acme/r1/pull/1 review.repair_rounds.rework=5
        bead w1 issue failed rig_id=r1 parent_id=m1 labels=["gt:rework"] metadata.mr_bead_id=m1
        edge m1 tracks b1
        edge m1 blocks w1
    "#;

    #[test]
    fn retry_of_a_review_puts_its_source_back_into_review() {
        insta::assert_snapshot!(executes(REVIEW, r#"
            {"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "m1"}
        "#), @r#"
        retry [t1-m1]: t1-m1 takes over from m1
          a1.hook: "b1" → -
          b1.labels: ["gt:held"] → []
          b1.status: "open" → "in_review"
          m1 tracks b1.type: "tracks" → -
          t1-m1 parent-child b1.type: - → "parent-child"
          t1-m1 tracks b1.type: - → "tracks"
          t1-m1.created_by: - → "mayor"
          t1-m1.labels: - → ["gt:merge-request"]
          t1-m1.metadata.retry_of: - → "m1"
          t1-m1.parent_id: - → "b1"
          t1-m1.priority: - → "medium"
          t1-m1.review.branch: - → "x"
          t1-m1.review.pr_url: - → "https://github.com/acme/r1/pull/1"
          t1-m1.review.source: - → "b1"
          t1-m1.review.target_branch: - → "main"
          t1-m1.rig_id: - → "r1"
          t1-m1.status: - → "open"
          t1-m1.title: - → "m1"
          t1-m1.type: - → "merge_request"
        "#);
    }

    /// A person wants that head repaired once more: then it may be merged, too.
    #[test]
    fn retry_of_a_repair_puts_auto_merge_on_again_for_its_head() {
        let town = r#"
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.branch=x review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h1 review.auto_merge.off_for_head=h1
            bead f1 issue failed rig_id=r1 parent_id=m1 labels=["gt:pr-feedback"] metadata.pr_feedback_for=m1 metadata.head_sha=h1
            edge m1 tracks b1
            edge m1 blocks f1
        "#;
        let retry = |town: &str| {
            executes(
                town,
                r#"{"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "f1"}"#,
            )
        };
        let on = r#"m1.review.auto_merge.off_for_head: "h1" → -"#;
        let told = retry(town);
        assert!(told.contains(on), "{told}");
        for kept in [
            town.replace("off_for_head=h1", "off_for_head=h2"),
            town.replace(
                "off_for_head=h1",
                "off_for_head=h1 review.auto_merge.refusals=5",
            ),
            town.replace("off_for_head=h1", "off_for_head=h1 told.dequeued=-1h"),
        ] {
            let told = retry(&kept);
            assert!(
                told.contains("takes over") && !told.contains("off_for_head"),
                "{told}"
            );
        }
    }

    #[test]
    fn retry_is_refused_where_the_work_goes_on_or_is_done() {
        let refusal = |town: &str| {
            executes(
                town,
                r#"{"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "m1"}"#,
            )
        };
        insta::assert_snapshot!(refusal(&REVIEW.replace("polecat idle", "polecat working")), @r#"refused Conflict: bead_id: an agent works on its source, "b1""#);
        insta::assert_snapshot!(refusal(&REVIEW.replace("request failed", "request closed")), @"refused Conflict: bead_id: was merged");
        insta::assert_snapshot!(refusal(&REVIEW.replace("b1 issue open", "b1 issue failed")), @"refused Conflict: bead_id: its source has ended; retry that");
        let other = alloc::format!(
            "{REVIEW}\nbead m2 merge_request open rig_id=r1 review.source=b1 review.branch=x\nedge m2 tracks b1"
        );
        insta::assert_snapshot!(refusal(&other), @r#"refused Conflict: bead_id: "m2" reviews the same branch already"#);
        let same_pr = alloc::format!(
            "{REVIEW}\nbead m2 merge_request open rig_id=r1 review.source=b9 review.branch=y review.pr_url=https://github.com/acme/r1/pull/1"
        );
        insta::assert_snapshot!(refusal(&same_pr), @r#"refused Conflict: bead_id: "m2" reviews the same branch already"#);
        insta::assert_snapshot!(executes(REVIEW, r#"{"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "w1"}"#), @"refused Conflict: bead_id: its merge request has ended; retry that");
    }

    /// I8: the successor is a review of the source that the edge names, whatever the field said.
    #[test]
    fn retry_of_a_review_keeps_the_source_of_its_edge() {
        let town = "
            rig r1
            bead b1 issue open rig_id=r1
            bead b2 issue open rig_id=r1
            bead m1 merge_request failed rig_id=r1 review.source=b2 review.branch=x
            edge m1 tracks b1
        ";
        let told = executes(
            town,
            r#"{"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "m1"}"#,
        );
        assert!(told.contains(r#"t1-m1.review.source: - → "b1""#), "{told}");
    }

    #[test]
    fn retry_of_a_bead_that_waits_for_itself_is_refused() {
        let town = "
            rig r1
            bead b1 issue failed rig_id=r1
            bead b2 issue open rig_id=r1
            edge b1 blocks b2
            edge b2 blocks b1
        ";
        let retry = r#"{"type": "retry", "caller": {"kind": "mayor"}, "bead_id": "b1"}"#;
        let told = executes(town, retry);
        assert!(told.contains("waits for itself"), "{told}");
        let mended = town.replace("edge b2 blocks b1", "");
        assert!(!executes(&mended, retry).contains("refused"));
    }

    /// A hold that a person set on work in review stays (spec 2.1).
    #[test]
    fn retry_of_a_review_clears_only_the_hold_of_a_source_that_is_open() {
        let of = |status: &str| {
            let town = alloc::format!(
                "rig r1
                bead b1 issue {status} rig_id=r1 labels=[\"gt:held\"]
                bead m1 merge_request failed rig_id=r1 review.source=b1 review.branch=x
                edge m1 tracks b1"
            );
            executes(
                &town,
                r#"{"type": "retry", "caller": {"kind": "user", "id": "ann"}, "bead_id": "m1"}"#,
            )
        };
        assert!(of("open").contains("b1.labels"), "{}", of("open"));
        assert!(
            !of("in_review").contains("b1.labels"),
            "{}",
            of("in_review")
        );
    }
}
