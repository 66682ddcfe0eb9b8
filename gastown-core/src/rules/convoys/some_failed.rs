//! `convoys/some-failed`: a person decides what becomes of the rest.

use alloc::format;
use alloc::vec::Vec;

use super::Issues;
use crate::bead::{Bead, BeadStatus};
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

/// How many failed issues a notice names.
const NAMED_MAX: usize = 20;

pub(super) const RULE: Rule = Rule {
    id: "convoys/some-failed",
    text: "A started convoy with some issues failed, whose landing was not ordered: a person is \
           told, and retries them, removes them, or orders `land_convoy`.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of_started(pass.town, bead) else {
        return Verdict::NotMine;
    };
    if !holds(&issues) {
        return Verdict::NotMine;
    }
    if let Some(told_at) = bead.told.get(&ReasonCode::SomeFailed) {
        return Verdict::wait(
            Wait::on(
                WaitFor::Person,
                "some of its issues failed; a person was told and decides",
            )
            .since(*told_at),
        );
    }
    let failed: Vec<&str> = issues
        .with_status(BeadStatus::Failed)
        .map(|issue| issue.id.as_str())
        .collect();
    let named: Vec<&str> = failed.iter().copied().take(NAMED_MAX).collect();
    Verdict::Act(pass.tell_once(
        bead,
        ReasonCode::SomeFailed,
        format!(
            "{} of its {} issues failed: {}; retry them, remove them from the convoy, or order \
             land_convoy",
            failed.len(),
            issues.all.len(),
            named.join(", ")
        ),
    ))
}

/// Whether some, but not all, failed, and nobody ordered to land without them.
fn holds(issues: &Issues<'_>) -> bool {
    let failed = issues.with_status(BeadStatus::Failed).count();
    failed > 0 && failed < issues.all.len() && !issues.convoy.landing_ordered
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    const TOWN: &str = "
        rig r1
        bead c1 convoy open convoy.total=2 convoy.closed=2 convoy.feature_branch=convoy/x/c1/head
        bead b1 issue failed rig_id=r1
        bead b2 issue closed rig_id=r1
        edge b1 tracks c1
        edge b2 tracks c1
    ";

    #[test]
    fn convoys_some_failed_tells_once_naming_them() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        convoys/some-failed: create_bead bead={"escalation":{"bead_id":"c1","category":"some_failed","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"some failed: c1","type":"escalation"} bead_id=t1-e1
        convoys/some-failed: tell bead_id=c1 category=some_failed escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] some failed: c1

        1 of its 2 issues failed: b1; retry them, remove them from the convoy, or order land_convoy topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn convoys_some_failed_is_over_once_the_landing_is_ordered() {
        let ordered = TOWN.replace(
            "convoy.total",
            "convoy.landing_ordered=true convoy.ready_to_land=true convoy.total",
        );
        insta::assert_snapshot!(acts(&ordered, "0s"), @"convoys/land: create_landing_mr branch=convoy/x/c1/head convoy_id=c1 mr_id=t1-m1 rig_id=r1 target_branch=main");
    }

    /// Where all failed, the convoy fails, and waits for nobody's decision.
    #[test]
    fn convoys_some_failed_is_not_said_of_all() {
        let told = TOWN.replace("convoy.total", "told.some_failed=-1h convoy.total");
        let decides = |text: &str| {
            let id = crate::ids::BeadId::new("c1").unwrap();
            let waits = crate::explain::waits_for(
                &crate::testing::town(text),
                crate::testing::at("0s"),
                &id,
            );
            waits.iter().any(|wait| wait.rule == "convoys/some-failed")
        };
        assert!(decides(&told));
        assert!(!decides(
            &told.replace("b2 issue closed", "b2 issue failed")
        ));
    }
}
