//! I18 told-once: one escalation per cause (bead or condition, category) while the cause lasts; one
//! notice per edge of a condition.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::vec::Vec;

use super::{Transition, Violation};
use crate::action::ActionKind;
use crate::bead::{Bead, CreatedBy};
use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::ids::BeadId;
use crate::reason::ReasonCode;
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
        let since = made_since(town, &told, last_told);
        if since.len() > 1 || simultaneous(town, &told) {
            let message = format!("{category} of {about} was told {} times", told.len());
            out.push(Violation::new("I18", told, message));
        }
    }
    conditions(town, out);
}

/// The escalations that were made when the cause was told of last, or later. By their time alone, one of
/// before would be later where the clock has been set back in between; where none was made then, one of those
/// stands for it (`Town::still_said`).
fn made_since<'a>(town: &Town, told: &[&'a BeadId], last_told: Timestamp) -> Vec<&'a BeadId> {
    let made_at = |id: &BeadId| town.bead(id).map(|bead| bead.created_at);
    let then = told.iter().filter(|id| made_at(id) == Some(last_told));
    let Some(first) = then.map(|id| number(id)).min() else {
        return Vec::new();
    };
    let since = told.iter().copied();
    since
        .filter(|id| made_at(id) >= Some(last_told) && number(id) >= first)
        .collect()
}

/// The number in a name that the engine made: later ones are greater.
fn number(id: &BeadId) -> Option<u64> {
    let digits = id.as_str().rsplit(|c: char| !c.is_ascii_digit()).next()?;
    digits.parse().ok()
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
        let rig = condition.subject.rig();
        let category = condition.kind.category().as_str();
        let told: Vec<&BeadId> = town
            .live_beads()
            .filter(|bead| bead.created_by == Some(CreatedBy::System))
            .filter(|bead| bead.rig_id.as_ref() == rig)
            .filter(|bead| {
                bead.escalation().is_some_and(|it| {
                    it.bead_id.is_none() && it.category.as_deref() == Some(category)
                })
            })
            .map(|bead| &bead.id)
            .collect();
        let since = made_since(town, &told, told_at);
        if since.len() > 1 {
            let message = format!("{category} was told {} times", since.len());
            out.push(Violation::new("I18", since, message));
        }
    }
}

pub(super) fn check_step(step: &Transition<'_>, out: &mut Vec<Violation>) {
    let mut told_now: BTreeMap<(Option<&BeadId>, &str), Vec<&BeadId>> = BTreeMap::new();
    for bead in step.after.live_beads().filter(|bead| is_new(step, bead)) {
        if let Some(escalation) = bead.escalation()
            && bead.created_by == Some(CreatedBy::System)
            && let Some(category) = &escalation.category
        {
            told_now
                .entry((escalation.bead_id.as_ref(), category.as_str()))
                .or_default()
                .push(&bead.id);
        }
    }
    for ((about, category), escalations) in told_now {
        let allowed = match about {
            Some(about) => usize::from(
                !was_told(step.before, about, category)
                    || is_of_more_work(step.before, about, category),
            ),
            None => causes_without_bead(step, category),
        };
        if escalations.len() > allowed {
            let of = about.map_or("the town", |bead| bead.as_str());
            let message = format!("{category} of {of} was told again while it lasts");
            out.push(Violation::new("I18", escalations, message));
        }
    }
    notices_of_conditions(step, out);
}

fn is_new(step: &Transition<'_>, bead: &Bead) -> bool {
    step.before.bead(&bead.id).is_none()
}

fn was_told(town: &Town, about: &BeadId, category: &str) -> bool {
    town.bead(about)
        .is_some_and(|bead| bead.told.keys().any(|told| told.as_str() == category))
}

/// Finished work that nobody reviews is a cause of its own each time, and all of it is in one word until
/// somebody takes note of that (spec 4.1).
fn is_of_more_work(town: &Town, about: &BeadId, category: &str) -> bool {
    let of_work = [ReasonCode::LateDone, ReasonCode::SharedBranch];
    let stands = |bead: &Bead| {
        bead.created_by == Some(CreatedBy::System)
            && bead.escalation().is_some_and(|it| {
                it.bead_id.as_ref() == Some(about)
                    && it.category.as_deref() == Some(category)
                    && it.acknowledged_at.is_none()
            })
    };
    of_work.iter().any(|code| code.as_str() == category) && !town.live_beads().any(stands)
}

/// How many escalations of a category that name no bead a step may make: one for each condition
/// of that kind of which nobody was told; what else has no bead of its own keeps its own record.
fn causes_without_bead(step: &Transition<'_>, category: &str) -> usize {
    let is_kind = |condition: &&Condition| condition.kind.category().as_str() == category;
    if step.after.conditions().any(|condition| is_kind(&condition)) {
        let untold = |condition: &&Condition| {
            condition.told_at.is_some()
                && step
                    .before
                    .condition(condition.kind, &condition.subject)
                    .is_none_or(|before| before.told_at.is_none())
        };
        return step
            .after
            .conditions()
            .filter(is_kind)
            .filter(untold)
            .count();
    }
    1
}

