//! `convoys/branch`: the feature branch of each rig is created.

use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::Issues;
use crate::action::{ActionKind, CreateBranch};
use crate::bead::Bead;
use crate::condition::ConditionSubject;
use crate::convoy::{BranchState, ConvoyBranch};
use crate::ids::RigId;
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::rules::conditions::waits_for_probe;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "convoys/branch",
    text: "A rig of a started convoy's issues whose branch is none, failed over forge_backoff ago, \
           or was asked for over merge_outcome_timeout ago: it is created. After poll_transient_limit tries a person is told, and only a \
           person's command tries again.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let Some(issues) = Issues::of_started(pass.town, bead) else {
        return Verdict::NotMine;
    };
    let Some(branch) = issues.lands_from() else {
        return Verdict::NotMine;
    };
    let mut actions: Vec<ActionKind> = Vec::new();
    let mut waits = Vec::new();
    for (rig, record) in missing(pass, &issues) {
        match due(pass, rig, record) {
            Ok(()) => actions.push(
                CreateBranch {
                    convoy_id: bead.id.clone(),
                    rig_id: rig.clone(),
                    branch: branch.into(),
                }
                .into(),
            ),
            Err(other) => waits.extend(other),
        }
    }
    if is_given_up(pass, &issues) {
        actions.extend(pass.tell_once(
            bead,
            ReasonCode::BranchFailed,
            format!(
                "its branch {branch} could not be created in {} tries; see to the forge and its \
                 credentials, then acknowledge this",
                pass.policy().poll_transient_limit
            ),
        ));
    }
    if !actions.is_empty() {
        Verdict::Act(actions)
    } else if !waits.is_empty() {
        Verdict::Wait(waits)
    } else {
        Verdict::NotMine
    }
}

/// The existing rigs of the issues whose branch is not there; absent means created.
fn missing<'a>(
    pass: &Pass<'a>,
    issues: &Issues<'a>,
) -> impl Iterator<Item = (&'a RigId, &'a ConvoyBranch)> {
    let town = pass.town;
    let rigs: Vec<&RigId> = issues
        .all
        .iter()
        .filter_map(|issue| town.rig_of(issue))
        .map(|rig| &rig.id)
        .collect();
    issues
        .convoy
        .branches
        .iter()
        .filter(move |(rig, record)| record.state != BranchState::Created && rigs.contains(rig))
}

/// Whether the branch of one rig is to be created now; else whom or what it waits for.
fn due(pass: &Pass<'_>, rig: &RigId, record: &ConvoyBranch) -> Result<(), Vec<Wait>> {
    let asked = |text: &str| {
        let wait = Wait::on(WaitFor::Forge, format!("{text} in {rig}"));
        record.at.map_or(wait.clone(), |at| wait.since(at))
    };
    let condition = pass.town.conditions().find(|condition| {
        condition.holds()
            && condition.kind.holds_polls()
            && match &condition.subject {
                ConditionSubject::Town => true,
                ConditionSubject::Rig(of) => of == rig,
            }
    });
    if let Due::At(until) = unanswered(pass, record) {
        return Err(vec![asked("its branch is being created").not_before(until)]);
    }
    if record.is_given_up(pass.policy().poll_transient_limit) {
        let text = format!("its branch can't be created in {rig}; a person was told");
        return Err(vec![Wait::on(WaitFor::Person, text)]);
    }
    // The world around it is out of order: no try is spent on that (spec 1.8).
    if let Some(condition) = condition {
        let text = format!("its branch in {rig} waits");
        return Err(waits_for_probe(pass, condition, &text));
    }
    let failed_at = record.at.filter(|_| record.state == BranchState::Failed);
    match failed_at.map(|at| pass.stale(at, pass.policy().forge_backoff)) {
        None | Some(Due::Now) => Ok(()),
        Some(Due::At(until)) => Err(vec![
            asked("its branch is asked for again").not_before(until),
        ]),
    }
}

/// When what was asked for counts as failed: its answer may be lost.
fn unanswered(pass: &Pass<'_>, record: &ConvoyBranch) -> Due {
    let timeout = pass.policy().merge_outcome_timeout;
    match (record.state, record.at) {
        (BranchState::Asked, Some(at)) => pass.stale(at, timeout),
        _ => Due::Now,
    }
}

/// Whether a branch failed as often as the policy allows.
fn is_given_up(pass: &Pass<'_>, issues: &Issues<'_>) -> bool {
    let limit = pass.policy().poll_transient_limit;
    missing(pass, issues)
        .any(|(_, record)| record.is_given_up(limit) && unanswered(pass, record).is_now())
}

