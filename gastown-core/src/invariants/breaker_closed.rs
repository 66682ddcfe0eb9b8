//! I16 breaker-closed: while the breaker is open no dispatch but its probe; half open exactly that
//! one.

use alloc::format;
use alloc::vec::Vec;

use super::{Transition, Violation};
use crate::action::ActionKind;
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

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    let state = step.before.state().breaker.state;
    let dispatched = step.dispatches().count();
    let mut note = |message: alloc::string::String| {
        out.push(Violation::new("I16", [step.before.id()], message))
    };
    match state {
        BreakerState::Closed => {
            if step.probes() {
                note("a probe while the breaker is closed".into());
            }
        }
        BreakerState::Open if step.probes() => {
            let probed = step.actions().iter().find_map(|action| {
                if let ActionKind::ProbeBreaker(probe) = &action.kind {
                    Some(&probe.bead_id)
                } else {
                    None
                }
            });
            let only_that_one = dispatched == 1
                && step
                    .dispatches()
                    .all(|dispatch| Some(&dispatch.bead_id) == probed);
            if !only_that_one {
                note(format!("{dispatched} dispatches with one probe"));
            }
        }
        BreakerState::Open | BreakerState::HalfOpen => {
            if dispatched > 0 {
                note(format!(
                    "{dispatched} dispatches while the breaker is not closed"
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{step_violations, violations};

    const PROBE: &str = r#"{"rule":"breaker/probe","type":"probe_breaker","bead_id":"b1"}"#;

    fn dispatch(bead: &str) -> std::string::String {
        std::format!(
            r#"{{"rule":"dispatch/issue","type":"dispatch_agent","agent_id":"a1","bead_id":"{bead}","rig_id":"r1","session":1,"attempt":1}}"#
        )
    }

    #[test]
    fn i16_a_probe_only_while_half_open() {
        let town = "town breaker.state=open breaker.probe.bead_id=b1 breaker.probe.at=0s";
        assert!(violations(town, "0s").contains("I16 t1"));
        assert!(!violations(&town.replace("=open", "=half_open"), "0s").contains("I16"));
    }

    #[test]
    fn i16_open_dispatches_nothing_but_one_probe_and_half_open_nothing() {
        let (b1, b2) = (dispatch("b1"), dispatch("b2"));
        for (state, actions, fits) in [
            ("closed", std::format!("[{b1},{b2}]"), true),
            ("closed", std::format!("[{PROBE},{b1}]"), false),
            ("open", std::format!("[{b1}]"), false),
            ("open", std::format!("[{PROBE},{b1}]"), true),
            ("open", std::format!("[{PROBE},{b2}]"), false),
            ("open", std::format!("[{PROBE},{b1},{b2}]"), false),
            ("open", std::format!("[{PROBE}]"), false),
            ("half_open", std::format!("[{b1}]"), false),
            ("half_open", std::format!("[{PROBE},{b1}]"), false),
        ] {
            let town = std::format!("town breaker.state={state}");
            let found = step_violations(&town, &actions, &town);
            assert_eq!(found.is_empty(), fits, "{state} {actions}: {found}");
            assert!(found.is_empty() || found.starts_with("I16 t1: "), "{found}");
        }
    }
}
