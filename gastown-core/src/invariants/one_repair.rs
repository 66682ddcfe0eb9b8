//! I10 one-repair: an MR bead has at most one live pr-feedback and one live pr-conflict bead.

use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::ids::BeadId;
use crate::time::Timestamp;
use crate::town::Town;
use crate::work::Work;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    for mr in town.live_beads().filter(|bead| bead.review().is_some()) {
        let live: Vec<_> = town
            .repairs_of(&mr.id)
            .into_iter()
            .filter(|repair| repair.is_live())
            .collect();
        let of = |is: fn(&Work) -> bool| -> Vec<&BeadId> {
            live.iter()
                .filter(|r| r.work().is_some_and(is))
                .map(|r| &r.id)
                .collect()
        };
        let feedback = of(|work| matches!(work, Work::PrFeedback(_)));
        let conflict = of(|work| matches!(work, Work::PrConflict(_)));
        for (name, repairs) in [("pr-feedback", feedback), ("pr-conflict", conflict)] {
            if repairs.len() > 1 {
                let message = format!("{} has {} live {name} beads", mr.id, repairs.len());
                out.push(Violation::new("I10", repairs, message));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i10_one_live_repair_of_each_kind() {
        let town = r#"
            bead m1 merge_request in_progress
            bead f1 issue open parent_id=m1 labels=["gt:pr-feedback"]
            bead c1 issue open parent_id=m1 labels=["gt:pr-conflict"]
        "#;
        assert!(!violations(town, "0s").contains("I10"));
        let two = std::format!(
            "{town}\nbead f2 issue in_progress parent_id=m1 labels=[\"gt:pr-feedback\"]"
        );
        assert!(violations(&two, "0s").contains("I10 f1 f2: m1 has 2 live pr-feedback beads"));
    }
}
