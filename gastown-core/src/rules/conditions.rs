//! Conditions, and what people were told (spec 3.0).

mod end;
mod give_up;
mod tell;
mod told_over;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::Rule;
use crate::condition::{Condition, ConditionKind, ConditionSubject};
use crate::ids::RigId;
use crate::pass::Pass;
use crate::verdict::{Wait, WaitFor};

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

/// Waits for a condition of the world.
pub(super) fn condition_wait(condition: &Condition, text: &str) -> Wait {
    let kind = condition.kind.as_str();
    let mut wait = Wait::on(WaitFor::Condition, format!("{text}: {kind}"))
        .id(kind)
        .since(condition.since);
    wait.until = condition.until.or(condition.next_probe_at);
    wait
}

/// Waits until a condition is over: for it, and for the pull request whose look can show that.
pub(super) fn waits_for_probe(pass: &Pass<'_>, condition: &Condition, text: &str) -> Vec<Wait> {
    let mut waits = vec![condition_wait(condition, text)];
    if condition.kind != ConditionKind::RateLimited
        && let Some(probe) = pass.looks().probe_of(condition)
    {
        let text = "its pull request probes the forge";
        waits.push(Wait::on(WaitFor::Bead, text).id(probe.as_str()));
    }
    waits
}
