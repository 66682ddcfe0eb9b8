//! `beads/unknown-assignee`: the assignee does not exist.

use super::clear_assignee;
use crate::bead::Bead;
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "beads/unknown-assignee",
    text: "A live bead whose assignee does not exist: the assignee is cleared.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let is_unknown = bead
        .assignee
        .as_ref()
        .is_some_and(|id| pass.town.agent(id).is_none());
    match clear_assignee(bead) {
        Some(clear) if is_unknown => Verdict::act(clear),
        Some(_) | None => Verdict::NotMine,
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    #[test]
    fn beads_unknown_assignee_is_cleared() {
        let town = "
            rig r1
            bead b1 issue in_progress rig_id=r1 assignee=gone updated_at=-1s
            bead e1 escalation open assignee=gone escalation.notified_at=-1s created_at=-1s
            bead b2 issue closed rig_id=r1 assignee=gone
        ";
        insta::assert_snapshot!(settled(town, "0s"), @"
        beads/unknown-assignee: clear_assignee bead_id=b1
        beads/unknown-assignee: clear_assignee bead_id=e1
        at rest after 2 passes
        ");
    }

    #[test]
    fn beads_unknown_assignee_leaves_a_known_one_alone() {
        let town = "
            rig r1
            agent a1 polecat working rig_id=r1 hook=b1 last_activity_at=-1s
            bead b1 issue in_progress rig_id=r1 assignee=a1
        ";
        insta::assert_snapshot!(acts(town, "0s"), @"nothing");
    }
}
