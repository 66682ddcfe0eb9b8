//! `convoys/empty`: a convoy without issues is a person's to fill or to close.

use super::Issues;
use crate::bead::Bead;
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "convoys/empty",
    text: "A started convoy without issues for stuck_review: a person is told.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of_started(pass.town, bead) else {
        return Verdict::NotMine;
    };
    if !issues.all.is_empty() {
        return Verdict::NotMine;
    }
    let since = issues.convoy.changed_at.unwrap_or(bead.updated_at);
    let wait = |text: &str| Wait::on(WaitFor::Person, text).since(since);
    if bead.told.contains_key(&ReasonCode::ConvoyEmpty) {
        return Verdict::wait(wait("has no issues; a person was told"));
    }
    match pass.stale(since, pass.policy().stuck_review) {
        // Nobody was told yet, so it is no person's turn.
        Due::At(until) => Verdict::wait(Wait::until(until, "has no issues yet").since(since)),
        Due::Now => Verdict::Act(pass.tell_once(
            bead,
            ReasonCode::ConvoyEmpty,
            "the convoy has no issues; add some, or close it",
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    const TOWN: &str = "
        rig r1
        bead c1 convoy open convoy.changed_at=-30m
    ";

    #[test]
    fn convoys_empty_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn convoys_empty_just_over_the_threshold_tells_once() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @r#"
        convoys/empty: create_bead bead={"escalation":{"bead_id":"c1","category":"convoy_empty","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"convoy empty: c1","type":"escalation"} bead_id=t1-e1
        convoys/empty: tell bead_id=c1 category=convoy_empty escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] convoy empty: c1

        the convoy has no issues; add some, or close it topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn convoys_empty_says_nothing_of_a_staged_convoy_or_one_with_issues() {
        insta::assert_snapshot!(acts(&TOWN.replace("convoy.changed_at", "convoy.staged=true convoy.changed_at"), "1h"), @"nothing");
        let filled = alloc::format!(
            "{}\nbead b1 issue open rig_id=r1 labels=[\"gt:held\"]\nedge b1 tracks c1",
            TOWN.replace("convoy.changed_at", "convoy.total=1 convoy.changed_at")
        );
        insta::assert_snapshot!(acts(&filled, "1h"), @"nothing");
    }

    #[test]
    fn convoys_empty_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: convoys/empty
        ");
    }
}
