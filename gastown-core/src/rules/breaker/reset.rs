//! `breaker/reset`: the probe has started, so starts work again.

use crate::action::ResetBreaker;
use crate::breaker::BreakerState;
use crate::pass::Pass;
use crate::rules::{On, Rule};
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "breaker/reset",
    text: "The probe's session has reported: closed, failures and probes cleared.",
    on: On::Town(evaluate),
};

fn evaluate(pass: &Pass<'_>) -> Verdict {
    let breaker = &pass.town.state().breaker;
    if breaker.state == BreakerState::HalfOpen && breaker.probe_started {
        return Verdict::act(ResetBreaker {});
    }
    Verdict::NotMine
}

#[cfg(test)]
mod tests {
    use crate::testing::acts;

    #[test]
    fn breaker_reset_once_the_probe_has_started() {
        let town = "town breaker.state=half_open breaker.probe.bead_id=b1 breaker.probe.at=-1m breaker.probe_started=true";
        insta::assert_snapshot!(acts(town, "0s"), @"breaker/reset: reset_breaker");
    }
}
