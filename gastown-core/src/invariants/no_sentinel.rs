//! I9 no-sentinel: no reserved or empty identifier, and no stand-in for "no rig", anywhere.
//!
//! Identifiers are types that can't hold one; what is left are texts that name somebody.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::ids::id_problem;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for bead in town.beads() {
        if let Some(by) = &bead.created_by
            && (by.as_str().is_empty() || id_problem(by.as_str()).is_some_and(is_reserved))
        {
            let message = format!("{} was made by nobody who can be named", bead.id);
            out.push(Violation::new("I9", [&bead.id], message));
        }
    }
    for agent in town.agents() {
        if agent.identity.is_empty() || id_problem(&agent.identity).is_some_and(is_reserved) {
            let message = format!("{} has no identity", agent.id);
            out.push(Violation::new("I9", [&agent.id], message));
        }
    }
}

fn is_reserved(problem: crate::ids::IdProblem) -> bool {
    problem == crate::ids::IdProblem::Reserved
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i9_nobody_stands_in_for_somebody() {
        assert!(violations("bead b1 issue open created_by=__nobody__", "0s").contains("I9 b1"));
        assert!(violations("bead b1 issue open created_by=\"\"", "0s").contains("I9 b1"));
        assert!(!violations("bead b1 issue open created_by=ann", "0s").contains("I9"));
    }
}
