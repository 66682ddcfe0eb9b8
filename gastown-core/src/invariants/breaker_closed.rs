//! I16 breaker-closed: half open there is exactly one probe. (That nothing else is dispatched is
//! checked with each step.)

use alloc::vec::Vec;

use super::Violation;
use crate::breaker::BreakerState;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    let breaker = &town.state().breaker;
    if breaker.state != BreakerState::HalfOpen && breaker.probe.is_some() {
        out.push(Violation::new(
            "I16",
            [town.id()],
            "there is a probe, but the breaker is not half open",
        ));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i16_a_probe_only_while_half_open() {
        let town = "town breaker.state=open breaker.probe.bead_id=b1 breaker.probe.at=0s";
        assert!(violations(town, "0s").contains("I16 t1"));
        assert!(!violations(&town.replace("=open", "=half_open"), "0s").contains("I16"));
    }
}
