//! Work that comes late, or that nobody reviews.

use std::string::String;
use std::vec::Vec;

use super::POLECAT;
use crate::invariants::{Cause, check_step};
use crate::testing::{acts, at, event_at, observed, town};

/// A town in which these agents say `done` one after the other, with each answer; `acknowledge` is a
/// person's. Then what people were told, and whether they hear it from here on.
fn told_of(text: &str, said: &[&str]) -> String {
    let mut town = town(text);
    let mut out = Vec::new();
    for (number, said) in said.iter().enumerate() {
        let before = town.clone();
        if let Some(command) = said.strip_prefix("by ann: ") {
            let command = command.replace('}', r#", "caller": {"kind": "user", "id": "ann"}}"#);
            let command = crate::wire::command_from_str(&command).unwrap();
            out.push(town.execute(command, at("0s")).unwrap().text);
            let found = check_step(&before, Cause::Command, &town, at("0s"));
            assert_eq!(found, [], "{said}");
            continue;
        }
        let (agent, rest) = said.split_once(' ').unwrap();
        let event = std::format!(r#"{{"type": "agent_done", "agent_id": "{agent}", {rest}}}"#);
        let mut event = event_at(&event, at("0s"));
        event.id = std::format!("ev{number}").parse().unwrap();
        out.push(town.observe(&event, at("0s")).why);
        let found = check_step(&before, Cause::Event(&event), &town, at("0s"));
        assert_eq!(found, [], "{said}");
    }
    for said in town.beads().filter(|bead| bead.escalation().is_some()) {
        let (status, body) = (said.status.as_str(), said.body.as_deref());
        out.push(std::format!(
            "{} {status}: {}",
            said.id,
            body.unwrap_or("-")
        ));
    }
    out.join("\n")
}

const ENDED: &str = "
    rig r1
    agent a1 polecat idle name=Ash rig_id=r1 session=1 last_bead=b1
    agent a2 polecat idle name=Birch rig_id=r1 session=1 last_bead=b1
    agent a3 polecat idle name=Cedar rig_id=r1 session=1 last_bead=b1
    bead b1 issue closed rig_id=r1
";

/// Spec 4.1, 1: all finished work is told of, with its branch and its pull request.
#[test]
fn done_that_comes_late_again_is_told_in_the_word_that_stands() {
    insta::assert_snapshot!(told_of(ENDED, &[
        r#"a1 "branch": "gt/ash/b1""#,
        r#"a2 "branch": "gt/birch/b1", "pr_url": "https://github.com/acme/r1/pull/12""#,
        r#"a3 "branch": "gt/birch/b1", "pr_url": "https://github.com/acme/r1/pull/1""#,
    ]), @"
    b1 had been given away or had ended; a person is told
    b1 had been given away or had ended; a person is told
    b1 had been given away or had ended; a person is told
    t1-e1 open: agent Ash finished work for this bead after it was given away or had ended: branch gt/ash/b1, pull request none

    agent Birch finished work for this bead after it was given away or had ended: branch gt/birch/b1, pull request https://github.com/acme/r1/pull/12

    agent Cedar finished work for this bead after it was given away or had ended: branch gt/birch/b1, pull request https://github.com/acme/r1/pull/1
    ");
}

#[test]
fn done_that_comes_late_with_the_same_branch_and_pull_request_is_told_once() {
    insta::assert_snapshot!(told_of(ENDED, &[
        r#"a1 "branch": "x""#,
        r#"a2 "branch": "x""#,
    ]), @"
    b1 had been given away or had ended; a person is told
    b1 had been given away or had ended; a person is told
    t1-e1 open: agent Ash finished work for this bead after it was given away or had ended: branch x, pull request none
    ");
}

/// Who took note of the first has not heard of the second.
#[test]
fn done_that_comes_late_after_the_first_was_acknowledged_is_told_anew() {
    insta::assert_snapshot!(told_of(ENDED, &[
        r#"a1 "branch": "x""#,
        r#"by ann: {"type": "acknowledge", "escalation_id": "t1-e1"}"#,
        r#"a2 "branch": "x""#,
        r#"a3 "branch": "y""#,
    ]), @"
    b1 had been given away or had ended; a person is told
    escalation t1-e1 is closed
    b1 had been given away or had ended; a person is told
    b1 had been given away or had ended; a person is told
    t1-e1 closed: agent Ash finished work for this bead after it was given away or had ended: branch x, pull request none
    t1-e2 open: agent Cedar finished work for this bead after it was given away or had ended: branch y, pull request none
    ");
}

/// What was added to a word that the mayor has heard is heard, too.
#[test]
fn done_that_comes_late_again_reaches_the_mayor() {
    let told = ENDED.replace("rig_id=r1\n", "rig_id=r1 told.late_done=-1m\n")
        + "bead t1-e9 escalation open created_at=-1m created_by=system escalation.bead_id=b1 escalation.category=late_done escalation.severity=high escalation.notified_at=-1m body=first";
    assert_eq!(acts(&told, "0s"), "nothing");
    let mut town = town(&told);
    let late = event_at(
        r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#,
        at("0s"),
    );
    town.observe(&late, at("0s"));
    let settled = crate::reconcile::settle(&mut town, at("0s"));
    insta::assert_snapshot!(crate::testing::lines(&settled.actions), @"
    escalations/notify: notify_mayor message=[high] t1-e9

    first

    agent Ash finished work for this bead after it was given away or had ended: branch x, pull request none topic=escalation:t1-e9
    ");
}

/// Spec 4.1, 1: *was not dispatched again*, whatever the others do by now. A pause that its own end began
/// is no dispatch.
#[test]
fn done_that_comes_late_is_accepted_unless_the_bead_was_dispatched_again() {
    let answer = |agent: &str, bead: &str| {
        let town = std::format!(
            "
            rig r1
            agent a1 polecat idle rig_id=r1 session=1 last_bead=b1 {agent}
            agent a3 polecat working rig_id=r1 hook=b9 session=2 dispatched_at=-1m last_bead=b9
            bead b1 issue open rig_id=r1 {bead}
            bead b9 issue in_progress rig_id=r1 assignee=a3"
        );
        let late = r#"{"type": "agent_done", "agent_id": "a1", "bead_id": "b1", "branch": "x"}"#;
        let seen = observed(&town, "0s", late);
        let answer = seen.lines().next().unwrap_or_default();
        std::format!("{agent} | {bead} | {answer}")
    };
    let rows = [
        answer("dispatched_at=-50m", "last_dispatch_attempt_at=-50m"),
        answer("dispatched_at=-50m", "last_dispatch_attempt_at=-51m"),
        answer("dispatched_at=-50m", "last_dispatch_attempt_at=-49m"),
        answer(
            "dispatched_at=-50m exited_at=-20s",
            "last_dispatch_attempt_at=-20s",
        ),
        answer(
            "dispatched_at=-50m exited_at=-20s",
            "last_dispatch_attempt_at=-19s",
        ),
        // Of a loaded agent nobody may know when it was sent.
        answer("dispatched_at=null", "last_dispatch_attempt_at=-20s"),
    ];
    insta::assert_snapshot!(rows.join("\n"), @"
    dispatched_at=-50m | last_dispatch_attempt_at=-50m | observed: t1-m1 reviews branch x
    dispatched_at=-50m | last_dispatch_attempt_at=-51m | observed: t1-m1 reviews branch x
    dispatched_at=-50m | last_dispatch_attempt_at=-49m | observed: b1 had been given away or had ended; a person is told
    dispatched_at=-50m exited_at=-20s | last_dispatch_attempt_at=-20s | observed: t1-m1 reviews branch x
    dispatched_at=-50m exited_at=-20s | last_dispatch_attempt_at=-19s | observed: b1 had been given away or had ended; a person is told
    dispatched_at=null | last_dispatch_attempt_at=-20s | observed: t1-m1 reviews branch x
    ");
}

/// The container may say first that the session is gone; the pause is its own all the same.
#[test]
fn done_of_a_polecat_whose_container_was_seen_to_end_first_is_accepted() {
    let mut town = town(&POLECAT.replace("session=2", "session=2 dispatched_at=-9m"));
    let answers = [
        (
            "-3m",
            r#"{"type": "container_status", "agent_id": "a1", "session": 2, "status": "exited"}"#,
        ),
        (
            "-2m",
            r#"{"type": "agent_exited", "agent_id": "a1", "session": 2, "status": "completed"}"#,
        ),
        (
            "-1m",
            r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"}"#,
        ),
    ]
    .map(|(time, text)| {
        let mut event = event_at(text, at(time));
        event.id = std::format!("ev{time}").parse().unwrap();
        town.observe(&event, at(time)).why
    });
    insta::assert_snapshot!(answers.join("\n"), @"
    the session has ended
    the session has ended
    t1-m1 reviews branch x
    ");
}

/// I20: a review of what all work goes to would land by itself. A fact can't be refused, so a person looks.
#[test]
fn done_on_the_branch_that_all_work_goes_to_waits_for_a_person() {
    insta::assert_snapshot!(observed(POLECAT, "0s", r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "main", "pr_url": "https://github.com/acme/r1/pull/7"}"#), @r#"
    observed: b1 is held: its branch is the rig's default branch; a person is told
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "b1" → -
    a1.status: "working" → "idle"
    b1.assignee: "a1" → -
    b1.labels: [] → ["gt:held"]
    b1.status: "in_progress" → "open"
    b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    b1.told.shared_branch: - → "2026-04-04T12:00:00.000Z"
    b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    t1-e1.body: - → "agent a1 is done on a branch that is the rig's default branch, of which a review proves nothing; close the bead if its work is there, or release it to be done again: branch main, pull request https://github.com/acme/r1/pull/7"
    t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.created_by: - → "system"
    t1-e1.escalation.bead_id: - → "b1"
    t1-e1.escalation.category: - → "shared_branch"
    t1-e1.escalation.severity: - → "high"
    t1-e1.id: - → "t1-e1"
    t1-e1.labels: - → ["gt:escalation","severity:high"]
    t1-e1.priority: - → "high"
    t1-e1.rig_id: - → "r1"
    t1-e1.root: - → "b1"
    t1-e1.status: - → "open"
    t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.title: - → "shared branch: b1"
    t1-e1.type: - → "escalation"
    t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
    town.sequence: 0 → 1
    "#);
    let of_convoy = std::format!(
        "{POLECAT}\nbead c1 convoy open convoy.feature_branch=convoy/x/c1/head\nedge b1 tracks c1"
    );
    for branch in ["main", "convoy/x/c1/head"] {
        let done =
            std::format!(r#"{{"type": "agent_done", "agent_id": "a1", "branch": "{branch}"}}"#);
        let seen = observed(&of_convoy, "0s", &done);
        assert!(
            seen.starts_with("observed: b1 is held: its branch is the"),
            "{seen}"
        );
        assert!(!seen.contains("t1-m1"), "{seen}");
    }
}

/// It is told each time that a person let it be done again.
#[test]
fn done_on_a_shared_branch_again_is_told_again() {
    let held = POLECAT.replace(
        "in_progress rig_id=r1 assignee=a1",
        "in_progress rig_id=r1 assignee=a1 told.shared_branch=-1h",
    );
    let still = held.replace(
        "in_progress rig_id=r1 assignee=a1",
        "open rig_id=r1 labels=[\"gt:held\"]",
    );
    assert!(!acts(&still, "0s").contains("told-over"));
    let released = acts(&held, "0s");
    insta::assert_snapshot!(released, @"beads/told-over: untell bead_id=b1 category=shared_branch");
    let anew = POLECAT.replace("session=2", "session=3")
        + "bead t1-e9 escalation open created_at=-1h created_by=system escalation.bead_id=b1 escalation.category=shared_branch body=first";
    let seen = observed(
        &anew,
        "0s",
        r#"{"type": "agent_done", "agent_id": "a1", "branch": "main"}"#,
    );
    assert!(
        seen.contains("t1-e1.escalation.category: - → \"shared_branch\""),
        "{seen}"
    );
}
