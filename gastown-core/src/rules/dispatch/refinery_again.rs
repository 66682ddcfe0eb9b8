//! `dispatch/refinery-again`: an idle refinery goes on with the MR bead that it holds.

use alloc::vec::Vec;

use super::{backoff_wait, go, unless_held_back};
use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::{Bead, BeadStatus};
use crate::eligible::refinery_may_go_on;
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "dispatch/refinery-again",
    text: "An idle refinery hooked to an MR bead in progress, not held back, without a live blocker: \
           budget spent, its source waits; else, once the backoff is over and its `done` can no \
           longer be under way, it is dispatched again.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let Some(mr) = resumable(pass, agent) else {
        return Verdict::NotMine;
    };
    // A spent budget ends the review even while nothing is dispatched.
    if pass.attempts_spent(mr) || pass.town.lineage_spent(mr) {
        return give_up(pass, agent, mr);
    }
    unless_held_back(pass, || judge(pass, agent))
}

fn resumable<'a>(pass: &Pass<'a>, agent: &Agent) -> Option<&'a Bead> {
    if agent.role != Role::Refinery || agent.status != AgentStatus::Idle {
        return None;
    }
    let mr = pass.town.bead(agent.hook.as_ref()?)?;
    let review = mr.review()?;
    let may_go_on =
        review.verify.is_none() && refinery_may_go_on(pass.town, mr) && pass.town.fits(agent, mr);
    may_go_on.then_some(mr)
}

fn give_up(pass: &Pass<'_>, agent: &Agent, mr: &Bead) -> Verdict {
    let (code, message) = super::review::spent(pass, mr);
    let mut actions: Vec<_> = pass.source_waits(mr, code, message);
    actions.extend(Pass::unhook(agent, &Reason::new(code, message)));
    Verdict::Act(actions)
}

/// As the rule, whatever drain and breaker say.
pub(super) fn judge(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let (Some(mr), Some(rig)) = (resumable(pass, agent), &agent.rig_id) else {
        return Verdict::NotMine;
    };
    if let Due::At(until) = pass.backoff(mr) {
        return backoff_wait(mr, until);
    }
    let pause = pass.policy().heartbeat_timeout;
    // An exit is a fact and no silence: gaps in observing it (spec 1.8) don't begin it anew, or a
    // host that restarts often would never go on.
    let (left, due) = match (agent.exited_at, agent.last_activity_at) {
        (Some(exited_at), _) => (exited_at, pass.stale(exited_at, pause)),
        (None, Some(heard_at)) => (heard_at, pass.silent(heard_at, pause)),
        (None, None) => (agent.created_at, pass.stale(agent.created_at, pause)),
    };
    if let Due::At(until) = due {
        return Verdict::wait(
            Wait::until(
                until,
                "the refinery has just ended; its `done` may be under way",
            )
            .since(left),
        );
    }
    Verdict::Act(go(mr, agent.id.clone(), rig.clone(), agent.session))
}

