//! I1 terminal-final: a terminal bead never changes status.

use alloc::format;
use alloc::vec::Vec;

use super::{Transition, Violation};

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    for old in step.before.beads().filter(|bead| !bead.is_live()) {
        let changed = step
            .after
            .bead(&old.id)
            .filter(|new| new.status != old.status);
        if let Some(new) = changed {
            let (was, is) = (old.status.as_str(), new.status.as_str());
            let message = format!("{} was {was} and is {is}", old.id);
            out.push(Violation::new("I1", [&old.id], message));
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::step_violations;

    #[test]
    fn i1_a_terminal_bead_stays_as_it_ended() {
        for ended in ["closed", "failed"] {
            let before = std::format!("bead b1 issue {ended}");
            let found = step_violations(&before, "[]", "bead b1 issue open");
            assert_eq!(found, std::format!("I1 b1: b1 was {ended} and is open"));
            assert_eq!(step_violations(&before, "[]", &before), "");
        }
        assert_eq!(
            step_violations("bead b1 issue open", "[]", "bead b1 issue failed"),
            ""
        );
    }
}
