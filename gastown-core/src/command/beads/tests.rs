use crate::testing::{executes, town};

pub(in crate::command) const TOWN: &str = r#"
        rig r1
        rig r2
        agent a1 polecat working rig_id=r1 hook=b2 session=1
        bead b1 issue open rig_id=r1 body=old labels=["gt:pr-fixup","ui"] metadata.branch=fix metadata.mine=1
        bead b2 issue in_progress rig_id=r1 assignee=a1
        bead b3 issue in_review rig_id=r1
        bead b4 issue closed rig_id=r1
        bead e1 escalation open
        bead m1 merge_request in_progress rig_id=r1 review.source=b3 review.pr_url=https://github.com/acme/r1/pull/1 review.auto_merge.pending=true review.auto_merge.ready_since=-1m
        edge m1 tracks b3
        bead b5 issue open rig_id=r1 parent_id=m1 labels=["gt:pr-feedback"] metadata.pr_feedback_for=m1
        edge m1 blocks b5
    "#;

#[test]
fn update_changes_what_is_given_and_keeps_what_is_the_engine_s() {
    insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "b1", "title": "New", "body": null, "priority": "critical", "labels": ["gt:pr-fixup", "api"], "metadata": {"branch": "main", "yours": 2}, "rig_id": "r2"}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "b1"}
        "#), @r#"
        update_bead []: b1 is updated
          b1.body: "old" → -
          b1.labels: ["gt:pr-fixup","ui"] → ["api","gt:pr-fixup"]
          b1.metadata.mine: 1 → -
          b1.metadata.yours: - → 2
          b1.priority: "medium" → "critical"
          b1.rig_id: "r1" → "r2"
          b1.title: "b1" → "New"
        update_bead []: b1 is updated
        "#);
}

#[test]
fn update_refuses_engine_labels_and_moves_of_held_beads() {
    insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "b1", "labels": ["gt:held"]}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "b2", "rig_id": "r2"}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "b1", "rig_id": "r3"}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "b4", "title": "x"}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "b1", "metadata": "{}"}
        "#), @r#"
        refused Invalid: labels[0]: "gt:held" belongs to the engine
        refused Conflict: rig_id: can change only while the bead is open and no agent is hooked to it
        refused NotFound: rig_id: there is no rig "r3"
        refused Conflict: bead_id: bead "b4" is closed, which is final
        unreadable: metadata: expected a JSON object, found a string: pass the object itself, not JSON inside a string
        "#);
}

#[test]
fn update_leaves_a_pull_request_in_its_repository_and_a_landing_in_its_rig() {
    let town = "
            rig r1
            rig r2
            bead b1 issue in_review rig_id=r1
            bead c1 convoy open
            bead m1 merge_request open review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1
            bead m2 merge_request open rig_id=r1 review.source=c1 review.landing_rig=r1
            bead m3 merge_request open review.source=b1
        ";
    insta::assert_snapshot!(executes(town, r#"
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "m1", "rig_id": "r2"}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "m2", "rig_id": "r2"}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "m1", "rig_id": "r1"}
            {"type": "update_bead", "caller": {"kind": "mayor"}, "bead_id": "m3", "rig_id": "r2"}
        "#), @r#"
        refused Conflict: rig_id: its pull request https://github.com/acme/r1/pull/1 is not in the repository of rig r2
        refused Conflict: rig_id: it lands the convoy's branch of rig r1
        update_bead []: m1 is updated
          m1.rig_id: - → "r1"
        update_bead []: m3 is updated
          m3.rig_id: - → "r2"
        "#);
}

#[test]
fn hold_and_release() {
    insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "hold", "caller": {"kind": "mayor"}, "bead_id": "b3"}
            {"type": "hold", "caller": {"kind": "mayor"}, "bead_id": "b3"}
            {"type": "release", "caller": {"kind": "mayor"}, "bead_id": "b3"}
            {"type": "hold", "caller": {"kind": "mayor"}, "bead_id": "e1"}
            {"type": "hold", "caller": {"kind": "mayor"}, "bead_id": "b4"}
        "#), @r#"
        hold []: b3 is held
          b3.labels: [] → ["gt:held"]
        hold []: b3 is held already
        release []: b3 is released
          b3.labels: ["gt:held"] → []
          m1.review.poll.due_now: false → true
        refused Invalid: bead_id: is neither dispatched nor merged, so it can't be held
        refused Conflict: bead_id: bead "b4" is closed, which is final
        "#);
}

#[test]
fn close_and_fail() {
    insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "close_bead", "caller": {"kind": "mayor"}, "bead_id": "m1"}
            {"type": "fail_bead", "caller": {"kind": "mayor"}, "bead_id": "b2", "reason": "no longer wanted"}
            {"type": "close_bead", "caller": {"kind": "mayor"}, "bead_id": "b4"}
            {"type": "close_bead", "caller": {"kind": "mayor"}, "bead_id": "e1"}
        "#), @r#"
        close_bead []: m1 is now closed
          m1.review.auto_merge.pending: true → false
          m1.review.auto_merge.ready_since: "2026-04-04T11:59:00.000Z" → -
          m1.review.outcome: - → "withdrawn"
          m1.status: "in_progress" → "closed"
        fail_bead []: b2 is now failed
          b2.failure.code: - → "by_command"
          b2.failure.message: - → "no longer wanted"
          b2.failure.source: - → "fail_bead"
          b2.status: "in_progress" → "failed"
        refused Conflict: bead_id: bead "b4" is closed, which is final
        refused Invalid: bead_id: is an escalation; acknowledge it instead
        "#);
}

