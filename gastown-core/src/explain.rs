//! Why a bead does not move, and what happens next (spec 4.8, 8.3; properties P7 and P16).

mod text;

#[cfg(test)]
mod examples;

use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;

use crate::action::{Action, ActionKind, Subject};
use crate::bead::{Bead, BeadKind};
use crate::green::{GreenCondition, green};
use crate::ids::{AgentId, BeadId};
use crate::pass::Pass;
use crate::reconcile::{decide, each_verdict};
use crate::rules::{On, Rule, rules};
use crate::time::Timestamp;
use crate::town::Town;
use crate::verdict::{Verdict, Wait, WaitFor};
use crate::wakeup::next_decision;
use crate::work::Work;

/// How many passes ahead the next rule is looked for, however large the town.
const PASSES_AHEAD_MIN: usize = 64;
/// How many passes ahead the next rule is looked for, however small the town.
const PASSES_AHEAD_MAX: usize = 160;
/// How many beads those passes may look at in all: a small town is followed for long, a large one
/// still answers soon.
const BEADS_AHEAD_MAX: usize = 40_000;

/// Why a bead does not move, and what happens next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The bead.
    pub bead_id: BeadId,
    /// Who or what it waits for; empty when a rule is due on it now, or when it has ended.
    pub waits_for: Vec<ExplainedWait>,
    /// The next rule that fires on it, or on what it waits for, if no event comes. None where only
    /// an event changes anything, and where it lies behind more passes than are looked ahead: 64 to
    /// 160, the fewer the larger the town.
    pub next_rule: Option<NextRule>,
    /// For a live review of a pull request: every condition of *green*, whether it holds or not,
    /// in the order of the specification. Empty, and not on the wire, for any other bead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<ExplainedCondition>,
}

/// One condition of *green*, with its age.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedCondition {
    /// The condition: yes or no, its value, since when, and who can change it.
    #[serde(flatten)]
    pub condition: GreenCondition,
    /// How long ago the forge was seen to say so, in whole seconds; none for what was never seen
    /// and for what the town itself knows, which is true now.
    pub age_seconds: Option<u64>,
}

impl ExplainedCondition {
    /// Whether it holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.condition.holds
    }
}

/// One wait, with the rule that waits.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedWait {
    /// Who or what it is for.
    pub kind: WaitFor,
    /// Which one, where it has an id.
    pub id: Option<String>,
    /// The rule that waits.
    pub rule: String,
    /// Since when, where that is known.
    pub since: Option<Timestamp>,
    /// Until when, where the passing of time ends it.
    pub until: Option<Timestamp>,
    /// For a person.
    pub text: String,
}

/// A rule, and when it fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NextRule {
    /// The rule.
    pub rule: String,
    /// When.
    pub at: Timestamp,
}

/// Why a bead does not move, and what happens next; none when there is no such bead.
///
/// The waits are the verdicts of the rules themselves, and the next rule is found by letting time
/// pass in a copy: there is no second copy of any condition.
///
/// ```
/// use gastown_core::{explain, wire};
/// let town = wire::snapshot_from_str(r#"{
///     "format": "gastown.town/1", "town": {"id": "t1"},
///     "rigs": [{"id": "r1", "name": "api", "git_url": "https://github.com/acme/api.git",
///               "default_branch": "main", "created_at": "2026-04-04T12:00:00Z"}],
///     "beads": [{"id": "b1", "type": "issue", "status": "open", "title": "Fix it", "rig_id": "r1",
///                "labels": ["gt:held"], "created_at": "2026-04-04T12:00:00Z"}]
/// }"#)?;
/// let now = "2026-04-04T12:00:00Z".parse()?;
/// let explanation = explain(&town, now, &"b1".parse()?).unwrap();
/// assert_eq!(explanation.waits_for[0].text, "is held until a person releases it");
/// // What a person reads:
/// assert!(explanation.to_string().contains("- a person: is held until a person releases it"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn explain(town: &Town, now: Timestamp, bead_id: &BeadId) -> Option<Explanation> {
    let bead = town.bead(bead_id)?;
    let mut explanation = Explanation {
        bead_id: bead_id.clone(),
        waits_for: Vec::new(),
        next_rule: None,
        conditions: conditions(town, now, bead),
    };
    if !bead.is_live() {
        return Some(explanation);
    }
    let own = own_subjects(town, bead);
    let due = decide(&Pass::new(town, now));
    if let Some(action) = due.iter().find(|action| touches(town, action, &own)) {
        explanation.next_rule = Some(NextRule {
            rule: action.rule.to_string(),
            at: now,
        });
        return Some(explanation);
    }
    explanation.waits_for = waits(town, now, bead);
    let mut watched = own;
    for wait in &explanation.waits_for {
        watched.extend(subjects_of(wait));
    }
    explanation.next_rule = next_rule(town, now, &watched);
    Some(explanation)
}

/// Every condition of *green* of a live review of a pull request.
fn conditions(town: &Town, now: Timestamp, bead: &Bead) -> Vec<ExplainedCondition> {
    let judged = green(town, bead, &town.settings_of_review(bead));
    let conditions = judged.map(|green| green.conditions).unwrap_or_default();
    let explained = conditions.into_iter().map(|condition| {
        let age = condition.observed_at.map(|at| now.since(at).as_secs());
        ExplainedCondition {
            condition,
            age_seconds: age,
        }
    });
    explained.collect()
}

