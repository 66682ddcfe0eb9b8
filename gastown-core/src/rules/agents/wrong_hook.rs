//! `agents/wrong-hook`: an agent holds what it is not to work on.

use super::{is_worker, live_hook, release};
use crate::agent::{Agent, AgentStatus, Role};
use crate::eligible::refinery_may_go_on;
use crate::pass::Pass;
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "agents/wrong-hook",
    text: "The role or rig does not fit the hooked bead, or an idle refinery holds an MR bead \
           that is open, held, or has a live blocker: unhooked, stopped first if it works.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let Some(bead) = live_hook(pass, agent).filter(|_| is_worker(agent)) else {
        return Verdict::NotMine;
    };
    let why = if !pass.town.fits(agent, bead) {
        "its role or rig does not fit the bead"
    } else if agent.status == AgentStatus::Idle
        && agent.role == Role::Refinery
        && !refinery_may_go_on(pass.town, bead)
    {
        "the review is open, held or blocked, so that it needs no refinery now"
    } else {
        return Verdict::NotMine;
    };
    Verdict::Act(release(agent, &Reason::new(ReasonCode::WrongHook, why)))
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    fn unhooks(town: &str) -> bool {
        acts(town, "0s").contains("agents/wrong-hook: unhook_agent agent_id=a1")
    }

    #[test]
    fn agents_wrong_hook_stops_a_worker_first() {
        let town = "
            rig r1
            rig r2
            agent a1 polecat working rig_id=r2 hook=b1 session=3 last_activity_at=-1s
            bead b1 issue in_progress rig_id=r1 assignee=a1
        ";
        insta::assert_snapshot!(settled(town, "0s"), @"
        agents/wrong-hook: stop_agent agent_id=a1 reason=wrong_hook session=3
        agents/wrong-hook: transition_agent agent_id=a1 from=working reason=wrong_hook to=idle
        agents/wrong-hook: unhook_agent agent_id=a1 bead_id=b1 reason=wrong_hook
        beads/agent-lost: transition_bead bead_id=b1 from=in_progress reason=agent_lost to=open
        beads/agent-lost: clear_assignee bead_id=b1
        dispatch/issue: create_agent agent_id=t1-a1 identity=Amber-polecat-r1@t1 name=Amber rig_id=r1 role=polecat
        dispatch/issue: transition_bead bead_id=b1 from=open reason=dispatched to=in_progress
        dispatch/issue: set_assignee agent_id=t1-a1 bead_id=b1
        dispatch/issue: hook_agent agent_id=t1-a1 bead_id=b1
        dispatch/issue: transition_agent agent_id=t1-a1 from=idle reason=dispatched to=working
        dispatch/issue: dispatch_agent agent_id=t1-a1 attempt=1 bead_id=b1 rig_id=r1 session=1
        at rest after 4 passes
        ");
    }

    #[test]
    fn agents_wrong_hook_by_role_and_rig() {
        for (agent, bead, expected) in [
            (
                "polecat idle rig_id=r1",
                "merge_request in_progress rig_id=r1",
                true,
            ),
            (
                "refinery idle rig_id=r1",
                "issue in_progress rig_id=r1",
                true,
            ),
            ("polecat idle rig_id=r1", "convoy open", true),
            (
                "polecat idle rig_id=r2",
                "issue in_progress rig_id=r1",
                true,
            ),
            (
                "refinery idle rig_id=r2",
                "merge_request in_progress rig_id=r1",
                true,
            ),
            ("polecat idle rig_id=r1", "issue in_progress", true),
            (
                "polecat idle rig_id=r1",
                "issue in_progress rig_id=gone",
                true,
            ),
            (
                "polecat dead rig_id=r2",
                "issue in_progress rig_id=r1",
                true,
            ),
            (
                "refinery idle rig_id=r2",
                "merge_request in_progress",
                false,
            ),
            (
                "refinery idle rig_id=r1",
                "merge_request in_progress rig_id=r1",
                false,
            ),
            (
                "polecat working rig_id=r1",
                "issue in_progress rig_id=r1",
                false,
            ),
            ("mayor working", "issue in_progress rig_id=r1", false),
        ] {
            let town = std::format!(
                "rig r1\nrig r2\nagent a1 {agent} hook=b1 last_activity_at=-1s\nbead b1 {bead}"
            );
            assert_eq!(unhooks(&town), expected, "{agent}, {bead}");
        }
    }

    #[test]
    fn agents_wrong_hook_of_an_idle_refinery_whose_review_must_not_go_on() {
        let town = "
            rig r1
            agent a1 refinery idle rig_id=r1 hook=m1 last_activity_at=-1s
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1
            bead f1 issue in_progress rig_id=r1 updated_at=-1s
        ";
        assert!(!unhooks(town));
        assert!(unhooks(
            &town.replace("request in_progress", "request open")
        ));
        assert!(unhooks(&std::format!("{town}\nedge m1 blocks f1")));
        let held = r#"source=b1 labels=["gt:held"]"#;
        assert!(unhooks(&town.replace("source=b1", held)));
        // One at work goes on.
        let working = town.replace("refinery idle", "refinery working");
        assert!(!unhooks(&working.replace("source=b1", held)));
    }

    /// Live is not terminal: what failed blocks no review.
    #[test]
    fn agents_wrong_hook_leaves_a_review_alone_whose_blocker_has_ended() {
        for status in ["failed", "closed"] {
            let town = std::format!(
                "rig r1
                agent a1 refinery idle rig_id=r1 hook=m1 last_activity_at=-1s
                bead b1 issue in_review rig_id=r1
                bead m1 merge_request in_progress rig_id=r1 review.source=b1
                bead f1 issue {status} rig_id=r1
                edge m1 blocks f1"
            );
            assert!(!unhooks(&town), "{status}");
        }
    }

    /// A rig that is not there counts as none, and without one nobody is dispatched (spec 3.6).
    #[test]
    fn agents_wrong_hook_of_a_refinery_without_a_rig_of_its_own() {
        for (rig, expected) in [("", true), ("rig_id=r9", true), ("rig_id=r1", false)] {
            let town = std::format!(
                "
                rig r1
                agent a1 refinery idle {rig} hook=m1
                bead b1 issue in_review
                bead m1 merge_request in_progress review.source=b1 review.pr_url=https://github.com/else/where/pull/1
                edge m1 tracks b1
            "
            );
            assert_eq!(unhooks(&town), expected, "{rig}");
        }
    }
}
