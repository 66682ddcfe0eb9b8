//! I2 hook-mutual: an agent has at most one hook, a bead at most one agent; heals.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::ids::BeadId;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    let mut hooks: Vec<&BeadId> = town
        .agents()
        .filter_map(|agent| agent.hook.as_ref())
        .collect();
    hooks.sort();
    hooks.dedup();
    for bead in hooks {
        let holders: Vec<&str> = town.holders(bead).map(|agent| agent.id.as_str()).collect();
        if holders.len() > 1 {
            let agents = holders.join(", ");
            let subjects = core::iter::once(bead.as_str()).chain(holders);
            out.push(Violation::new(
                "I2",
                subjects,
                format!("{bead} is hooked by {agents}"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i2_two_agents_on_one_bead() {
        let one = "agent a1 polecat idle hook=b1\nbead b1 issue open";
        assert!(!violations(one, "0s").contains("I2"));
        let two = std::format!("{one}\nagent a2 polecat idle hook=b1");
        assert!(violations(&two, "0s").contains("I2 b1 a1 a2: b1 is hooked by a1, a2"));
    }
}
