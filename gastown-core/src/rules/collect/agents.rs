//! `agents/collect`: agents that have had nothing to do for long go.

use crate::action::DeleteAgent;
use crate::agent::{Agent, AgentStatus, Role};
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "agents/collect",
    text: "A polecat or refinery, idle or dead, without a hook, quiet for longer than \
           agent_retention: deleted; beads lose it as assignee.",
    on: On::Agent(evaluate),
};

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let is_over = matches!(agent.status, AgentStatus::Idle | AgentStatus::Dead);
    if agent.role == Role::Mayor || !is_over || agent.hook.is_some() {
        return Verdict::NotMine;
    }
    let since = agent.last_activity_at.unwrap_or(agent.created_at);
    match pass.silent(since, pass.policy().agent_retention) {
        Due::Now => Verdict::act(DeleteAgent {
            agent_id: agent.id.clone(),
            reason: Reason::new(ReasonCode::Retired, "it had nothing to do for long"),
        }),
        Due::At(until) => Verdict::wait(Wait::until(until, "is deleted").since(since)),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    const TOWN: &str = "
        rig r1
        agent a1 polecat idle rig_id=r1 last_activity_at=-24h
        bead b1 issue in_review rig_id=r1 assignee=a1
        bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.verify.asked_at=0s
    ";

    #[test]
    fn agents_collect_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: agents/collect
        ");
    }

    #[test]
    fn agents_collect_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
        insta::assert_snapshot!(wakeup(TOWN, "0s"), @"2026-04-04T12:00:00.001Z");
    }

    #[test]
    fn agents_collect_just_over_the_threshold_deletes() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        agents/collect: delete_agent agent_id=a1 reason=retired
        at rest after 2 passes
        ");
    }

    /// Its nudges go with it, and are not removed a second time.
    #[test]
    fn agents_collect_takes_the_nudges_along() {
        let town = std::format!("{TOWN}\nnudge n1 a1 message expires_at=0s");
        insta::assert_snapshot!(settled(&town, "1ms"), @"
        agents/collect: delete_agent agent_id=a1 reason=retired
        at rest after 2 passes
        ");
    }

    #[test]
    fn agents_collect_counts_from_the_creation_where_no_activity_is_known() {
        let town = TOWN.replace("last_activity_at", "created_at");
        assert_eq!(acts(&town, "0s"), "nothing");
        assert!(acts(&town, "1ms").contains("delete_agent"));
    }

    #[test]
    fn agents_collect_the_dead_too_but_no_mayor_and_nobody_with_a_hook() {
        assert!(acts(&TOWN.replace("idle", "dead"), "1ms").contains("delete_agent"));
        for (from, to) in [
            ("polecat", "mayor"),
            ("rig_id=r1 last", "rig_id=r1 hook=b1 last"),
            ("idle", "working reported=false dispatched_at=0s"),
        ] {
            assert!(
                !acts(&TOWN.replace(from, to), "1ms").contains("delete_agent"),
                "{to}"
            );
        }
    }

    /// A drain, a hold or a pause can keep an agent waiting with its hook for longer than that.
    #[test]
    fn agents_collect_nobody_who_waits_with_a_hook() {
        let drained = "
            town drain.nonce=n drain.started_at=0s
            rig r1
            agent a1 polecat idle rig_id=r1 hook=b1 last_activity_at=-25h
            bead b1 issue open rig_id=r1 assignee=a1
        ";
        assert_eq!(acts(drained, "0s"), "nothing");
        let unhooked = drained.replace("hook=b1 ", "").replace(" assignee=a1", "");
        assert!(acts(&unhooked, "0s").contains("agents/collect: delete_agent"));
    }
}
