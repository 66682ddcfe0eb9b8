//! Conditions, and what people were told (spec 3.0).

mod end;
mod give_up;
mod tell;
mod told_over;

use alloc::format;
use alloc::string::String;

use super::Rule;
use crate::condition::{Condition, ConditionSubject};
use crate::ids::RigId;

pub(super) const RULES: &[Rule] = &[end::RULE, tell::RULE, give_up::RULE, told_over::RULE];

/// Whom a condition is about, for a person.
fn about(condition: &Condition) -> String {
    let kind = condition.kind.as_str().replace('_', " ");
    match &condition.subject {
        ConditionSubject::Town => kind,
        ConditionSubject::Rig(rig) => format!("{kind} in rig {rig}"),
    }
}

/// The topic of what the mayor hears of a condition.
fn topic(condition: &Condition) -> String {
    let subject = condition.subject.rig().map_or("town", RigId::as_str);
    format!("condition:{}:{subject}", condition.kind.as_str())
}
