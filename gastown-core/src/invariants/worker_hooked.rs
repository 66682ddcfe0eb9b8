//! I6 worker-hooked: a working or stalled polecat or refinery has a hook to a live bead that fits
//! its role and rig; heals.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::agent::Role;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for agent in town.agents() {
        if agent.role == Role::Mayor || !agent.status.is_running() {
            continue;
        }
        let bead = agent.hook.as_ref().and_then(|hook| town.bead(hook));
        let problem = match bead {
            None => "has no hook to a bead that exists",
            Some(bead) if !bead.is_live() => "is hooked to a bead that has ended",
            Some(bead) if !town.fits(agent, bead) => "does not fit its bead",
            Some(_) => continue,
        };
        let status = agent.status.as_str();
        let message = format!("{} is {status} and {problem}", agent.id);
        out.push(Violation::new("I6", [&agent.id], message));
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i6_who_works_has_a_bead_that_fits() {
        let town = "rig r1\nagent a1 polecat working rig_id=r1 hook=b1\nbead b1 issue in_progress rig_id=r1";
        assert!(!violations(town, "0s").contains("I6"));
        for wrong in [
            town.replace("hook=b1", ""),
            town.replace("hook=b1", "hook=b2"),
            town.replace("in_progress", "closed"),
            town.replace("in_progress rig_id=r1", "in_progress"),
            town.replace("polecat", "refinery"),
        ] {
            assert!(violations(&wrong, "0s").contains("I6 a1"), "{wrong}");
        }
        assert!(!violations("agent a1 mayor working", "0s").contains("I6"));
    }
}
