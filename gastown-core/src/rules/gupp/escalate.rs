//! `gupp/escalate`: an agent shows no activity for long.

use alloc::vec;

use super::{at_work, inactive, is_judged, may_nudge, nudge, stuck_agent};
use crate::agent::Agent;
use crate::nudge::NudgeTier;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "gupp/escalate",
    text: "A working agent without activity for longer than gupp_escalate, no `escalate` nudge \
           within nudge_repeat: a nudge and a triage request `stuck_agent`.",
    on: On::Agent(evaluate),
};

const MESSAGE: &str = "You have shown no activity for long, and the triage agent is being asked. \
                       If you are done, say so with gt_done; if you are stuck, use gt_escalate.";

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let policy = pass.policy();
    if !is_judged(pass, agent) || inactive(pass, agent, policy.gupp_stop).is_now() {
        return Verdict::NotMine;
    }
    let due = match inactive(pass, agent, policy.gupp_escalate) {
        Due::Now => may_nudge(pass, agent, NudgeTier::Escalate),
        later @ Due::At(_) => later,
    };
    if let Due::At(until) = due {
        return at_work(agent, until, "is asked about unless it shows activity");
    }
    let mut actions = vec![nudge(pass, agent, NudgeTier::Escalate, MESSAGE)];
    actions.extend(stuck_agent(pass, agent));
    Verdict::Act(actions)
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=3 last_activity_at=0s dispatched_at=-3h last_event_at=-1h
        bead b1 issue in_progress rig_id=r1 assignee=a1
        nudge n1 a1 warn created_at=-45m sent_at=-45m delivered_at=-45m
    ";

    #[test]
    fn gupp_escalate_around_its_thresholds() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: gupp/escalate
        ");
        let nudged = TOWN.replace("last_event_at=-1h", "last_event_at=-90m")
            + "\nnudge n2 a1 escalate created_at=-60m sent_at=-60m";
        insta::assert_snapshot!(around(&nudged, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: gupp/escalate, nudges/expire
        ");
    }

    #[test]
    fn gupp_escalate_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn gupp_escalate_just_over_the_threshold_nudges_and_asks_once() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @r#"
        gupp/escalate: send_nudge agent_id=a1 message=You have shown no activity for long, and the triage agent is being asked. If you are done, say so with gt_done; if you are stuck, use gt_escalate. nudge_id=t1-n1 tier=escalate
        gupp/escalate: create_bead bead={"labels":["gt:triage-request"],"metadata":{"agent_id":"a1","hooked_bead_id":"b1","options":["RESTART","RESTART_WITH_BACKOFF","CLOSE_BEAD","REASSIGN_BEAD","NUDGE","ESCALATE_TO_MAYOR","PROVIDE_GUIDANCE","DISCARD"],"session":3,"triage_type":"stuck_agent"},"priority":"medium","rig_id":"r1","status":"open","title":"stuck agent: a1","type":"issue"} bead_id=t1-b2
        triage/batch: create_bead bead={"labels":["gt:triage"],"priority":"high","rig_id":"r1","status":"open","title":"Triage: 1 open requests","type":"issue"} bead_id=t1-b3
        dispatch/issue: create_agent agent_id=t1-a4 identity=Amber-polecat-r1@t1 name=Amber rig_id=r1 role=polecat
        dispatch/issue: transition_bead bead_id=t1-b3 from=open reason=dispatched to=in_progress
        dispatch/issue: set_assignee agent_id=t1-a4 bead_id=t1-b3
        dispatch/issue: hook_agent agent_id=t1-a4 bead_id=t1-b3
        dispatch/issue: transition_agent agent_id=t1-a4 from=idle reason=dispatched to=working
        dispatch/issue: dispatch_agent agent_id=t1-a4 attempt=1 bead_id=t1-b3 rig_id=r1 session=1
        at rest after 4 passes
        "#);
    }

    #[test]
    fn gupp_escalate_repeats_the_nudge_and_keeps_the_request() {
        let town = std::format!(
            "town policy.gupp_stop=P1D\n{}
             nudge n2 a1 escalate created_at=-2h sent_at=-60m delivered_at=-2h
             bead q1 issue open labels=[\"gt:triage-request\"] metadata.triage_type=stuck_agent metadata.agent_id=a1 metadata.session=3 metadata.hooked_bead_id=b1",
            TOWN.replace("last_event_at=-1h", "last_event_at=-2h")
        );
        assert!(!acts(&town, "0s").contains("gupp/"));
        let over = acts(&town, "1ms");
        assert!(over.contains("gupp/escalate: send_nudge"), "{over}");
        assert!(
            !over.contains("create_bead bead={\"labels\":[\"gt:triage-request\"]"),
            "{over}"
        );
    }

    #[test]
    fn gupp_escalate_leaves_others_alone() {
        for (from, to) in [
            ("rig r1", "town drain.nonce=n drain.started_at=0s\nrig r1"),
            ("working", "stalled stalled_at=0s"),
            ("polecat", "mayor"),
            ("last_event_at=-1h", "last_event_at=-1m"),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "1ms").contains("gupp/"), "{to}");
        }
    }
}
