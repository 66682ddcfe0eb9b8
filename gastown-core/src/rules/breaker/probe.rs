//! `breaker/probe`: one dispatch goes through an open breaker, to see.

use crate::action::{ActionKind, ProbeBreaker};
use crate::breaker::BreakerState;
use crate::eligible::{probe_due, probe_wait};
use crate::ids::RigId;
use crate::pass::{Due, Pass};
use crate::rules::dispatch::candidates;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "breaker/probe",
    text: "Open for probe_interval (doubled per failed probe, at most six hours), fewer than \
           probe_limit probes made or a person asked for one, not draining, and something is \
           eligible: half open, and exactly one dispatch, of the rig that was probed longest ago.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let breaker = &pass.town.state().breaker;
    if breaker.state != BreakerState::Open || pass.town.is_draining() {
        return Verdict::NotMine;
    }
    if probe_due(pass) != Some(Due::Now) {
        return Verdict::wait(probe_wait(pass));
    }
    // The rig that was probed longest ago; never counts as longest. First bead first.
    let last_probe = |rig: Option<&RigId>| rig.and_then(|rig| breaker.probed_rigs.get(rig));
    let chosen = candidates(pass)
        .into_iter()
        .min_by_key(|(_, actions)| last_probe(actions.iter().find_map(dispatched_rig)).copied());
    let Some((bead, dispatch)) = chosen else {
        return Verdict::NotMine;
    };
    let mut actions = alloc::vec![
        ProbeBreaker {
            bead_id: bead.id.clone()
        }
        .into()
    ];
    actions.extend(dispatch);
    Verdict::Act(actions)
}

