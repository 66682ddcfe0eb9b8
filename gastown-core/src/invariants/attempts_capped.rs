//! I11 attempts-capped: no dispatch, but a probe, of a bead at or over its cap or with a spent
//! lineage.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::{Transition, Violation};
use crate::ids::BeadId;
use crate::pass::Pass;

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    if step.probes() {
        return;
    }
    let pass = Pass::new(step.before, step.now);
    let mut spent: BTreeMap<&BeadId, u32> = BTreeMap::new();
    for dispatch in step.dispatches() {
        let Some(bead) = step.before.bead(&dispatch.bead_id) else {
            continue;
        };
        let count = spent.entry(bead.lineage()).or_default();
        *count = count.saturating_add(1);
        if pass.attempts_spent(bead) || *count > step.before.dispatches_left(bead) {
            let message = format!("{} was dispatched without budget", bead.id);
            out.push(Violation::new("I11", [&bead.id], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::step_violations;

    const DISPATCH: &str = r#"{"rule":"dispatch/issue","type":"dispatch_agent","agent_id":"a1","bead_id":"b1","rig_id":"r1","session":1,"attempt":6}"#;

    #[test]
    fn i11_at_the_cap_and_under_it() {
        let actions = std::format!("[{DISPATCH}]");
        for (attempts, expected) in [
            (4, ""),
            (5, "I11 b1: b1 was dispatched without budget"),
            (6, "I11 b1: b1 was dispatched without budget"),
        ] {
            let town =
                std::format!("rig r1\nbead b1 issue open rig_id=r1 dispatch_attempts={attempts}");
            assert_eq!(step_violations(&town, &actions, &town), expected);
        }
    }

    #[test]
    fn i11_a_spent_lineage_and_a_probe() {
        let town = "town policy.lineage_dispatches=0\nrig r1\nbead b1 issue open rig_id=r1";
        let actions = std::format!("[{DISPATCH}]");
        assert!(step_violations(town, &actions, town).contains("I11 b1"));
        let probe = r#"{"rule":"breaker/probe","type":"probe_breaker","bead_id":"b1"}"#;
        let open = std::format!("{town}\ntown breaker.state=open");
        let actions = std::format!("[{probe},{DISPATCH}]");
        assert_eq!(step_violations(&open, &actions, &open), "");
    }

    #[test]
    fn i11_two_beads_of_one_line_do_not_share_its_last_dispatch() {
        let town = "town policy.lineage_dispatches=1\nrig r1\nbead b1 issue open rig_id=r1\nbead b2 issue open rig_id=r1 root=b1";
        let one = std::format!("[{DISPATCH}]");
        assert_eq!(step_violations(town, &one, town), "");
        let other = DISPATCH.replace(r#""b1""#, r#""b2""#);
        let both = std::format!("[{DISPATCH},{other}]");
        assert_eq!(
            step_violations(town, &both, town),
            "I11 b2: b2 was dispatched without budget"
        );
    }
}
