//! Every decision that is due, and how a town comes to rest (spec 2, 3).

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::action::{Action, ActionKind};
use crate::apply::ApplyError;
use crate::bead::Bead;
use crate::condition::Condition;
use crate::effect::Effect;
use crate::pass::Pass;
use crate::rules::{GROUPS, On, Rule};
use crate::time::Timestamp;
use crate::town::Town;
use crate::verdict::Verdict;
use crate::work::Work;

/// Every decision that is due at `now`, in the order in which it is to be applied.
///
/// Pure and deterministic: the same state and time give the same actions.
#[must_use]
pub fn reconcile(town: &Town, now: Timestamp) -> Vec<Action> {
    decide(&Pass::new(town, now))
}

/// One pass: recovery first, and nothing else in a pass that recovers (spec 3).
///
/// What ends may end more in the next pass. Nobody is sent to work before that has settled: the
/// agent would be called back at once, and sent again (property P4). That holds, too, for an end that
/// has to wait for the next pass because another decision changes the same bead.
pub(crate) fn decide(pass: &Pass<'_>) -> Vec<Action> {
    let mut decided = Decided::of(pass, true);
    if decided.ends_due && decided.decisions.iter().any(Decision::sends_an_agent) {
        decided = Decided::of(&Pass::new(pass.town, pass.now), false);
    }
    decided
        .decisions
        .into_iter()
        .flat_map(Decision::into_actions)
        .collect()
}

/// What the rules decide in one pass.
struct Decided {
    decisions: Vec<Decision>,
    /// Whether the end of a bead is due, decided now or left to the next pass.
    ends_due: bool,
}

impl Decided {
    /// Asks the rules in order; with or without decisions that send agents.
    fn of(pass: &Pass<'_>, may_send: bool) -> Self {
        let mut decided = Self {
            decisions: Vec::new(),
            ends_due: false,
        };
        for recovers in [true, false] {
            for group in GROUPS.iter().filter(|group| group.recovers == recovers) {
                // In a pass in which a breaker rule decides, no dispatch rule does (spec 3.6).
                let breaker_decided = decided
                    .decisions
                    .iter()
                    .any(|decision| decision.rule.id.starts_with("breaker/"));
                if group.name == "dispatch" && breaker_decided {
                    continue;
                }
                for rule in group.rules {
                    each_verdict(pass, rule, &mut |_, verdict| {
                        if let Verdict::Act(kinds) = verdict {
                            decided.take(pass, Decision { rule, kinds }, may_send);
                        }
                    });
                }
            }
            if !decided.decisions.is_empty() {
                break;
            }
        }
        decided
    }

    /// Takes a decision unless an earlier one of the pass changes the same.
    fn take(&mut self, pass: &Pass<'_>, decision: Decision, may_send: bool) {
        if !may_send && decision.sends_an_agent() {
            return;
        }
        self.ends_due |= decision.ends_a_bead();
        if pass.accept(&decision.kinds) {
            self.decisions.push(decision);
        }
    }
}

/// What a rule decides about one subject.
struct Decision {
    rule: &'static Rule,
    kinds: Vec<ActionKind>,
}

impl Decision {
    fn ends_a_bead(&self) -> bool {
        let ends = |kind: &ActionKind| {
            matches!(kind, ActionKind::TransitionBead(moved) if moved.to.is_terminal())
                || matches!(kind, ActionKind::CloseConvoy(_) | ActionKind::FailConvoy(_))
        };
        self.kinds.iter().any(ends)
    }

    fn sends_an_agent(&self) -> bool {
        self.kinds.iter().any(ActionKind::sends_an_agent)
    }

    fn into_actions(self) -> impl Iterator<Item = Action> {
        let rule = Cow::Borrowed(self.rule.id);
        self.kinds.into_iter().map(move |kind| Action {
            rule: rule.clone(),
            kind,
        })
    }
}

/// Asks a rule about each of its subjects, in order; says of which condition it was asked, if it
/// was of one.
pub(crate) fn each_verdict<'a>(
    pass: &Pass<'a>,
    rule: &Rule,
    see: &mut dyn FnMut(Option<&'a Condition>, Verdict),
) {
    let town = pass.town;
    let is_repair = |bead: &&Bead| bead.work().is_some_and(Work::is_repair);
    match rule.on {
        On::Town(judge) => see(None, judge(pass)),
        On::LiveBead(judge) => {
            pass.live_beads()
                .for_each(|bead| see(None, judge(pass, bead)));
        }
        On::RepairsFirst(judge) => {
            let repairs = pass.live_beads().filter(is_repair);
            let others = pass.live_beads().filter(|bead| !is_repair(bead));
            repairs
                .chain(others)
                .for_each(|bead| see(None, judge(pass, bead)));
        }
        On::Agent(judge) => {
            pass.agents_by_age()
                .for_each(|agent| see(None, judge(pass, agent)));
        }
        On::Condition(judge) => town
            .conditions()
            .for_each(|condition| see(Some(condition), judge(pass, condition))),
        On::Nudge(judge) => {
            town.nudges()
                .for_each(|nudge| see(None, judge(pass, nudge)));
        }
    }
}

