//! `breaker/trip`: too many starts failed, or the probe came to nothing.

use alloc::format;

use crate::action::{CreateBead, TripBreaker};
use crate::breaker::{Breaker, BreakerState};
use crate::escalation::Severity;
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "breaker/trip",
    text: "breaker_threshold failed starts within breaker_window, or breaker_in_a_row without a \
           start between: open, and one escalation. A probe whose session or bead is gone: open \
           again from now.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let breaker = &pass.town.state().breaker;
    match breaker.state {
        BreakerState::Open => Verdict::NotMine,
        BreakerState::HalfOpen => half_open(pass, breaker),
        BreakerState::Closed => closed(pass, breaker),
    }
}

fn closed(pass: &Pass<'_>, breaker: &Breaker) -> Verdict {
    let policy = pass.policy();
    let threshold = policy.breaker_threshold.max(1);
    let in_a_row = breaker.in_a_row >= policy.breaker_in_a_row.max(1);
    // Ages are looked at only where the count could suffice.
    let enough = breaker.failures.len() >= threshold as usize;
    let recent = breaker
        .failures
        .iter()
        .filter(|failure| enough && !pass.stale(failure.at, policy.breaker_window).is_now())
        .count();
    if !in_a_row && recent < threshold as usize {
        return Verdict::NotMine;
    }
    let failures = u32::try_from(recent)
        .unwrap_or(u32::MAX)
        .max(breaker.in_a_row);
    let escalation = pass.escalation(
        Severity::High,
        ReasonCode::BreakerOpen.as_str(),
        "agents can't be started".into(),
        format!(
            "{failures} starts failed; nothing is dispatched but one probe after a while. Look at \
             the agents' host and at its credentials."
        ),
        None,
    );
    Verdict::Act(alloc::vec![
        TripBreaker { failures }.into(),
        CreateBead {
            bead_id: escalation.id.clone(),
            bead: escalation.into()
        }
        .into(),
    ])
}

/// The probe's session has to report; a rejected or silent one opens the breaker by its event.
fn half_open(pass: &Pass<'_>, breaker: &Breaker) -> Verdict {
    if breaker.probe_started {
        return Verdict::NotMine;
    }
    let Some(probe) = &breaker.probe else {
        return Verdict::act(TripBreaker {
            failures: breaker.in_a_row,
        });
    };
    let bead_is_live = pass
        .town
        .bead(&probe.bead_id)
        .is_some_and(|bead| bead.is_live());
    let runs = probe
        .agent_id
        .as_ref()
        .and_then(|id| pass.town.agent(id))
        .is_some_and(|agent| Some(agent.session) == probe.session && agent.status.is_running());
    if bead_is_live && runs {
        let mut wait = Wait::on(WaitFor::Agent, "the breaker waits for its probe to report");
        wait.id = probe.agent_id.as_ref().map(|id| id.as_str().into());
        return Verdict::wait(wait.since(probe.at));
    }
    Verdict::act(TripBreaker {
        failures: breaker.in_a_row,
    })
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, around_count};
    use std::format;
    use std::string::String;

    fn failures(count: usize, age: &str) -> String {
        let at = crate::testing::at(age);
        let one = format!("{{\"bead_id\":\"b1\",\"at\":\"{at}\"}}");
        format!(
            "town breaker.failures=[{}]",
            std::vec![one; count].join(",")
        )
    }

    #[test]
    fn breaker_trip_just_under_and_at_the_threshold() {
        assert_eq!(acts(&failures(19, "-1m"), "0s"), "nothing");
        insta::assert_snapshot!(acts(&failures(20, "-1m"), "0s"), @r#"
        breaker/trip: trip_breaker failures=20
        breaker/trip: create_bead bead={"escalation":{"category":"breaker_open","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"agents can't be started","type":"escalation"} bead_id=t1-e1
        "#);
    }

    #[test]
    fn breaker_trip_forgets_failures_older_than_the_window() {
        assert_ne!(acts(&failures(20, "-30m"), "0s"), "nothing");
        assert_eq!(acts(&failures(20, "-30m"), "1ms"), "nothing");
    }

    #[test]
    fn breaker_trip_in_a_row() {
        assert_eq!(acts("town breaker.in_a_row=4", "0s"), "nothing");
        assert!(acts("town breaker.in_a_row=5", "0s").contains("trip_breaker failures=5"));
    }

    #[test]
    fn breaker_trip_opens_again_when_the_probe_is_gone() {
        let town = "town breaker.state=half_open breaker.probes=2 breaker.probe.bead_id=b1 breaker.probe.at=-1m breaker.probe.agent_id=a1 breaker.probe.session=3";
        insta::assert_snapshot!(acts(town, "0s"), @"breaker/trip: trip_breaker failures=0");
        let runs = format!(
            "{town}\nrig r1\nbead b1 issue in_progress rig_id=r1 assignee=a1\nagent a1 polecat working rig_id=r1 hook=b1 session=3 reported=false dispatched_at=-1m last_activity_at=-1m"
        );
        assert_eq!(acts(&runs, "0s"), "nothing");
        for (from, to) in [
            (
                "working rig_id=r1 hook=b1 session=3",
                "working rig_id=r1 hook=b1 session=4",
            ),
            ("working rig_id=r1 hook=b1", "idle rig_id=r1"),
            ("in_progress rig_id=r1 assignee=a1", "closed rig_id=r1"),
        ] {
            let acts = crate::testing::settled(&runs.replace(from, to), "0s");
            assert!(acts.contains("trip_breaker"), "{to}: {acts}");
        }
    }

    #[test]
    fn breaker_trip_around_each_count() {
        let trips = |count: usize| acts(&failures(count, "-1m"), "0s").contains("trip_breaker");
        assert_eq!([19, 20, 21].map(trips), [false, true, true]);
        insta::assert_snapshot!(around_count("town breaker.in_a_row=5", "in_a_row=5", "0s"), @"
        4: nothing, again never
        5: breaker/trip
        6: breaker/trip
        ");
    }

    #[test]
    fn breaker_trip_around_the_window() {
        insta::assert_snapshot!(around(&failures(20, "-30m"), "0s"), @"
        just under: breaker/trip
        at: breaker/trip
        just over: nothing, again never
        ");
    }
}
