//! I18 told-once: one live escalation that the engine made per cause, while the cause lasts.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::bead::CreatedBy;
use crate::ids::BeadId;
use crate::time::Timestamp;
use crate::town::Town;

pub(super) fn check(town: &Town, _: Timestamp, out: &mut Vec<Violation>) {
    let mut causes: BTreeMap<(&BeadId, &str), Vec<&BeadId>> = BTreeMap::new();
    for bead in town.live_beads() {
        if let Some(escalation) = bead.escalation()
            && bead.created_by == Some(CreatedBy::System)
            && let (Some(about), Some(category)) = (&escalation.bead_id, &escalation.category)
            && escalation.acknowledged_at.is_none()
        {
            causes
                .entry((about, category.as_str()))
                .or_default()
                .push(&bead.id);
        }
    }
    for ((about, category), told) in causes {
        // A cause that ended and came back may be told again while the old word still stands.
        let still = town.bead(about).is_some_and(|bead| {
            bead.told
                .iter()
                .filter(|(code, _)| code.as_str() == category)
                .count()
                > 0
        });
        if told.len() > 1 && still && simultaneous(town, &told) {
            let message = format!("{category} of {about} was told {} times", told.len());
            out.push(Violation::new("I18", told, message));
        }
    }
}

/// Whether two of the escalations were made at one time.
fn simultaneous(town: &Town, escalations: &[&BeadId]) -> bool {
    let mut made: Vec<Timestamp> = escalations
        .iter()
        .filter_map(|id| town.bead(id))
        .map(|bead| bead.created_at)
        .collect();
    made.sort();
    made.windows(2).any(|pair| pair.first() == pair.last())
}

#[cfg(test)]
mod tests {
    use crate::testing::violations;

    #[test]
    fn i18_one_escalation_per_cause() {
        let one = "bead b1 issue open told.no_rig=0s\nbead e1 escalation open created_by=system escalation.bead_id=b1 escalation.category=no_rig";
        assert!(!violations(one, "0s").contains("I18"));
        let two = std::format!(
            "{one}\nbead e2 escalation open created_by=system escalation.bead_id=b1 escalation.category=no_rig"
        );
        assert!(violations(&two, "0s").contains("I18 e1 e2"));
    }
}
