//! `gupp/warn`: an agent shows no activity for a while.

use super::{at_work, inactive, is_judged, may_nudge, nudge};
use crate::agent::Agent;
use crate::nudge::NudgeTier;
use crate::pass::{Due, Pass};
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "gupp/warn",
    text: "A working agent without activity for longer than gupp_warn, no tool of its active, no \
           `warn` nudge within nudge_repeat: a nudge.",
    on: On::Agent(evaluate),
};

const MESSAGE: &str = "You have shown no activity for a while. Go on with the work on your hook; \
                       if you are done, say so with gt_done.";

fn evaluate(pass: &Pass<'_>, agent: &Agent) -> Verdict {
    let policy = pass.policy();
    let is_mine = is_judged(pass, agent) && agent.active_tools.is_empty();
    if !is_mine || inactive(pass, agent, policy.gupp_escalate).is_now() {
        return Verdict::NotMine;
    }
    let due = match inactive(pass, agent, policy.gupp_warn) {
        Due::Now => may_nudge(pass, agent, NudgeTier::Warn),
        later @ Due::At(_) => later,
    };
    match due {
        Due::Now => Verdict::act(nudge(pass, agent, NudgeTier::Warn, MESSAGE)),
        Due::At(until) => at_work(agent, until, "is nudged unless it shows activity"),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled};

    const TOWN: &str = "
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=3 last_activity_at=0s dispatched_at=-3h last_event_at=-15m
        bead b1 issue in_progress rig_id=r1 assignee=a1
    ";

    #[test]
    fn gupp_warn_around_its_thresholds() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: gupp/warn
        ");
        let nudged = std::format!(
            "town policy.gupp_escalate=P1D\n{TOWN}\nnudge n1 a1 warn created_at=-60m sent_at=-60m delivered_at=-60m"
        )
        .replace("last_event_at=-15m", "last_event_at=-90m");
        insta::assert_snapshot!(around(&nudged, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: gupp/warn, nudges/expire
        ");
    }

    #[test]
    fn gupp_warn_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn gupp_warn_just_over_the_threshold_nudges_once() {
        insta::assert_snapshot!(settled(TOWN, "1ms"), @"
        gupp/warn: send_nudge agent_id=a1 message=You have shown no activity for a while. Go on with the work on your hook; if you are done, say so with gt_done. nudge_id=t1-n1 tier=warn
        at rest after 2 passes
        ");
    }

    #[test]
    fn gupp_warn_says_less_than_an_escalate_nudge_in_the_same_silence() {
        let escalated = |sent: &str| {
            acts(
                &std::format!("{TOWN}\nnudge n1 a1 escalate created_at={sent} sent_at={sent}"),
                "1ms",
            )
        };
        // Sent by a clock that has jumped back since.
        assert_eq!(escalated("30m"), "nothing");
        assert_eq!(escalated("-15m"), "nothing");
        assert!(escalated("-16m").contains("gupp/warn"));
    }

    #[test]
    fn gupp_warn_repeats_only_after_nudge_repeat() {
        let town = std::format!(
            "town policy.gupp_escalate=P1D\n{TOWN}\nnudge n1 a1 warn created_at=-2h sent_at=-60m delivered_at=-60m"
        );
        assert!(!acts(&town, "0s").contains("gupp/"));
        let over = town.replace("last_event_at=-15m", "last_event_at=-61m");
        assert!(!acts(&over, "0s").contains("gupp/"));
        assert!(acts(&over, "1ms").contains("gupp/warn: send_nudge"));
    }

    /// A nudge counts for nudge_repeat, also one that was sent before the agent fell silent again.
    #[test]
    fn gupp_warn_repeats_only_after_nudge_repeat_in_a_later_silence() {
        let earlier =
            std::format!("{TOWN}\nnudge n1 a1 warn created_at=-40m sent_at=-40m delivered_at=-40m");
        assert!(!acts(&earlier, "1ms").contains("gupp/"));
        let long_ago = earlier.replace("=-40m", "=-61m");
        assert!(acts(&long_ago, "1ms").contains("gupp/warn: send_nudge"));
    }

    /// Between two escalations no warning goes out: the higher tier is the one that counts.
    #[test]
    fn gupp_warn_leaves_others_alone() {
        for (from, to) in [
            ("rig r1", "town drain.nonce=n drain.started_at=0s\nrig r1"),
            ("working", "stalled stalled_at=0s"),
            ("polecat", "mayor"),
            ("last_event_at", r#"active_tools=["bash"] last_event_at"#),
            (
                "last_event_at=-15m",
                "last_event_at=-61m\nnudge n1 a1 escalate created_at=-1m sent_at=-1m delivered_at=-1m",
            ),
        ] {
            let town = TOWN.replace(from, to);
            assert!(!acts(&town, "1ms").contains("gupp/"), "{to}");
        }
    }
}
