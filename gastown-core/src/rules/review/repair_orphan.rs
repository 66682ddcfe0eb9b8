//! `review/repair-orphan`: a repair of a review that has ended is pointless.

use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;
use crate::work::Work;

pub(super) const RULE: Rule = Rule {
    id: "review/repair-orphan",
    text: "A live repair bead whose MR bead is terminal or missing: it closes, its agent is \
           stopped and unhooked.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, repair: &Bead) -> Verdict {
    if !repair.work().is_some_and(Work::is_repair) {
        return Verdict::NotMine;
    }
    let mr = pass
        .town
        .repaired_mr(repair)
        .and_then(|id| pass.town.bead(id));
    if mr.is_some_and(|mr| mr.is_live() && mr.review().is_some()) {
        return Verdict::NotMine;
    }
    let (code, why) = (
        ReasonCode::RepairOrphan,
        "the review that it was made for has ended",
    );
    let mut actions = pass.release_for_good(repair, &Reason::new(code, why));
    actions.push(Pass::transition(repair, BeadStatus::Closed, code, why));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = r#"
        rig r1
        agent a1 polecat working rig_id=r1 hook=w1 session=1 dispatched_at=0s last_activity_at=0s checkpoint={"at":1}
        bead w1 issue in_progress rig_id=r1 labels=["gt:rework"] metadata={"mr_bead_id":"m1"} parent_id=m1 assignee=a1
        bead m1 merge_request failed rig_id=r1 review.source=b1
        bead b1 issue closed rig_id=r1
    "#;

    #[test]
    fn review_repair_orphan_of_a_terminal_review() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        review/repair-orphan: stop_agent agent_id=a1 reason=repair_orphan session=1
        review/repair-orphan: transition_agent agent_id=a1 from=working reason=repair_orphan to=idle
        review/repair-orphan: unhook_agent agent_id=a1 bead_id=w1 reason=repair_orphan
        review/repair-orphan: clear_checkpoint agent_id=a1
        review/repair-orphan: transition_bead bead_id=w1 from=in_progress reason=repair_orphan to=closed
        at rest after 2 passes
        ");
    }

    #[test]
    fn review_repair_orphan_of_a_missing_review() {
        let town = r#"
            rig r1
            bead w1 issue open rig_id=r1 labels=["gt:pr-feedback"] metadata={"pr_feedback_for":"m1"}
            bead w2 issue open rig_id=r1 labels=["gt:pr-conflict"]
            bead w3 issue open rig_id=r1 labels=["gt:pr-fixup"] held=true
        "#;
        let town = town.replace(" held=true", "");
        insta::assert_snapshot!(acts(&town, "0s"), @"
        review/repair-orphan: transition_bead bead_id=w1 from=open reason=repair_orphan to=closed
        review/repair-orphan: transition_bead bead_id=w2 from=open reason=repair_orphan to=closed
        ");
    }

    #[test]
    fn review_repair_orphan_not_of_a_live_review() {
        let town = TOWN.replace("merge_request failed", "merge_request in_progress");
        let town = town.replace("issue closed", "issue in_review");
        assert!(!acts(&town, "0s").contains("repair-orphan"));
    }
}
