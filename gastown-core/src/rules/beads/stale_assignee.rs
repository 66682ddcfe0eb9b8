//! `beads/stale-assignee`: an open issue is assigned to an agent that is not hooked to it.

use super::clear_assignee;
use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;
use crate::work::Work;

pub(super) const RULE: Rule = Rule {
    id: "beads/stale-assignee",
    text: "An open issue, no triage request, whose assignee is not hooked to it: the assignee is \
           cleared.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let is_request = matches!(bead.work(), Some(Work::TriageRequest(_)));
    if bead.work().is_none() || is_request || bead.status != BeadStatus::Open {
        return Verdict::NotMine;
    }
    let Some(assignee) = &bead.assignee else {
        return Verdict::NotMine;
    };
    if pass
        .town
        .holders(&bead.id)
        .any(|agent| agent.id == *assignee)
    {
        return Verdict::NotMine;
    }
    clear_assignee(bead).map_or(Verdict::NotMine, Verdict::act)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 last_activity_at=-1s
        bead b1 issue open rig_id=r1 assignee=a1 last_dispatch_attempt_at=0s
    ";

    #[test]
    fn beads_stale_assignee_is_cleared() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        beads/stale-assignee: clear_assignee bead_id=b1
        at rest after 2 passes
        ");
    }

    #[test]
    fn beads_stale_assignee_leaves_others_alone() {
        for (from, to) in [
            ("last_activity_at", "hook=b1 last_activity_at"),
            ("assignee=a1", r#"assignee=a1 labels=["gt:triage-request"]"#),
            ("issue open", "issue in_progress updated_at=0s"),
            (
                "issue open",
                "escalation open escalation.notified_at=0s created_at=0s",
            ),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "0s").contains("stale-assignee"), "{to}");
        }
    }
}