#[cfg(test)]
mod tests {
    use alloc::string::String;

    use crate::testing::{acts, around, around_count, settled, town};

    fn convoy(branches: &str) -> String {
        alloc::format!(
            "
            rig r1
            rig r2
            bead c1 convoy open convoy.total=2 convoy.feature_branch=convoy/x/c1/head convoy.branches={branches}
            bead b1 issue open rig_id=r1 labels=[\"gt:held\"]
            bead b2 issue open rig_id=r2 labels=[\"gt:held\"]
            edge b1 tracks c1
            edge b2 tracks c1
        "
        )
    }

    #[test]
    fn convoys_branch_is_asked_for_in_each_rig_that_has_none() {
        let town = convoy(r#"{"r1":{"state":"none"},"r2":{"state":"none"}}"#);
        insta::assert_snapshot!(settled(&town, "0s"), @"
        convoys/branch: create_branch branch=convoy/x/c1/head convoy_id=c1 rig_id=r1
        convoys/branch: create_branch branch=convoy/x/c1/head convoy_id=c1 rig_id=r2
        at rest after 2 passes
        ");
    }

    #[test]
    fn convoys_branch_absent_counts_as_created() {
        insta::assert_snapshot!(acts(&convoy(r#"{"r1":{"state":"created"}}"#), "0s"), @"nothing");
    }

    const ASKED: &str = r#"{"r1":{"state":"asked","at":"2026-04-04T11:55:00Z","tries":1}}"#;

    #[test]
    fn convoys_branch_that_was_asked_for_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(&convoy(ASKED), "0s"), @"nothing");
    }

    /// The answer may be lost: nobody would ever ask again.
    #[test]
    fn convoys_branch_that_was_asked_for_just_over_the_threshold_is_asked_for_again() {
        insta::assert_snapshot!(settled(&convoy(ASKED), "1ms"), @"
        convoys/branch: create_branch branch=convoy/x/c1/head convoy_id=c1 rig_id=r1
        at rest after 2 passes
        ");
        let no_time = ASKED.replace(r#","at":"2026-04-04T11:55:00Z""#, "");
        assert!(acts(&convoy(&no_time), "0s").contains("create_branch"));
    }

    #[test]
    fn convoys_branch_without_an_answer_to_the_last_try_tells_once() {
        let last = convoy(&ASKED.replace("\"tries\":1", "\"tries\":10"));
        assert_eq!(acts(&last, "0s"), "nothing");
        let told = settled(&last, "1ms");
        assert!(
            told.contains("tell bead_id=c1 category=branch_failed"),
            "{told}"
        );
        assert!(!told.contains("create_branch"), "{told}");
    }

    #[test]
    fn convoys_branch_that_was_asked_for_around_its_threshold() {
        insta::assert_snapshot!(around(&convoy(ASKED), "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: convoys/branch
        ");
    }

    const FAILED: &str = r#"{"r1":{"state":"failed","at":"2026-04-04T11:59:00Z","tries":9}}"#;

    #[test]
    fn convoys_branch_failed_at_the_threshold_waits() {
        insta::assert_snapshot!(acts(&convoy(FAILED), "0s"), @"nothing");
    }

    #[test]
    fn convoys_branch_failed_just_over_the_threshold_tries_again() {
        insta::assert_snapshot!(acts(&convoy(FAILED), "1ms"), @"convoys/branch: create_branch branch=convoy/x/c1/head convoy_id=c1 rig_id=r1");
    }

    #[test]
    fn convoys_branch_after_the_last_try_tells_once() {
        let given_up = FAILED.replace("\"tries\":9", "\"tries\":10");
        insta::assert_snapshot!(settled(&convoy(&given_up), "1h"), @r#"
        convoys/branch: create_bead bead={"escalation":{"bead_id":"c1","category":"branch_failed","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","status":"open","title":"branch failed: c1","type":"escalation"} bead_id=t1-e1
        convoys/branch: tell bead_id=c1 category=branch_failed escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] branch failed: c1

        its branch convoy/x/c1/head could not be created in 10 tries; see to the forge and its credentials, then acknowledge this topic=escalation:t1-e1
        at rest after 3 passes
        "#);
    }

    /// Whom its issues wait for says the convoy: the forge is asked no more.
    #[test]
    fn convoys_branch_that_was_given_up_keeps_its_issues_waiting_for_a_person() {
        let given_up = convoy(&FAILED.replace("\"tries\":9", "\"tries\":10"))
            .replace(" labels=[\"gt:held\"]", "");
        let (mut town, now) = (town(&given_up), crate::testing::at("1h"));
        let _ = crate::settle(&mut town, now);
        let waits = |id: &str| {
            let waits = crate::waits_for(&town, now, &id.parse().unwrap());
            let said = waits.iter().map(|wait| {
                let of = wait.id.as_deref().unwrap_or("none");
                alloc::format!("{} {:?} {of}: {}", wait.rule, wait.kind, wait.text)
            });
            said.collect::<alloc::vec::Vec<_>>().join("\n")
        };
        insta::assert_snapshot!(waits("b1"), @"dispatch/issue Bead c1: its convoy's feature branch is not there yet");
        insta::assert_snapshot!(waits("c1"), @"
        convoys/branch Person none: its branch can't be created in r1; a person was told
        convoys/close Bead b1: its issue b1 is open
        convoys/close Bead b2: its issue b2 is in_progress
        ");
    }

    #[test]
    fn convoys_branch_is_tried_again_once_a_person_asks() {
        let forgiven = FAILED.replace("\"tries\":9", "\"tries\":10,\"forgiven\":10");
        insta::assert_snapshot!(acts(&convoy(&forgiven), "1h"), @"convoys/branch: create_branch branch=convoy/x/c1/head convoy_id=c1 rig_id=r1");
    }

    #[test]
    fn convoys_branch_waits_while_the_credentials_are_missing() {
        let condition = r#"town conditions=[{"kind":"credentials_missing","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T10:00:00Z","told_at":"2026-04-04T10:00:00Z"}]"#;
        let text = alloc::format!("{condition}\n{}", convoy(r#"{"r1":{"state":"none"}}"#));
        let town = town(&text);
        let pass = crate::pass::Pass::new(&town, crate::testing::at("0s"));
        let bead = town.bead(&"c1".parse().unwrap()).unwrap();
        let verdict = super::evaluate(&pass, bead);
        assert!(
            matches!(verdict, crate::verdict::Verdict::Wait(_)),
            "{verdict:?}"
        );
    }

    #[test]
    fn convoys_branch_of_a_staged_convoy_can_wait() {
        let staged = convoy(r#"{"r1":{"state":"none"}}"#)
            .replace("convoy.total=2", "convoy.total=2 convoy.staged=true");
        insta::assert_snapshot!(acts(&staged, "0s"), @"nothing");
    }

    #[test]
    fn convoys_branch_around_its_threshold() {
        insta::assert_snapshot!(around(&convoy(FAILED), "0s"), @"
        just under: nothing, again at 2026-04-04T12:00:00.001Z
        at: nothing, again at 2026-04-04T12:00:00.001Z
        just over: convoys/branch
        ");
    }

    #[test]
    fn convoys_branch_around_the_limit_of_tries() {
        insta::assert_snapshot!(around_count(&convoy(&FAILED.replace(r#""tries":9"#, r#""tries":10"#)), r#""tries":10"#, "1h"), @"
        9: convoys/branch
        10: convoys/branch category=branch_failed
        11: convoys/branch category=branch_failed
        ");
    }

    #[test]
    fn convoys_branch_of_a_rig_without_issues_is_not_created() {
        let town = convoy(r#"{"r1":{"state":"created"},"r2":{"state":"none"}}"#)
            .replace("b2 issue open rig_id=r2", "b2 issue open rig_id=r1");
        assert_eq!(acts(&town, "0s"), "nothing");
    }

    /// A condition that is over, of another rig, or of merges alone keeps no branch from being made.
    #[test]
    fn convoys_branch_waits_for_no_other_conditions() {
        let with = |condition: &str| {
            let text = convoy(r#"{"r1":{"state":"none"}}"#);
            acts(
                &alloc::format!("town conditions=[{condition}]\n{text}"),
                "0s",
            )
            .contains("create_branch")
        };
        let of = |kind: &str, rig: &str, more: &str| {
            with(&alloc::format!(
                r#"{{"kind":"{kind}","subject":{{"kind":"rig","id":"{rig}"}},"since":"2026-04-04T10:00:00Z","told_at":"2026-04-04T10:00:00Z"{more}}}"#
            ))
        };
        assert!(!of("credentials_missing", "r1", ""));
        assert!(of("credentials_missing", "r2", ""));
        assert!(of("api_drift", "r1", ""));
        assert!(of(
            "credentials_missing",
            "r1",
            r#","ended_at":"2026-04-04T11:00:00Z""#
        ));
    }
}