/// A condition is told at its beginning once and at its end once: nothing ends it twice.
fn notices_of_conditions(step: &Transition<'_>, out: &mut Vec<Violation>) {
    let mut ended: Vec<(ConditionKind, &ConditionSubject)> = Vec::new();
    for action in step.actions() {
        let ActionKind::ClearCondition(cleared) = &action.kind else {
            continue;
        };
        let cause = (cleared.kind, &cleared.subject);
        let is_there = step
            .before
            .condition(cleared.kind, &cleared.subject)
            .is_some();
        if ended.contains(&cause) || !is_there {
            let message = format!("the end of {} was told again", cleared.kind.as_str());
            out.push(Violation::new("I18", [step.before.id()], message));
        }
        ended.push(cause);
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{step_violations, violations};

    const TOLD: &str = "bead b1 issue open told.no_rig=0s";

    #[test]
    fn i18_what_was_told_is_not_told_again_while_it_lasts() {
        let e1 = "bead e1 escalation open created_by=system escalation.bead_id=b1 escalation.category=no_rig";
        let again = std::format!("{TOLD}\n{e1}");
        assert!(step_violations(TOLD, "[]", &again).starts_with("I18 e1: no_rig of b1"));
        assert_eq!(step_violations("bead b1 issue open", "[]", &again), "");
        assert_eq!(step_violations(&again, "[]", &again), "");
        let twice = std::format!("{again}\n{}", e1.replace("e1", "e2"));
        assert!(step_violations("bead b1 issue open", "[]", &twice).starts_with("I18 e1 e2: "));
    }

    /// Spec 4.1: other work is another cause, told in the word that stands until somebody takes note of it.
    #[test]
    fn i18_more_finished_work_is_told_anew_once_people_know_of_the_first() {
        let found = |category: &str, first: &str| {
            let of = |id: &str, state: &str| {
                std::format!(
                    "\nbead {id} escalation {state} created_by=system escalation.bead_id=b1 escalation.category={category}"
                )
            };
            let before = std::format!("bead b1 issue open told.{category}=0s{}", of("e1", first));
            step_violations(&before, "[]", &(before.clone() + &of("e2", "open")))
        };
        let ended = "closed";
        let known = "open escalation.acknowledged_at=0s";
        for category in ["late_done", "shared_branch"] {
            assert_eq!(found(category, ended), "");
            assert_eq!(found(category, known), "");
            assert!(found(category, "open").starts_with("I18 e2: "));
        }
        assert!(found("no_rig", ended).starts_with("I18 e2: "));
    }

    #[test]
    fn i18_a_condition_is_told_at_its_edges() {
        let condition = |told: &str| {
            std::format!(
                r#"town conditions=[{{"kind":"api_drift","subject":{{"kind":"town"}},"since":"2026-04-04T12:00:00Z","told_at":{told}}}]"#
            )
        };
        let (silent, told) = (condition("null"), condition(r#""2026-04-04T12:00:00Z""#));
        let e1 = "bead e1 escalation open created_by=system escalation.category=api_drift";
        let said = std::format!("{told}\n{e1}");
        assert_eq!(step_violations(&silent, "[]", &said), "");
        assert!(step_violations(&told, "[]", &said).starts_with("I18 e1: api_drift of the town"));
        let clear = r#"{"rule":"conditions/end","type":"clear_condition","kind":"api_drift","subject":{"kind":"town"}}"#;
        assert_eq!(step_violations(&told, &std::format!("[{clear}]"), ""), "");
        let found = step_violations(&told, &std::format!("[{clear},{clear}]"), "");
        assert!(found.starts_with("I18 t1: the end of api_drift"), "{found}");
    }

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
        // So was it where the clock was set back before the second.
        let back = again.replace("created_at=0s", "created_at=+3h");
        assert!(back.contains("created_at=+3h") && back.contains("created_at=+1h"));
        assert!(!violations(&back, "4h").contains("I18"));
        // And where one of before stands for what was not said once more.
        let stands = later.replace("told.no_rig=0s", "told.no_rig=-1h");
        assert!(!violations(&stands, "2h").contains("I18"));
    }

    /// P11: what was told before the clock was set back is of before.
    #[test]
    fn i18_one_escalation_per_condition_whatever_the_clock_did() {
        let back = r#"
            town conditions=[{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T12:00:00Z"}]
            bead e1 escalation open created_at=+3h created_by=system escalation.category=forge_unreachable
            bead e2 escalation open created_at=0s created_by=system escalation.category=forge_unreachable
        "#;
        assert!(!violations(back, "4h").contains("I18"));
        let twice = back.replace("bead e1 ", "bead e3 ");
        assert!(violations(&twice, "4h").contains("I18 e2 e3"));
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
