//! `triage/escalate`: what triage could not judge is a person's; a batch with nothing left ends.

use alloc::format;

use super::{is_moot, is_spent, last_ended, live_batch, request_of};
use crate::action::{ActionKind, TransitionBead};
use crate::bead::{Bead, BeadStatus};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::town::Town;
use crate::verdict::{Verdict, Wait, WaitFor};
use crate::work::TriageRequest;

pub(super) const RULE: Rule = Rule {
    id: "triage/escalate",
    text: "A request that triage_carries ended batches carried, no batch live, whose line of work has \
           no dispatch left, or that no rig could carry: it is closed, with one escalation. A live batch without open requests is closed.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    if Town::is_patrol_batch(bead) {
        return judge_batch(pass, bead);
    }
    let Some(request) = request_of(bead).filter(|request| !is_moot(pass.town, request)) else {
        return Verdict::NotMine;
    };
    if let Some(batch) = live_batch(pass.town) {
        return Verdict::wait(
            Wait::on(WaitFor::Bead, "a triage batch is under way").id(batch.id.as_str()),
        );
    }
    if let Some(why) = is_spent(pass, bead, request) {
        return give_up(pass, bead, request, &why);
    }
    // Nobody would ever carry it, and nobody else was told (P7).
    if pass.town.rigs().next().is_none() {
        return give_up(pass, bead, request, "there is no rig to triage in");
    }
    match last_ended(pass.town).map_or(Due::Now, |at| pass.stale(at, pass.policy().triage_pause)) {
        // `triage/batch` makes one.
        Due::Now => Verdict::NotMine,
        Due::At(until) => Verdict::wait(Wait::until(until, "waits for the next triage batch")),
    }
}

fn give_up(pass: &Pass<'_>, bead: &Bead, request: &TriageRequest, why: &str) -> Verdict {
    let about = match &request.hooked_bead_id {
        Some(about) => format!(" about {about}"),
        None => alloc::string::String::new(),
    };
    let message = format!(
        "the {} request{about}: {why}: {}",
        request.triage_type.as_str(),
        bead.body.as_deref().unwrap_or(&bead.title),
    );
    let close: ActionKind = TransitionBead {
        bead_id: bead.id.clone(),
        from: bead.status,
        to: BeadStatus::Closed,
        reason: Reason::new(ReasonCode::TriageExhausted, why),
    }
    .into();
    let mut actions = alloc::vec![close];
    actions.extend(pass.tell_once(bead, ReasonCode::TriageExhausted, message));
    Verdict::Act(actions)
}

fn judge_batch(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let open = pass
        .town
        .live_beads()
        .any(|bead| request_of(bead).is_some());
    if open {
        return Verdict::NotMine;
    }
    Verdict::act(TransitionBead {
        bead_id: bead.id.clone(),
        from: bead.status,
        to: BeadStatus::Closed,
        reason: Reason::new(ReasonCode::TriageDone, "nothing is left to judge"),
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around_count, settled};

    const TOWN: &str = r#"
        town triage_ended_at=-1m
        rig r1
        bead b1 issue open rig_id=r1 labels=["gt:held"]
        bead q1 issue open rig_id=r1 labels=["gt:triage-request"] metadata.triage_type=stuck_agent metadata.hooked_bead_id=b1 metadata.carries=2
    "#;

    #[test]
    fn triage_escalate_at_the_limit_closes_with_one_escalation() {
        insta::assert_snapshot!(settled(TOWN, "0s"), @r#"
        triage/escalate: transition_bead bead_id=q1 from=open reason=triage_exhausted to=closed
        triage/escalate: create_bead bead={"escalation":{"bead_id":"q1","category":"triage_exhausted","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"triage exhausted: q1","type":"escalation"} bead_id=t1-e1
        triage/escalate: tell bead_id=q1 category=triage_exhausted escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] triage exhausted: q1

        the stuck_agent request about b1: 2 batches carried it and did not resolve it: q1 topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    #[test]
    fn triage_escalate_under_the_limit_waits_for_the_next_batch() {
        insta::assert_snapshot!(acts(&TOWN.replace("carries=2", "carries=1"), "0s"), @"nothing");
    }

    #[test]
    fn triage_escalate_waits_for_the_batch_that_carries_it_now() {
        let live = alloc::format!(
            "{TOWN}\nbead t1 issue open rig_id=r1 created_by=patrol labels=[\"gt:held\",\"gt:triage\"]"
        );
        insta::assert_snapshot!(acts(&live, "0s"), @"nothing");
    }

    #[test]
    fn triage_escalate_closes_a_batch_without_requests() {
        let idle = r#"
            rig r1
            bead t1 issue open rig_id=r1 created_by=patrol labels=["gt:held","gt:triage"]
        "#;
        insta::assert_snapshot!(settled(idle, "0s"), @"
        triage/escalate: transition_bead bead_id=t1 from=open reason=triage_done to=closed
        at rest after 2 passes
        ");
        let theirs = idle.replace("patrol", "ann");
        insta::assert_snapshot!(acts(&theirs, "0s"), @"nothing");
    }

    #[test]
    fn triage_escalate_without_a_rig_asks_a_person_at_once() {
        let town = r#"
            bead q1 issue open labels=["gt:triage-request"] metadata.triage_type=crash_loop
        "#;
        let settled = settled(town, "0s");
        assert!(
            settled
                .contains("transition_bead bead_id=q1 from=open reason=triage_exhausted to=closed"),
            "{settled}"
        );
        assert!(
            settled.contains("tell bead_id=q1 category=triage_exhausted"),
            "{settled}"
        );
        let with_rig = std::format!("rig r1\n{town}");
        assert!(!acts(&with_rig, "0s").contains("triage/escalate"));
    }

    #[test]
    fn triage_escalate_around_the_limit() {
        insta::assert_snapshot!(around_count(TOWN, "carries=2", "0s"), @"
        1: nothing, again at 2026-04-04T12:09:00.001Z
        2: triage/escalate to=closed category=triage_exhausted
        3: triage/escalate to=closed category=triage_exhausted
        ");
    }

    #[test]
    fn triage_escalate_of_a_line_that_is_spent_tells_a_person() {
        let spent = TOWN
            .replace("carries=2", "carries=0 root=b1")
            .replace("town ", r#"town lineages={"b1":{"used":25,"granted":0}} "#);
        let told = settled(&spent, "0s");
        assert!(told.contains("triage/escalate: create_bead"), "{told}");
        assert!(
            told.contains("about b1: its line of work has no dispatch left"),
            "{told}"
        );
        let left = spent.replace("used\":25", "used\":24");
        assert_eq!(acts(&left, "0s"), "nothing");
    }
}
