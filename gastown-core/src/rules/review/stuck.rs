//! `review/stuck`: a direct merge whose agent does nothing is offered again.

use alloc::vec::Vec;

use super::direct_in_hand;
use crate::agent::AgentStatus;
use crate::bead::{Bead, BeadStatus};
use crate::eligible::blocker_waits;
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "review/stuck",
    text: "An MR bead in progress without a pull request, no live blocker, its hooked agent \
           idle, untouched for stuck_review: unhooked, it opens again. One under verification is \
           left alone.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let holders: Vec<_> = pass.town.holders(&mr.id).collect();
    let all_idle = holders
        .iter()
        .all(|agent| agent.status == AgentStatus::Idle);
    if direct_in_hand(mr).is_none() || holders.is_empty() || !all_idle {
        return Verdict::NotMine;
    }
    let waits = blocker_waits(pass.town, mr);
    if !waits.is_empty() {
        return Verdict::Wait(waits);
    }
    match pass.stale(mr.updated_at, pass.policy().stuck_review) {
        Due::Now => {
            let (code, why) = (ReasonCode::Stuck, "the agent that holds it is idle");
            let mut actions = pass.release_holders(mr, &Reason::new(code, why));
            actions.push(Pass::transition(mr, BeadStatus::Open, code, why));
            Verdict::Act(actions)
        }
        Due::At(until) => Verdict::wait(
            Wait::until(until, "its agent is idle; it is offered to another then")
                .since(mr.updated_at),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    /// The agent's backoff is not over, so that it is not simply dispatched again.
    const TOWN: &str = "
        rig r1
        agent a1 refinery idle rig_id=r1 hook=m1 exited_at=-5m session=1
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 updated_at=-30m dispatch_attempts=4 last_dispatch_attempt_at=-5m
        edge m1 tracks b1
    ";

    #[test]
    fn review_stuck_at_the_threshold_waits() {
        assert_eq!(acts(TOWN, "0s"), "nothing");
    }

    #[test]
    fn review_stuck_just_over_the_threshold_opens_it() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"
        review/stuck: unhook_agent agent_id=a1 bead_id=m1 reason=stuck
        review/stuck: transition_bead bead_id=m1 from=in_progress reason=stuck to=open
        ");
    }

    #[test]
    fn review_stuck_is_dispatched_again_and_rests() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        review/stuck: unhook_agent agent_id=a1 bead_id=m1 reason=stuck
        review/stuck: transition_bead bead_id=m1 from=in_progress reason=stuck to=open
        dispatch/review: transition_bead bead_id=m1 from=open reason=dispatched to=in_progress
        dispatch/review: set_assignee agent_id=a1 bead_id=m1
        dispatch/review: hook_agent agent_id=a1 bead_id=m1
        dispatch/review: transition_agent agent_id=a1 from=idle reason=dispatched to=working
        dispatch/review: dispatch_agent agent_id=a1 attempt=5 bead_id=m1 rig_id=r1 session=2
        at rest after 3 passes
        ");
    }

    #[test]
    fn review_stuck_not_while_its_agent_works() {
        let town = TOWN.replace(
            "refinery idle",
            "refinery working dispatched_at=0s last_activity_at=0s",
        );
        assert_eq!(acts(&town, "1ms"), "nothing");
    }

    #[test]
    fn review_stuck_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: review/stuck
        ");
    }
}