/// What settling a town did.
#[derive(Debug, Clone, PartialEq)]
#[must_use = "the effects have to be committed and run"]
pub struct Settled {
    /// The actions of all passes, in order.
    pub actions: Vec<Action>,
    /// The effects that they ask for, in order.
    pub effects: Vec<Effect>,
    /// The passes that it took, the last of which found nothing to do.
    pub passes: u32,
    /// Whether the town came to rest. If not, the engine has a bug (property P3): the change is
    /// not to be committed.
    pub fault: Option<SettleFault>,
}

/// Why a town did not come to rest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettleFault {
    /// The passes that the policy allows were not enough.
    #[error("the town did not come to rest within {passes} passes; last: {last}")]
    Restless {
        /// The passes made.
        passes: u32,
        /// The rules of the last pass.
        last: alloc::string::String,
    },
    /// An action that a rule had just made could not be performed.
    #[error("{rule}: {error}")]
    Inapplicable {
        /// The rule.
        rule: alloc::string::String,
        /// Why not.
        error: ApplyError,
    },
}

/// Repeats [`reconcile`] and [`Town::apply`] until nothing is due (spec 3).
pub fn settle(town: &mut Town, now: Timestamp) -> Settled {
    let mut settled = Settled {
        actions: Vec::new(),
        effects: Vec::new(),
        passes: 0,
        fault: None,
    };
    let limit = town.policy().settle_limit.max(1);
    loop {
        let actions = reconcile(town, now);
        settled.passes = settled.passes.saturating_add(1);
        if actions.is_empty() {
            return settled;
        }
        if settled.passes > limit {
            let rules: Vec<&str> = actions.iter().map(|action| &*action.rule).collect();
            settled.fault = Some(SettleFault::Restless {
                passes: limit,
                last: rules.join(", "),
            });
            return settled;
        }
        if let Err(fault) = apply_all(town, actions, now, &mut settled) {
            settled.fault = Some(fault);
            return settled;
        }
    }
}

/// Applies the actions of one pass, in order.
fn apply_all(
    town: &mut Town,
    actions: Vec<Action>,
    now: Timestamp,
    settled: &mut Settled,
) -> Result<(), SettleFault> {
    for action in actions {
        match town.apply(&action, now) {
            Ok(effects) => settled.effects.extend(effects),
            Err(error) => {
                return Err(SettleFault::Inapplicable {
                    rule: action.rule.into_owned(),
                    error,
                });
            }
        }
        settled.actions.push(action);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use crate::testing::{acts, settled};

    /// What ends in a pass may end more in the next: agents are sent once that has settled.
    #[test]
    fn p4_nobody_is_sent_to_work_in_a_pass_that_ends_a_bead() {
        let town = r#"
            rig r1
            bead b1 issue open rig_id=r1
            bead b2 issue closed rig_id=r1
            bead q1 issue open rig_id=r1 labels=["gt:triage-request"] metadata.triage_type=stuck_agent metadata.hooked_bead_id=b2
        "#;
        let first = acts(town, "0s");
        assert!(
            first.contains("triage/moot") && !first.contains("dispatch/"),
            "{first}"
        );
        let all = settled(town, "0s");
        let (ended, sent) = (all.find("triage/moot"), all.find("dispatch_agent"));
        assert!(ended < sent && ended.is_some(), "{all}");
    }

    /// The end of m1 waits for the next pass, because what its source was told is taken back in this
    /// one; nobody begins with a repair of m1 meanwhile.
    #[test]
    fn p4_nobody_is_sent_to_work_while_an_end_waits_for_the_next_pass() {
        let town = r#"
            rig r1
            bead b1 issue in_review rig_id=r1 told.blocked_by_failed=-1h
            bead m1 merge_request open rig_id=r1 review.source=b1 dispatch_attempts=5
            edge m1 tracks b1
            bead w1 issue open rig_id=r1 parent_id=m1 labels=["gt:pr-feedback"]
        "#;
        let first = acts(town, "0s");
        assert_eq!(
            first,
            "beads/told-over: untell bead_id=b1 category=blocked_by_failed"
        );
        let all = settled(town, "0s");
        assert!(
            all.contains(
                "transition_bead bead_id=m1 from=open reason=attempts_exhausted to=failed"
            ),
            "{all}"
        );
        assert!(!all.contains("dispatch_agent"), "{all}");
        assert!(all.contains("at rest"), "{all}");
    }
}