/// Whom or what a bead waits for now: the waits of [`explain`], without looking ahead for what comes
/// next. Empty for a bead that is not there, or has ended.
#[must_use]
pub fn waits_for(town: &Town, now: Timestamp, bead_id: &BeadId) -> Vec<ExplainedWait> {
    match town.bead(bead_id) {
        Some(bead) if bead.is_live() => waits(town, now, bead),
        Some(_) | None => Vec::new(),
    }
}

/// The bead, and the agents that hold it.
fn own_subjects(town: &Town, bead: &Bead) -> BTreeSet<Subject> {
    let holders = town
        .holders(&bead.id)
        .map(|agent| Subject::Agent(agent.id.clone()));
    // A bead loses an assignee that is removed, so what happens to it happens to the bead.
    let holders = holders.chain(bead.assignee.clone().map(Subject::Agent));
    core::iter::once(Subject::Bead(bead.id.clone()))
        .chain(holders)
        .collect()
}

fn touches(town: &Town, action: &Action, watched: &BTreeSet<Subject>) -> bool {
    let names = |subject: &Subject| watched.contains(subject);
    let stamped = action.kind.stamped_bead().map(Subject::Bead);
    action.kind.subjects().iter().any(names)
        || stamped.as_ref().is_some_and(names)
        || carries_requests(&action.kind) && watched.iter().any(|it| is_triage_request(town, it))
}

/// A batch for the triage agent carries every open request.
fn carries_requests(action: &ActionKind) -> bool {
    matches!(action, ActionKind::CreateBead(made) if Town::is_patrol_batch(&made.bead))
}

fn is_triage_request(town: &Town, subject: &Subject) -> bool {
    let Subject::Bead(id) = subject else {
        return false;
    };
    town.bead(id)
        .is_some_and(|bead| matches!(bead.work(), Some(Work::TriageRequest(_))))
}

fn subjects_of(wait: &ExplainedWait) -> Option<Subject> {
    let id = wait.id.as_deref()?;
    match wait.kind {
        WaitFor::Bead => BeadId::new(id).ok().map(Subject::Bead),
        WaitFor::Agent => AgentId::new(id).ok().map(Subject::Agent),
        WaitFor::Time | WaitFor::Forge | WaitFor::Person | WaitFor::Condition => None,
    }
}

/// What the rules say of the bead and of the agents that hold it.
fn waits(town: &Town, now: Timestamp, bead: &Bead) -> Vec<ExplainedWait> {
    let pass = Pass::new(town, now);
    let mut out = Vec::new();
    for rule in rules() {
        for_bead(&pass, rule, bead, &mut |verdict| {
            if let Verdict::Wait(waits) = verdict {
                out.extend(waits.into_iter().map(|wait| explained(rule.id, wait)));
            }
        });
    }
    out.extend(by_nature(bead).map(|(rule, wait)| explained(rule, wait)));
    out
}

/// Asks a rule about a bead and the agents that hold it.
fn for_bead(pass: &Pass<'_>, rule: &Rule, bead: &Bead, see: &mut dyn FnMut(Verdict)) {
    match rule.on {
        On::LiveBead(judge) | On::RepairsFirst(judge) => see(judge(pass, bead)),
        On::Agent(judge) => {
            pass.town
                .holders(&bead.id)
                .for_each(|agent| see(judge(pass, agent)));
        }
        On::Condition(_) => {
            let held: Vec<_> = pass
                .town
                .conditions_of(&bead.id)
                .map(|condition| (condition.kind, condition.subject.clone()))
                .collect();
            if bead.review().is_some_and(|review| review.pr_url.is_some()) {
                each_verdict(pass, rule, &mut |condition, verdict| {
                    if let Some(condition) = condition
                        && held.contains(&(condition.kind, condition.subject.clone()))
                    {
                        see(verdict);
                    }
                });
            }
        }
        On::Town(_) | On::Nudge(_) => {}
    }
}

fn explained(rule: &str, wait: Wait) -> ExplainedWait {
    ExplainedWait {
        kind: wait.kind,
        id: wait.id,
        rule: rule.to_string(),
        since: wait.since,
        until: wait.until,
        text: wait.text,
    }
}

/// What a bead waits for by what it is, where no rule is needed to say so.
fn by_nature(bead: &Bead) -> Option<(&'static str, Wait)> {
    match &bead.kind {
        BeadKind::Message(mail) => Some((
            "mail/read",
            Wait::on(WaitFor::Agent, "waits for its reader").id(mail.to.as_str()),
        )),
        BeadKind::Issue(_)
        | BeadKind::MergeRequest(_)
        | BeadKind::Convoy(_)
        | BeadKind::Escalation(_)
        | BeadKind::Molecule => None,
    }
}

/// Lets time pass in a copy until a rule fires on what is watched. Others may move first; what
/// they do may be what the bead waits for.
fn next_rule(town: &Town, now: Timestamp, watched: &BTreeSet<Subject>) -> Option<NextRule> {
    let mut ahead = town.clone();
    let mut at = now;
    for _ in 0..passes_ahead(town) {
        let (next, due) = next_decision(&ahead, at)?;
        at = next;
        if let Some(action) = due.iter().find(|action| touches(&ahead, action, watched)) {
            return Some(NextRule {
                rule: action.rule.to_string(),
                at,
            });
        }
        for action in &due {
            ahead.apply(action, at).ok()?;
        }
    }
    None
}

fn passes_ahead(town: &Town) -> usize {
    let beads = town.beads().count().max(1);
    let affordable = BEADS_AHEAD_MAX.checked_div(beads).unwrap_or(0);
    affordable.clamp(PASSES_AHEAD_MIN, PASSES_AHEAD_MAX)
}