impl Pass<'_> {
    /// *Source waits*: the MR bead fails, and its in_review source gets status open, held, so
    /// that finished work is not redone before a person looks; a person is told once (spec 3).
    pub(crate) fn source_waits(
        &self,
        mr: &Bead,
        code: ReasonCode,
        message: &str,
    ) -> Vec<crate::action::ActionKind> {
        use crate::action::{ClearAssignee, SetLabel, TransitionBead};
        let mut actions = Vec::new();
        if let Some(source) = self.town.source_in_review(mr) {
            actions.push(
                TransitionBead {
                    bead_id: source.id.clone(),
                    from: BeadStatus::InReview,
                    to: BeadStatus::Open,
                    reason: Reason::new(ReasonCode::SourceWaits, message),
                }
                .into(),
            );
            if source.assignee.is_some() {
                actions.push(
                    ClearAssignee {
                        bead_id: source.id.clone(),
                    }
                    .into(),
                );
            }
            actions.push(
                SetLabel {
                    bead_id: source.id.clone(),
                    label: crate::work::label::HELD.into(),
                }
                .into(),
            );
        }
        actions.push(
            TransitionBead {
                bead_id: mr.id.clone(),
                from: mr.status,
                to: BeadStatus::Failed,
                reason: Reason::new(code, message),
            }
            .into(),
        );
        actions.extend(self.tell_once(mr, code, message));
        actions
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, around_count};

    const TOWN: &str = "
        rig r1
        agent a1 refinery idle rig_id=r1 hook=m1 session=2 exited_at=-90s last_activity_at=-2m
        bead b1 issue in_review rig_id=r1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 dispatch_attempts=1 last_dispatch_attempt_at=-5m updated_at=-1m
        edge m1 tracks b1
    ";

    #[test]
    fn dispatch_refinery_again_lets_a_done_arrive() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn dispatch_refinery_again_goes_on() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"
        dispatch/refinery-again: transition_agent agent_id=a1 from=idle reason=dispatched to=working
        dispatch/refinery-again: dispatch_agent agent_id=a1 attempt=2 bead_id=m1 rig_id=r1 session=3
        ");
    }

    #[test]
    fn dispatch_refinery_again_gives_up_when_the_budget_is_spent() {
        let spent = TOWN.replace("dispatch_attempts=1", "dispatch_attempts=5");
        insta::assert_snapshot!(acts(&spent, "0s"), @r#"
        dispatch/refinery-again: transition_bead bead_id=b1 from=in_review reason=source_waits to=open
        dispatch/refinery-again: set_label bead_id=b1 label=gt:held
        dispatch/refinery-again: transition_bead bead_id=m1 from=in_progress reason=attempts_exhausted to=failed
        dispatch/refinery-again: create_bead bead={"escalation":{"bead_id":"m1","category":"attempts_exhausted","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"attempts exhausted: m1","type":"escalation"} bead_id=t1-e1
        dispatch/refinery-again: tell bead_id=m1 category=attempts_exhausted escalation_id=t1-e1
        dispatch/refinery-again: unhook_agent agent_id=a1 bead_id=m1 reason=attempts_exhausted
        "#);
    }

    #[test]
    fn dispatch_refinery_again_waits_for_a_rework() {
        let blocked = std::format!(
            "{TOWN}\nbead w1 issue open rig_id=r1 parent_id=m1 labels=[\"gt:rework\"] last_dispatch_attempt_at=0s\nedge m1 blocks w1"
        );
        // It gives the bead back meanwhile and is free for other reviews.
        insta::assert_snapshot!(acts(&blocked, "1ms"), @"agents/wrong-hook: unhook_agent agent_id=a1 bead_id=m1 reason=wrong_hook");
    }

    /// A host that restarts more often than heartbeat_timeout must not hold it back for ever.
    #[test]
    fn dispatch_refinery_again_counts_an_exit_across_observation_gaps() {
        let gap = std::format!("town judge_from=-1s\n{TOWN}");
        assert_eq!(acts(&gap, "0s"), "nothing");
        assert_eq!(acts(&gap, "1ms"), acts(TOWN, "1ms"));
    }

    /// Without a known exit its silence counts, which a gap begins anew.
    #[test]
    fn dispatch_refinery_again_counts_from_the_last_heartbeat_where_no_exit_is_known() {
        let heard = TOWN.replace(
            "exited_at=-90s last_activity_at=-2m",
            "last_activity_at=-90s",
        );
        assert_eq!(acts(&heard, "0s"), "nothing");
        assert!(acts(&heard, "1ms").contains("dispatch/refinery-again"));
        let gap = std::format!("town judge_from=-1s\n{heard}");
        assert_eq!(acts(&gap, "1ms"), "nothing");
        assert_eq!(acts(&gap, "89s"), "nothing");
        assert!(acts(&gap, "89001ms").contains("dispatch/refinery-again"));
    }

    #[test]
    fn dispatch_refinery_again_waits_for_the_backoff() {
        let paused = TOWN
            .replace("exited_at=-90s", "exited_at=-1h")
            .replace("attempt_at=-5m", "attempt_at=-30s");
        assert_eq!(acts(&paused, "0s"), "nothing");
        assert!(acts(&paused, "1ms").contains("dispatch/refinery-again"));
    }

    /// What failed blocks no review; the rules of failed repairs decide what follows.
    #[test]
    fn dispatch_refinery_again_goes_on_after_a_blocker_that_has_ended() {
        for status in ["failed", "closed"] {
            let ended = std::format!("{TOWN}\nbead f1 issue {status} rig_id=r1\nedge m1 blocks f1");
            assert_eq!(acts(&ended, "1ms"), acts(TOWN, "1ms"), "{status}");
        }
    }

    #[test]
    fn dispatch_refinery_again_leaves_others_alone() {
        for (from, to) in [
            ("refinery idle", "refinery working"),
            ("request in_progress", "request open"),
            ("source=b1", r#"source=b1 labels=["gt:held"]"#),
            (
                "source=b1",
                r#"source=b1 review.verify={"number":1,"asked_at":"2026-04-04T12:00:00Z","tries":1}"#,
            ),
            ("rig r1", "town drain.nonce=n drain.started_at=-1s\nrig r1"),
            (
                "rig r1",
                "town breaker.state=open breaker.opened_at=-1s\nrig r1",
            ),
        ] {
            let acts = acts(&TOWN.replace(from, to), "1ms");
            assert!(!acts.contains("refinery-again"), "{to}: {acts}");
        }
    }

    #[test]
    fn dispatch_refinery_again_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: dispatch/refinery-again
        ");
    }

    #[test]
    fn dispatch_refinery_again_around_the_cap() {
        let town = TOWN.replace("dispatch_attempts=1", "dispatch_attempts=5");
        insta::assert_snapshot!(around_count(&town, "dispatch_attempts=5", "1ms"), @"
        4: dispatch/refinery-again to=working
        5: dispatch/refinery-again to=open to=failed category=attempts_exhausted
        6: dispatch/refinery-again to=open to=failed category=attempts_exhausted
        ");
    }

    #[test]
    fn dispatch_refinery_again_around_the_backoff() {
        let paused = TOWN
            .replace("exited_at=-90s", "exited_at=-1h")
            .replace("attempt_at=-5m", "attempt_at=-30s");
        insta::assert_snapshot!(around(&paused, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: dispatch/refinery-again
        ");
    }
}
