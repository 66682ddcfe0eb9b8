//! `convoys/progress`: a convoy's counts are those of its edges.

use crate::action::UpdateConvoyProgress;
use crate::bead::Bead;
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "convoys/progress",
    text: "A live convoy whose total is not the number of its issues, or whose closed is not the \
           number of those that are terminal: both are written.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(convoy) = bead.convoy() else {
        return Verdict::NotMine;
    };
    let (total, closed) = pass.town.convoy_counts(&bead.id);
    if (convoy.total, convoy.closed) == (total, closed) {
        return Verdict::NotMine;
    }
    Verdict::act(UpdateConvoyProgress {
        convoy_id: bead.id.clone(),
        total,
        closed,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = r#"
        rig r1
        bead c1 convoy open convoy.total=1 convoy.staged=true
        bead b1 issue open rig_id=r1
        bead b2 issue failed rig_id=r1
        bead b3 issue closed rig_id=r1
        edge b1 tracks c1
        edge b2 tracks c1
        edge b3 tracks c1
    "#;

    #[test]
    fn convoys_progress_is_written_once_also_of_a_staged_convoy() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @"
        convoys/progress: update_convoy_progress closed=2 convoy_id=c1 total=3
        at rest after 2 passes
        ");
    }

    #[test]
    fn convoys_progress_that_is_right_stays() {
        let right = TOWN.replace("convoy.total=1", "convoy.total=3 convoy.closed=2");
        insta::assert_snapshot!(acts(&right, "0s"), @"nothing");
    }
}
