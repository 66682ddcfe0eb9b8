//! I7 assignee-known: a live bead's assignee exists; heals.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for bead in town.live_beads() {
        if let Some(agent) = bead.assignee.as_ref().filter(|id| town.agent(id).is_none()) {
            let message = format!("{} is assigned to {agent}, who is not there", bead.id);
            out.push(Violation::new(
                "I7",
                [bead.id.as_str(), agent.as_str()],
                message,
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i7_the_assignee_is_there() {
        let town = "bead b1 issue open assignee=a1";
        assert!(violations(town, "0s").contains("I7 b1 a1"));
        let known = std::format!("{town}\nagent a1 polecat idle");
        assert!(!violations(&known, "0s").contains("I7"));
    }
}
