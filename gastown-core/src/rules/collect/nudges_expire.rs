//! `nudges/expire`: a nudge that has done its work, or no longer is worth sending, goes.

use crate::action::ExpireNudge;
use crate::nudge::{Nudge, NudgeTier};
use crate::pass::{Due, Pass};
use crate::rules::gupp::last_sent;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait};

pub(super) const RULE: Rule = Rule {
    id: "nudges/expire",
    text: "A nudge past its expires_at, of an agent that is gone, delivered longer than \
           nudge_repeat ago, of GUPP and older than that or than the agent's session, or \
           undelivered for longer than event_retention: removed.",
    on: On::Nudge(evaluate),
};

fn evaluate(pass: &Pass<'_>, nudge: &Nudge) -> Verdict {
    match due(pass, nudge) {
        Due::Now => Verdict::act(ExpireNudge {
            nudge_id: nudge.id.clone(),
        }),
        Due::At(until) => Verdict::wait(Wait::until(until, "is removed")),
    }
}

/// When a nudge is removed. One that was sent by GUPP or delivered stays for nudge_repeat, so that
/// it is not said again before.
pub(super) fn due(pass: &Pass<'_>, nudge: &Nudge) -> Due {
    let Some(agent) = pass.town.agent(&nudge.agent_id) else {
        return Due::Now;
    };
    if nudge.expires_at.is_some_and(|at| pass.reached(at).is_now()) {
        return Due::Now;
    }
    let policy = pass.policy();
    if nudge.delivered_at.is_some() {
        return pass.stale(last_sent(nudge), policy.nudge_repeat);
    }
    match nudge.tier {
        NudgeTier::Warn | NudgeTier::Escalate => {
            // A new session has nothing to do with the silence of the old one.
            if agent.dispatched_at > Some(nudge.created_at) {
                return Due::Now;
            }
            pass.stale(nudge.created_at, policy.nudge_repeat)
        }
        NudgeTier::Message => pass.stale(nudge.created_at, policy.event_retention),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around, settled, wakeup};

    fn town(nudge: &str) -> std::string::String {
        std::format!(
            "rig r1\nagent a1 polecat idle rig_id=r1 last_activity_at=0s dispatched_at=-70m\nnudge n1 {nudge}"
        )
    }

    #[test]
    fn nudges_expire_around_each_threshold() {
        let delivered = town("a1 message created_at=-9d sent_at=-60m delivered_at=-60m");
        insta::assert_snapshot!(around(&delivered, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: nudges/expire
        ");
        let undelivered = town("a1 message created_at=-7d");
        insta::assert_snapshot!(around(&undelivered, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: nudges/expire
        ");
    }

    #[test]
    fn nudges_expire_at_their_time() {
        let town = town("a1 message created_at=-1s expires_at=0s");
        assert_eq!(acts(&town, "-1ms"), "nothing");
        insta::assert_snapshot!(settled(&town, "0s"), @"
        nudges/expire: expire_nudge nudge_id=n1
        at rest after 2 passes
        ");
    }

    #[test]
    fn nudges_expire_at_and_over_each_threshold() {
        for nudge in [
            "a1 message created_at=-9d sent_at=-60m delivered_at=-60m",
            "a1 warn created_at=-60m sent_at=-60m delivered_at=-59m",
            "a1 escalate created_at=-60m sent_at=-1m next_at=+1h",
            "a1 message created_at=-7d",
        ] {
            let town = town(nudge);
            assert_eq!(acts(&town, "0s"), "nothing", "{nudge}");
            assert_eq!(wakeup(&town, "0s"), "2026-04-04T12:00:00.001Z", "{nudge}");
            assert_eq!(
                acts(&town, "1ms"),
                "nudges/expire: expire_nudge nudge_id=n1",
                "{nudge}"
            );
        }
    }

    #[test]
    fn nudges_expire_of_those_who_are_gone_or_in_a_new_session() {
        for nudge in ["gone message created_at=0s", "a1 warn created_at=-71m"] {
            assert!(acts(&town(nudge), "0s").contains("expire_nudge"), "{nudge}");
        }
    }

    #[test]
    fn nudges_expire_around_their_own_time() {
        let town = town("a1 message created_at=-1s expires_at=0s");
        insta::assert_snapshot!(around(&town, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.000Z
        at: nudges/expire
        just over: nudges/expire
        ");
    }

    /// A warning of the session that began just when it was made is that session's.
    #[test]
    fn nudges_expire_of_an_older_session_and_not_of_this_one() {
        for (age, is_of_this_one) in [("-69m", true), ("-70m", true), ("-71m", false)] {
            let text = std::format!(
                "town policy.nudge_repeat=PT2H\n{}",
                town(&std::format!("a1 warn created_at={age}"))
            );
            let expected = if is_of_this_one {
                "nothing"
            } else {
                "nudges/expire: expire_nudge nudge_id=n1"
            };
            assert_eq!(acts(&text, "0s"), expected, "{age}");
        }
    }
}
