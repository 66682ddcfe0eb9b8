//! `drain/timeout`: draining longer than drain_timeout ends the drain.

use crate::action::EndDrain;
use crate::pass::{Due, Pass};
use crate::reason::{Reason, ReasonCode};
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "drain/timeout",
    text: "Draining longer than drain_timeout: the drain ends.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let Some(drain) = &pass.town.state().drain else {
        return Verdict::NotMine;
    };
    match pass.stale(drain.started_at, pass.policy().drain_timeout) {
        Due::Now => Verdict::act(EndDrain {
            cause: Reason::new(
                ReasonCode::DrainTimeout,
                "the replacement did not come up in time",
            ),
        }),
        Due::At(until) => Verdict::wait(
            Wait::on(
                WaitFor::Time,
                "the container is being replaced; nothing new is dispatched",
            )
            .since(drain.started_at)
            .not_before(until),
        ),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, around};

    const TOWN: &str = r#"
        town drain.nonce=n1 drain.started_at=-7m
        rig r1
        bead b1 issue open rig_id=r1
    "#;

    #[test]
    fn drain_timeout_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(TOWN, "0s"), @"nothing");
    }

    #[test]
    fn drain_timeout_just_over_the_threshold_ends_the_drain() {
        insta::assert_snapshot!(acts(TOWN, "1ms"), @"drain/timeout: end_drain cause=drain_timeout");
    }

    #[test]
    fn drain_timeout_around_its_threshold() {
        insta::assert_snapshot!(around(TOWN, "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: drain/timeout
        ");
    }
}
