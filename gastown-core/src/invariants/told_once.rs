//! I18 told-once: one live escalation that the engine made per cause, while the cause lasts.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::Violation;
use crate::bead::CreatedBy;
use crate::condition::ConditionSubject;
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
        let last_told = town.bead(about).and_then(|bead| {
            let of_category = bead.told.iter().find(|(code, _)| code.as_str() == category);
            of_category.map(|(_, at)| *at)
        });
        let Some(last_told) = last_told else { continue };
        let since: Vec<&BeadId> = told
            .iter()
            .copied()
            .filter(|id| town.bead(id).is_some_and(|it| it.created_at >= last_told))
            .collect();
        if since.len() > 1 || simultaneous(town, &told) {
            let message = format!("{category} of {about} was told {} times", told.len());
            out.push(Violation::new("I18", told, message));
        }
    }
    conditions(town, out);
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

/// One escalation of a condition since it was told of.
fn conditions(town: &Town, out: &mut Vec<Violation>) {
    for condition in town.conditions() {
        let Some(told_at) = condition.told_at else {
            continue;
        };
        let rig = match &condition.subject {
            ConditionSubject::Town => None,
            ConditionSubject::Rig(rig) => Some(rig),
        };
        let category = condition.kind.category().as_str();
        let told: Vec<&BeadId> = town
            .live_beads()
            .filter(|bead| bead.created_by == Some(CreatedBy::System))
            .filter(|bead| bead.created_at >= told_at && bead.rig_id.as_ref() == rig)
            .filter(|bead| {
                bead.escalation().is_some_and(|it| {
                    it.bead_id.is_none() && it.category.as_deref() == Some(category)
                })
            })
            .map(|bead| &bead.id)
            .collect();
        if told.len() > 1 {
            let message = format!("{category} was told {} times", told.len());
            out.push(Violation::new("I18", told, message));
        }
    }
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
        let later = two.replace(
            "bead e2 escalation open",
            "bead e2 escalation open created_at=+1h",
        );
        let later = later.replace(
            "bead e1 escalation open",
            "bead e1 escalation open created_at=0s",
        );
        assert!(violations(&later, "2h").contains("I18 e1 e2"));
        // The first was of a cause that had ended.
        let again = later.replace("told.no_rig=0s", "told.no_rig=+1h");
        assert!(!violations(&again, "2h").contains("I18"));
    }

    #[test]
    fn i18_one_escalation_per_condition() {
        let one = r#"
            town conditions=[{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T12:00:00Z"}]
            bead e1 escalation open created_at=0s created_by=system escalation.category=forge_unreachable
        "#;
        assert!(!violations(one, "1h").contains("I18"));
        let two = std::format!(
            "{one}\nbead e2 escalation open created_at=+1m created_by=system escalation.category=forge_unreachable"
        );
        assert!(violations(&two, "1h").contains("I18 e1 e2"));
    }
}
