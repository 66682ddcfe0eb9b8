//! `review/source-gone`: a review whose source is gone fails.

use alloc::format;
use alloc::string::String;

use crate::action::MarkAutoMerge;
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "review/source-gone",
    text: "A live MR bead whose source is failed, closed, missing, or neither issue nor convoy: \
           it fails, its refinery is stopped and unhooked, auto-merge is withdrawn. Nobody is \
           told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some(review) = mr.review() else {
        return Verdict::NotMine;
    };
    let Some(why) = gone(pass, mr) else {
        return Verdict::NotMine;
    };
    let code = ReasonCode::SourceGone;
    let mut actions = pass.release_for_good(mr, &Reason::new(code, why.as_str()));
    let auto = &review.auto_merge;
    if auto.pending || auto.ready_since.is_some() {
        actions.push(
            MarkAutoMerge {
                bead_id: mr.id.clone(),
                pending: false,
                ready_since: None,
                head_sha: None,
                off_for_head: None,
                attempt_given_up: false,
            }
            .into(),
        );
    }
    actions.push(Pass::transition(mr, BeadStatus::Failed, code, &why));
    Verdict::Act(actions)
}

/// Why the source of a review is gone, if it is.
fn gone(pass: &Pass<'_>, mr: &Bead) -> Option<String> {
    let id = pass.town.source_of(mr)?;
    let Some(source) = pass.town.bead(id) else {
        return Some(format!("its source {id} is not there"));
    };
    match source.kind {
        BeadKind::Issue(_) | BeadKind::Convoy(_) => {}
        BeadKind::MergeRequest(_)
        | BeadKind::Escalation(_)
        | BeadKind::Molecule
        | BeadKind::Message(_) => {
            return Some(format!("its source {id} is neither an issue nor a convoy"));
        }
    }
    (!source.is_live()).then(|| format!("its source {id} is {}", source.status.as_str()))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    fn with(source: &str) -> std::string::String {
        std::format!(
            "
            rig r1
            agent a1 refinery working rig_id=r1 hook=m1 session=3 dispatched_at=0s last_activity_at=0s
            bead m1 merge_request in_progress rig_id=r1 review.source=b1
            edge m1 tracks b1
            {source}"
        )
    }

    #[test]
    fn review_source_gone_of_a_failed_source() {
        insta::assert_snapshot!(acts(&with("bead b1 issue failed rig_id=r1"), "0s"), @"
        review/source-gone: stop_agent agent_id=a1 reason=source_gone session=3
        review/source-gone: transition_agent agent_id=a1 from=working reason=source_gone to=idle
        review/source-gone: unhook_agent agent_id=a1 bead_id=m1 reason=source_gone
        review/source-gone: transition_bead bead_id=m1 from=in_progress reason=source_gone to=failed
        ");
    }

    #[test]
    fn review_source_gone_of_a_closed_missing_or_foreign_source() {
        for source in [
            "bead b1 issue closed rig_id=r1",
            "",
            "bead b1 escalation open",
            "bead b1 convoy failed",
        ] {
            let decided = acts(&with(source), "0s");
            assert!(
                decided.contains("reason=source_gone to=failed"),
                "{source}: {decided}"
            );
        }
    }

    #[test]
    fn review_source_gone_not_of_a_live_source() {
        for source in [
            "bead b1 issue open",
            "bead b1 issue in_review",
            "bead b1 convoy open",
        ] {
            let decided = acts(&with(source), "0s");
            assert!(!decided.contains("source_gone"), "{source}: {decided}");
        }
    }

    #[test]
    fn review_source_gone_the_edge_decides() {
        let town =
            with("bead b1 issue in_review").replace("review.source=b1", "review.source=gone");
        assert!(!acts(&town, "0s").contains("source_gone"));
    }

    #[test]
    fn review_source_gone_withdraws_auto_merge_and_rests() {
        let town = with("bead b1 issue closed").replace(
            "review.source=b1",
            "review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.auto_merge.pending=true",
        );
        insta::assert_snapshot!(settled(&town, "0s"), @"
        review/source-gone: stop_agent agent_id=a1 reason=source_gone session=3
        review/source-gone: transition_agent agent_id=a1 from=working reason=source_gone to=idle
        review/source-gone: unhook_agent agent_id=a1 bead_id=m1 reason=source_gone
        review/source-gone: mark_auto_merge bead_id=m1 head_sha=null pending=false ready_since=null
        review/source-gone: transition_bead bead_id=m1 from=in_progress reason=source_gone to=failed
        at rest after 2 passes
        ");
    }
}