fn dispatched_rig(action: &ActionKind) -> Option<&RigId> {
    if let ActionKind::DispatchAgent(dispatch) = action {
        Some(&dispatch.rig_id)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, around_count, wakeup};

    const TOWN: &str = "
        town breaker.state=open breaker.opened_at=-10m
        rig r1
        rig r2
        bead b1 issue open rig_id=r1 priority=high
        bead b2 issue open rig_id=r2
    ";

    #[test]
    fn breaker_probe_at_the_interval_waits() {
        assert_eq!(acts(TOWN, "0s"), "nothing");
        assert_eq!(wakeup(TOWN, "0s"), "2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn breaker_probe_just_over_the_interval_dispatches_exactly_one() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"
        breaker/probe: probe_breaker bead_id=b1
        breaker/probe: create_agent agent_id=t1-a1 identity=Amber-polecat-r1@t1 name=Amber rig_id=r1 role=polecat
        breaker/probe: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        breaker/probe: set_assignee agent_id=t1-a1 bead_id=b1
        breaker/probe: hook_agent agent_id=t1-a1 bead_id=b1
        breaker/probe: transition_agent agent_id=t1-a1 from=idle reason=dispatched to=working
        breaker/probe: dispatch_agent agent_id=t1-a1 attempt=1 bead_id=b1 rig_id=r1 session=1
        ");
    }

    #[test]
    fn breaker_probe_takes_the_rig_that_was_probed_longest_ago() {
        let town = TOWN.replace("=-10m", "=-10m breaker.probed_rigs.r1=-1h");
        assert!(acts(&town, "1ms").contains("probe_breaker bead_id=b2"));
    }

    #[test]
    fn breaker_probe_ends_at_its_limit_until_a_person_asks() {
        let town = TOWN.replace("=-10m", "=-9h breaker.probes=8");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert_eq!(wakeup(&town, "0s"), "never");
        let asked = TOWN.replace("=-10m", "=-1s breaker.probes=8 breaker.probe_asked=true");
        assert!(acts(&asked, "0s").contains("probe_breaker"));
    }

    #[test]
    fn breaker_probe_waits_for_something_eligible() {
        assert_eq!(
            acts(
                "town breaker.state=open breaker.opened_at=-1h\nrig r1",
                "0s"
            ),
            "nothing"
        );
        let held = "town breaker.state=open breaker.opened_at=-1h\nrig r1\nbead b1 issue open rig_id=r1 labels=[\"gt:held\"]";
        assert_eq!(acts(held, "0s"), "nothing");
    }

    /// Reviews, then repairs, then other issues; each by priority and age.
    #[test]
    fn breaker_probe_takes_the_first_bead_of_its_rig() {
        let town = r#"
            town breaker.state=open breaker.opened_at=-1h
            rig r1
            agent a1 polecat idle rig_id=r1 hook=b2 last_activity_at=-1h
            bead b1 issue open rig_id=r1 priority=critical
            bead b2 issue open rig_id=r1 assignee=a1
            bead b3 issue in_review rig_id=r1 status_changed_at=0s
            bead m3 merge_request in_progress rig_id=r1 review.source=b3 updated_at=0s review.pr_url=https://github.com/acme/r1/pull/1 review.poll.last_at=0s review.poll.changed_at=0s review.reviewed.at=0s review.reviewed.head_sha=h1
            bead w3 issue open rig_id=r1 priority=low parent_id=m3 labels=["gt:pr-feedback"]
            edge m3 tracks b3
            edge m3 blocks w3
        "#;
        assert!(acts(town, "0s").contains("probe_breaker bead_id=w3"));
        let without = town.replace(
            "issue open rig_id=r1 priority=low",
            "issue closed rig_id=r1",
        );
        assert!(acts(&without, "0s").contains("probe_breaker bead_id=b1"));
    }

    #[test]
    fn breaker_probe_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: breaker/probe
        ");
    }

    /// A review without a rig is probed in the rig of the refinery that takes it, so that the next
    /// probe is another rig's.
    #[test]
    fn breaker_probe_remembers_the_rig_of_the_agent() {
        let mut town = crate::testing::town(
            "town breaker.state=open breaker.opened_at=-1h breaker.probed_rigs.r1=-2h
            rig r1
            rig r2
            agent a1 refinery idle rig_id=r2 last_activity_at=-1m
            bead b1 issue in_review
            bead m1 merge_request open review.source=b1
            edge m1 tracks b1
            bead b2 issue open rig_id=r1",
        );
        let settled = crate::reconcile::settle(&mut town, crate::testing::at("0s"));
        let probed = &town.state().breaker.probed_rigs;
        let probed: std::vec::Vec<_> = probed
            .iter()
            .map(|(rig, at)| std::format!("{rig} {at}"))
            .collect();
        insta::assert_snapshot!(crate::testing::lines(&settled.actions), @"
        breaker/probe: probe_breaker bead_id=m1
        breaker/probe: transition_bead bead_id=m1 from=open reason=dispatched to=in_progress
        breaker/probe: set_assignee agent_id=a1 bead_id=m1
        breaker/probe: hook_agent agent_id=a1 bead_id=m1
        breaker/probe: transition_agent agent_id=a1 from=idle reason=dispatched to=working
        breaker/probe: dispatch_agent agent_id=a1 attempt=1 bead_id=m1 rig_id=r2 session=1
        ");
        assert_eq!(
            probed,
            ["r1 2026-04-04T10:00:00.000Z", "r2 2026-04-04T12:00:00.000Z"]
        );
    }

    #[test]
    fn breaker_probe_around_its_limit() {
        let town = TOWN.replace("=-10m", "=-9h breaker.probes=8");
        insta::assert_snapshot!(around_count(&town, "probes=8", "0s"), @"
        7: breaker/probe to=in_progress to=working
        8: nothing, again never
        9: nothing, again never
        ");
    }

    /// Ten minutes, doubling, six hours at most.
    #[test]
    fn breaker_probe_around_each_interval() {
        for (probes, minutes) in [(0, 10), (1, 20), (2, 40), (5, 320), (6, 360), (7, 360)] {
            let opened = std::format!("=-{minutes}m breaker.probes={probes}");
            let around = around(&TOWN.replace("=-10m", &opened), "0s");
            assert!(around.contains("\nat: nothing"), "{probes}: {around}");
            assert!(
                around.ends_with("just over: breaker/probe"),
                "{probes}: {around}"
            );
        }
    }
}
