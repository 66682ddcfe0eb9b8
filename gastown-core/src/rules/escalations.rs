//! Escalations: people hear of them, again if need be (spec 3.9).

mod notices;
mod notify;
mod repeat;

use alloc::format;
use alloc::string::String;

use super::Rule;
use crate::action::{ActionKind, NotifyMayor};
use crate::apply::ESCALATION_TOPIC;
use crate::bead::Bead;
use crate::escalation::{Escalation, Severity};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULES: &[Rule] = &[repeat::RULE, notify::RULE, notices::RULE];

/// A live escalation that nobody has acknowledged.
fn unacknowledged(bead: &Bead) -> Option<&Escalation> {
    bead.escalation()
        .filter(|escalation| bead.is_live() && escalation.acknowledged_at.is_none())
}

/// Notifies the mayor of an escalation.
fn notify(bead: &Bead, severity: Severity) -> ActionKind {
    let mut message: String = format!("[{}] {}", severity.as_str(), bead.title);
    if let Some(body) = &bead.body {
        message.push_str("\n\n");
        message.push_str(body);
    }
    NotifyMayor {
        topic: format!("{ESCALATION_TOPIC}{}", bead.id),
        message,
    }
    .into()
}

/// Waits for whoever is to acknowledge the escalation.
fn for_a_person(bead: &Bead) -> Wait {
    let since = bead
        .escalation()
        .and_then(|escalation| escalation.notified_at)
        .unwrap_or(bead.created_at);
    Wait::on(WaitFor::Person, "waits for a person to acknowledge it").since(since)
}

/// The wait of an escalation that a person took note of and that still is open.
fn acknowledged(bead: &Bead) -> Verdict {
    let Some(at) = bead
        .escalation()
        .filter(|_| bead.is_live())
        .and_then(|escalation| escalation.acknowledged_at)
    else {
        return Verdict::NotMine;
    };
    Verdict::wait(Wait::on(WaitFor::Person, "a person took note of it").since(at))
}