#[test]
fn a_closed_bead_s_agent_is_stopped_by_the_rules() {
    let mut town = town(TOWN);
    let now = crate::testing::at("0s");
    let command = crate::wire::command_from_str(
        r#"{"type": "close_bead", "caller": {"kind": "mayor"}, "bead_id": "b2"}"#,
    );
    town.execute(command.unwrap(), now).unwrap();
    let actions = crate::testing::lines(&crate::reconcile::reconcile(&town, now));
    assert!(
        actions.contains("agents/stop-terminal: stop_agent agent_id=a1"),
        "{actions}"
    );
}

#[test]
fn reopen_takes_the_bead_from_its_agent() {
    insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "reopen_bead", "caller": {"kind": "mayor"}, "bead_id": "b2"}
            {"type": "reopen_bead", "caller": {"kind": "mayor"}, "bead_id": "b1"}
        "#), @r#"
        reopen_bead []: b2 is open
          a1.hook: "b2" → -
          b2.assignee: "a1" → -
          b2.status: "in_progress" → "open"
        refused Conflict: bead_id: is open, expected in_progress or in_review
        "#);
}

#[test]
fn grant_gives_dispatches_and_forgets_what_was_told() {
    let spent = TOWN.replace(
        "rig_id=r1 body=old",
        "rig_id=r1 root=b4 dispatch_attempts=5 told.lineage_spent=-1h",
    );
    insta::assert_snapshot!(executes(&spent, r#"
            {"type": "grant", "caller": {"kind": "user", "id": "ann"}, "bead_id": "b1", "dispatches": 3}
            {"type": "grant", "caller": {"kind": "mayor"}, "bead_id": "b1", "dispatches": 3}
            {"type": "grant", "caller": {"kind": "user", "id": "ann"}, "bead_id": "b1", "dispatches": 1001}
            {"type": "grant", "caller": {"kind": "user", "id": "ann"}, "bead_id": "b4", "dispatches": 1}
        "#), @r#"
        grant []: 3 dispatches more for the line of work of b4
          b1.dispatch_attempts: 5 → 0
          b1.told.lineage_spent: "2026-04-04T11:00:00.000Z" → -
          town.lineages.b4.granted: - → 3
        refused Forbidden: caller: mayor may not grant
        refused Limit: dispatches: expected 1000 at most
        refused Conflict: bead_id: bead "b4" is closed, which is final
        "#);
}

/// What its refinery said is asked about no more: it is reviewed anew.
#[test]
fn reopened_reviews_are_no_longer_verified() {
    let town = "
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.verify.tries=1
            edge m1 tracks b1
        ";
    let done = executes(
        town,
        r#"{"type": "reopen_bead", "caller": {"kind": "mayor"}, "bead_id": "m1"}"#,
    );
    assert!(done.contains("m1.review.verify.tries: 1 → -"), "{done}");
}

/// Text, labels and priority make a bead new; its data and its rig do not (spec 1.10).
#[test]
fn updates_touch_a_bead_only_where_something_to_read_changed() {
    let update = |fields: &str| {
        let mut town = town("rig r1\nbead b1 issue open rig_id=r1 title=one updated_at=-1h");
        let command = alloc::format!(
            r#"{{"type": "update_bead", "caller": {{"kind": "mayor"}}, "bead_id": "b1"{fields}}}"#
        );
        let command = crate::wire::command_from_str(&command).unwrap();
        let now = crate::testing::at("0s");
        town.execute(command, now).unwrap();
        town.beads().next().unwrap().updated_at == now
    };
    for same in [
        "",
        r#", "metadata": {"x": 1}"#,
        r#", "rig_id": "r1""#,
        r#", "title": "one""#,
    ] {
        assert!(!update(same), "{same}");
    }
    for new in [
        r#", "title": "two""#,
        r#", "body": "x""#,
        r#", "priority": "high""#,
        r#", "labels": ["x"]"#,
    ] {
        assert!(update(new), "{new}");
    }
}

/// I14: without a rig any refinery would land it.
#[test]
fn update_leaves_a_landing_in_its_rig_and_a_bead_in_that_of_its_caller() {
    let town = "
            rig r1
            rig r2
            bead c1 convoy open convoy.total=1 convoy.closed=1
            bead b1 issue open rig_id=r1
            bead m1 merge_request open rig_id=r1 review.source=c1 review.convoy=c1 review.landing_rig=r1
            edge m1 tracks c1
        ";
    let update = |bead: &str, caller: &str| {
        executes(
            town,
            &std::format!(
                r#"{{"type": "update_bead", "caller": {{"kind": "user", "id": "ann"{caller}}}, "bead_id": "{bead}", "rig_id": null}}"#
            ),
        )
    };
    assert!(
        update("m1", "").contains("refused Conflict: rig_id: it lands"),
        "{}",
        update("m1", "")
    );
    assert!(
        update("b1", "").contains("b1.rig_id: \"r1\" → -"),
        "{}",
        update("b1", "")
    );
    let bound = update("b1", r#", "rig_id": "r1""#);
    assert!(bound.contains("refused Forbidden: rig_id"), "{bound}");
}
