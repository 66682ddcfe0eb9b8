use std::format;
use std::string::String;

use crate::bead::Bead;
use crate::testing::{GREEN, at, event_at, observed};

const SEEN: &str =
    r#""state":"open","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main""#;
const FEEDBACK: &str = r#""unresolved_threads":0,"threads_complete":true,"checks":{"state":"passing"},"checks_complete":true"#;

/// What a look changes, aside from the look itself and the record of looking.
fn look(town: &str, after: &str, fields: &str) -> String {
    let event =
        format!(r#"{{"type": "pr_observed", "bead_id": "m1", "observation": {{{fields}}}}}"#);
    let changes = observed(town, after, &event);
    let kept = changes
        .lines()
        .filter(|line| !line.contains(".review.observation.") && !line.contains("review.poll."));
    kept.collect::<std::vec::Vec<_>>().join("\n")
}

fn green(head: &str) -> String {
    format!(r#"{SEEN},"head_sha":"{head}","mergeable":"clean","feedback":{{{FEEDBACK}}}"#)
}

fn fresh() -> String {
    GREEN
            .replace("review.auto_merge.ready_since=-6m review.auto_merge.head_sha=h1 review.auto_merge.pending=true review.auto_merge.last_green_at=-10s ", "")
}

#[test]
fn good_green_starts_the_clock() {
    insta::assert_snapshot!(look(&fresh(), "0s", &green("h1")), @r#"
        observed: m1 was looked at
        m1.review.auto_merge.head_sha: - → "h1"
        m1.review.auto_merge.last_green_at: - → "2026-04-04T12:00:00.000Z"
        m1.review.auto_merge.ready_since: - → "2026-04-04T12:00:00.000Z"
        "#);
}

#[test]
fn good_green_for_the_delay_makes_the_merge_pending() {
    let waiting = |since: &str| {
        GREEN
            .replace("pending=true", "pending=false")
            .replace("ready_since=-6m", &format!("ready_since={since}"))
    };
    assert!(!look(&waiting("-299999ms"), "0s", &green("h1")).contains("pending"));
    let at_the_delay = look(&waiting("-5m"), "0s", &green("h1"));
    assert!(
        at_the_delay.contains("pending: false → true"),
        "{at_the_delay}"
    );
    assert!(!at_the_delay.contains("ready_since"), "{at_the_delay}");
}

#[test]
fn good_without_a_delay_is_pending_at_once() {
    let town = fresh().replace("auto_merge_delay_minutes=5", "auto_merge_delay_minutes=0");
    assert!(look(&town, "0s", &green("h1")).contains("pending: false → true"));
}

#[test]
fn good_a_gap_of_more_than_two_intervals_restarts_the_clock() {
    let gap = |ago: &str| {
        let town = GREEN.replace("last_green_at=-10s", &format!("last_green_at={ago}"));
        look(&town, "0s", &green("h1"))
    };
    assert!(!gap("-2m").contains("ready_since"));
    let restarted = gap("-120001ms");
    assert!(
        restarted
            .contains(r#"ready_since: "2026-04-04T11:54:00.000Z" → "2026-04-04T12:00:00.000Z""#),
        "{restarted}"
    );
    assert!(restarted.contains("pending: true → false"), "{restarted}");
}

/// The head of a snapshot that names none is the one that its clock or its last look names.
#[test]
fn good_the_head_of_the_clock_is_no_other_head() {
    let town = GREEN.replace("review.head_sha=h1 review.head_seen_at=-1h ", "");
    insta::assert_snapshot!(look(&town, "0s", &green("h1")), @r#"
        observed: m1 was looked at
        m1.review.auto_merge.last_green_at: "2026-04-04T11:59:50.000Z" → "2026-04-04T12:00:00.000Z"
        m1.review.head_sha: - → "h1"
        "#);
}

#[test]
fn good_no_checks_are_green_unless_the_head_is_new() {
    let none = green("h1").replace(r#""state":"passing""#, r#""state":"none""#);
    let seen = |ago: &str| {
        let town = fresh().replace("head_seen_at=-1h", &format!("head_seen_at={ago}"));
        look(&town, "0s", &none).contains("ready_since")
    };
    assert!(!seen("-59999ms"));
    assert!(seen("-60s"));
    // Not known when: a missing time counts from the creation (spec 1.10).
    let unknown = fresh().replace("review.head_seen_at=-1h ", "");
    assert!(look(&unknown, "0s", &none).contains("ready_since"));
    let another = none.replace("h1", "h2");
    assert!(!look(&unknown, "0s", &another).contains("ready_since"));
}

#[test]
fn good_not_green_stops_the_clock() {
    let blocked = green("h1").replace("clean", "blocked");
    insta::assert_snapshot!(look(GREEN, "0s", &blocked), @r#"
        observed: m1 was looked at
        m1.review.approval.awaiting_since: - → "2026-04-04T12:00:00.000Z"
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        "#);
}

#[test]
fn good_another_head_resets_what_belonged_to_the_old_one() {
    let town = GREEN.replace(
            "review.auto_merge.pending=true",
            r#"review.auto_merge.pending=true review.auto_merge.refusals=4 review.auto_merge.off_for_head=h1 review.conflict={"since":"2026-04-04T11:00:00Z"}"#,
        );
    insta::assert_snapshot!(look(&town, "0s", &green("h2")), @r#"
        observed: m1 was looked at
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.last_green_at: "2026-04-04T11:59:50.000Z" → -
        m1.review.auto_merge.off_for_head: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.auto_merge.refusals: 4 → 0
        m1.review.conflict.since: "2026-04-04T11:00:00.000Z" → -
        m1.review.head_seen_at: "2026-04-04T11:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        m1.review.head_sha: "h1" → "h2"
        "#);
}

#[test]
fn good_unknown_clears_pending_and_judges_nothing_else() {
    let unknown = green("h1")
        .replace("clean", "unknown")
        .replace(r#""unresolved_threads":0"#, r#""unresolved_threads":3"#);
    let town = GREEN.replace(
        "config.refinery",
        "config.refinery.auto_resolve_pr_feedback=true config.refinery",
    );
    insta::assert_snapshot!(look(&town, "0s", &unknown), @"
        observed: m1: whether it can be merged is not known yet
        m1.review.auto_merge.pending: true → false
        ");
}

/// I20: that another branch was merged, or this one elsewhere, is no evidence of its work.
#[test]
fn good_merged_of_other_work_closes_nothing_and_tells_once() {
    let merged = green("h1").replace(
        r#""state":"open""#,
        r#""state":"merged","merge_commit":"c1""#,
    );
    for (own, other) in [
        ("work/m1", "work/m2"),
        (r#""base_branch":"main""#, r#""base_branch":"dev""#),
    ] {
        let seen = merged.replace(own, other);
        assert_ne!(seen, merged);
        let after = look(GREEN, "0s", &seen);
        assert!(
            after.contains("its pull request was merged, but it"),
            "{after}"
        );
        assert!(after.contains("m1.told.pr_identity"), "{after}");
        assert!(
            !after.contains(".status: \"") && !after.contains("outcome"),
            "{after}"
        );
    }
}

#[test]
fn good_merged_closes_review_and_source() {
    let merged = green("h1").replace(
        r#""state":"open""#,
        r#""state":"merged","merge_commit":"c1""#,
    );
    let after = look(GREEN, "0s", &merged);
    for line in [
        r#"b1.status: "in_review" → "closed""#,
        r#"m1.review.merge_commit: - → "c1""#,
        r#"m1.review.outcome: - → "merged""#,
        r#"m1.status: "in_progress" → "closed""#,
    ] {
        assert!(after.contains(line), "{line}: {after}");
    }
}

#[test]
fn good_closed_fails_the_review_and_reopens_the_source() {
    let closed = green("h1").replace(r#""state":"open""#, r#""state":"closed""#);
    insta::assert_snapshot!(look(GREEN, "0s", &closed), @r#"
        observed: m1: its pull request was closed without a merge
        b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
        b1.status: "in_review" → "open"
        b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        m1.closed_at: - → "2026-04-04T12:00:00.000Z"
        m1.failure.code: - → "pr_closed"
        m1.failure.message: - → "its pull request was closed without a merge"
        m1.failure.source: - → "pr_observed"
        m1.status: "in_progress" → "failed"
        m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        m1.told.pr_closed: - → "2026-04-04T12:00:00.000Z"
        m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
        t1-e1.body: - → "its pull request was closed without a merge"
        t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.created_by: - → "system"
        t1-e1.escalation.bead_id: - → "m1"
        t1-e1.escalation.category: - → "pr_closed"
        t1-e1.escalation.severity: - → "high"
        t1-e1.id: - → "t1-e1"
        t1-e1.labels: - → ["gt:escalation","severity:high"]
        t1-e1.priority: - → "high"
        t1-e1.rig_id: - → "r1"
        t1-e1.root: - → "m1"
        t1-e1.status: - → "open"
        t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-e1.title: - → "pr closed: m1"
        t1-e1.type: - → "escalation"
        t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
}

#[test]
fn good_identity_is_told_once_and_never_green() {
    let other = green("h1").replace("work/m1", "other");
    let after = look(GREEN, "0s", &other);
    assert!(after.contains("m1.told.pr_identity"), "{after}");
    assert!(after.contains("pending: true → false"), "{after}");
    let told = GREEN.replace(
        "m1 merge_request in_progress",
        r#"m1 merge_request in_progress told={"pr_identity":"2026-04-04T11:00:00Z"}"#,
    );
    assert!(!look(&told, "0s", &other).contains("escalation"));
}

#[test]
fn good_dirty_makes_one_conflict_repair() {
    let dirty = green("h1").replace("clean", "dirty");
    insta::assert_snapshot!(look(GREEN, "0s", &dirty), @r#"
        observed: m1 was looked at
        m1 blocks t1-b1.bead_id: - → "m1"
        m1 blocks t1-b1.depends_on: - → "t1-b1"
        m1 blocks t1-b1.type: - → "blocks"
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.conflict.since: - → "2026-04-04T12:00:00.000Z"
        m1.review.repair_rounds.conflict: 0 → 1
        t1-b1 parent-child m1.bead_id: - → "t1-b1"
        t1-b1 parent-child m1.depends_on: - → "m1"
        t1-b1 parent-child m1.type: - → "parent-child"
        t1-b1.body: - → "https://github.com/acme/r1/pull/1 can't be merged into `main`. Check out `work/m1`, rebase onto `main`, resolve what conflicts, keep the intent of both sides, run the checks, and push to `work/m1`. Open no new pull request."
        t1-b1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.created_by: - → "system"
        t1-b1.id: - → "t1-b1"
        t1-b1.labels: - → ["gt:pr-conflict"]
        t1-b1.metadata.branch: - → "work/m1"
        t1-b1.metadata.head_sha: - → "h1"
        t1-b1.metadata.mr_bead_id: - → "m1"
        t1-b1.metadata.pr_url: - → "https://github.com/acme/r1/pull/1"
        t1-b1.metadata.source_bead_id: - → "b1"
        t1-b1.metadata.target_branch: - → "main"
        t1-b1.parent_id: - → "m1"
        t1-b1.priority: - → "high"
        t1-b1.rig_id: - → "r1"
        t1-b1.root: - → "m1"
        t1-b1.status: - → "open"
        t1-b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.title: - → "Resolve the conflicts of work/m1 with main"
        t1-b1.type: - → "issue"
        t1-b1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
}

#[test]
fn good_dirty_without_auto_resolve_tells_once() {
    let dirty = green("h1").replace("clean", "dirty");
    let town = GREEN.replace(
        "config.refinery",
        "config.refinery.auto_resolve_merge_conflicts=false config.refinery",
    );
    let after = look(&town, "0s", &dirty);
    assert!(after.contains("m1.told.merge_conflict"), "{after}");
    assert!(!after.contains("gt:pr-conflict"), "{after}");
}

fn with_repair(label: &str, status: &str, more: &str) -> String {
    format!(
        r#"{GREEN}
            bead w1 issue {status} rig_id=r1 labels=["gt:{label}"] metadata={{"head_sha":"h1"}} parent_id=m1 {more}
            edge m1 blocks w1"#
    )
}

#[test]
fn good_dirty_joins_a_live_feedback_repair() {
    let dirty = green("h1").replace("clean", "dirty");
    let after = look(&with_repair("pr-feedback", "in_progress", ""), "0s", &dirty);
    assert!(
        after.contains("w1.metadata.has_conflicts: - → true"),
        "{after}"
    );
    assert!(
        after.contains(r#"w1.metadata.conflict_target_branch: - → "main""#),
        "{after}"
    );
    assert!(!after.contains("t1-b"), "{after}");
}

#[test]
fn good_dirty_again_only_after_a_poll_interval_or_for_another_head() {
    let dirty = |head: &str| green(head).replace("clean", "dirty");
    let closed = |ago: &str| {
        with_repair("pr-conflict", "closed", "").replace(
            "review.auto_merge.pending=true",
            &format!(r#"review.conflict.since=-1h review.conflict.last_repair_closed_at={ago}"#),
        )
    };
    assert!(!look(&closed("-60s"), "0s", &dirty("h1")).contains("gt:pr-conflict"));
    assert!(look(&closed("-60001ms"), "0s", &dirty("h1")).contains("gt:pr-conflict"));
    assert!(look(&closed("0s"), "0s", &dirty("h2")).contains("gt:pr-conflict"));
}

#[test]
fn good_dirty_knows_a_repair_by_what_it_blocks() {
    let town = format!(
        r#"{GREEN}
            bead p1 issue open rig_id=r1 labels=["gt:pr-conflict"] metadata.mr_bead_id=m1
            edge m1 blocks p1"#
    );
    let after = look(&town, "0s", &green("h1").replace("clean", "dirty"));
    assert!(after.contains("m1.review.conflict.since"), "{after}");
    assert!(!after.contains("t1-b1"), "{after}");
}

/// The record of the last repair ends with the conflict; the bead itself still knows.
#[test]
fn good_dirty_again_waits_for_an_interval_since_the_repair_that_is_known() {
    let dirty = green("h1").replace("clean", "dirty");
    let closed = |ago: &str| {
        let town = format!(
            r#"{GREEN}
                bead p1 issue closed rig_id=r1 parent_id=m1 closed_at={ago} labels=["gt:pr-conflict"] metadata.mr_bead_id=m1 metadata.head_sha=h1
                edge p1 parent-child m1"#
        );
        look(&town, "0s", &dirty).contains("gt:pr-conflict")
    };
    assert!(!closed("-60s"));
    assert!(closed("-60001ms"));
}

#[test]
fn good_no_second_repair_after_one_failed_for_this_head() {
    let dirty = green("h1").replace("clean", "dirty");
    let after = look(&with_repair("pr-conflict", "failed", ""), "0s", &dirty);
    assert!(!after.contains("gt:pr-conflict"), "{after}");
}

#[test]
fn good_repair_rounds_are_spent_per_cause() {
    let spent = GREEN.replace(
        "review.auto_merge.pending=true",
        "review.repair_rounds.conflict=5",
    );
    let dirty = look(&spent, "0s", &green("h1").replace("clean", "dirty"));
    assert!(dirty.contains("m1.told.merge_conflict"), "{dirty}");
    let behind = look(&spent, "0s", &green("h1").replace("clean", "behind"));
    assert!(
        behind.contains("m1.review.repair_rounds.behind: 0 → 1"),
        "{behind}"
    );
}

fn feedback_town() -> String {
    GREEN.replace(
        "config.refinery",
        "config.refinery.auto_resolve_pr_feedback=true config.refinery",
    )
}

#[test]
fn good_feedback_makes_one_repair_that_says_what_is_wrong() {
    let wrong = green("h1")
        .replace(r#""unresolved_threads":0"#, r#""unresolved_threads":2"#)
        .replace(
            r#""state":"passing""#,
            r#""state":"failing","failing":["build","lint"]"#,
        );
    let after = look(&feedback_town(), "0s", &wrong);
    insta::assert_snapshot!(after, @r#"
        observed: m1 was looked at
        m1 blocks t1-b1.bead_id: - → "m1"
        m1 blocks t1-b1.depends_on: - → "t1-b1"
        m1 blocks t1-b1.type: - → "blocks"
        m1.review.auto_merge.head_sha: "h1" → -
        m1.review.auto_merge.pending: true → false
        m1.review.auto_merge.ready_since: "2026-04-04T11:54:00.000Z" → -
        m1.review.repair_rounds.feedback: 0 → 1
        t1-b1 parent-child m1.bead_id: - → "t1-b1"
        t1-b1 parent-child m1.depends_on: - → "m1"
        t1-b1 parent-child m1.type: - → "parent-child"
        t1-b1.body: - → "https://github.com/acme/r1/pull/1 needs work: 2 unresolved comment threads; failing checks (build, lint). Check out `work/m1`, look at each of these on the pull request itself, answer and resolve the threads that you settle, make the checks pass, and push to `work/m1`. Open no new pull request."
        t1-b1.created_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.created_by: - → "system"
        t1-b1.id: - → "t1-b1"
        t1-b1.labels: - → ["gt:pr-feedback"]
        t1-b1.metadata.branch: - → "work/m1"
        t1-b1.metadata.head_sha: - → "h1"
        t1-b1.metadata.pr_feedback_for: - → "m1"
        t1-b1.metadata.pr_url: - → "https://github.com/acme/r1/pull/1"
        t1-b1.parent_id: - → "m1"
        t1-b1.priority: - → "medium"
        t1-b1.rig_id: - → "r1"
        t1-b1.root: - → "m1"
        t1-b1.status: - → "open"
        t1-b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
        t1-b1.title: - → "Address the feedback on work/m1: 2 unresolved comment threads; failing checks (build, lint)"
        t1-b1.type: - → "issue"
        t1-b1.updated_at: - → "2026-04-04T12:00:00.000Z"
        town.sequence: 0 → 1
        "#);
    assert!(!look(GREEN, "0s", &wrong).contains("gt:pr-feedback"));
}

#[test]
fn good_pending_checks_are_no_feedback() {
    let pending = green("h1").replace(r#""state":"passing""#, r#""state":"pending""#);
    assert!(!look(&feedback_town(), "0s", &pending).contains("gt:pr-feedback"));
    let unread = green("h1").replace(r#""checks_complete":true"#, r#""checks_complete":false"#);
    let after = look(&feedback_town(), "0s", &unread);
    assert!(
        after.contains("checks that could not be inspected"),
        "{after}"
    );
}

#[test]
fn good_feedback_joins_a_live_conflict_repair() {
    let town = with_repair("pr-conflict", "open", "").replace(
        "config.refinery",
        "config.refinery.auto_resolve_pr_feedback=true config.refinery",
    );
    let wrong = green("h1").replace(r#""unresolved_threads":0"#, r#""unresolved_threads":2"#);
    let after = look(&town, "0s", &wrong);
    assert!(
        after.contains("w1.metadata.has_feedback: - → true"),
        "{after}"
    );
    assert!(!after.contains("gt:pr-feedback"), "{after}");
}

#[test]
fn good_approval_is_awaited_since_the_first_such_look() {
    let required = green("h1").replace(
        r#""checks_complete":true"#,
        r#""checks_complete":true,"decision":"review_required""#,
    );
    let after = look(GREEN, "0s", &required);
    assert!(
        after.contains(r#"m1.review.approval.awaiting_since: - → "2026-04-04T12:00:00.000Z""#),
        "{after}"
    );
    let blocked = green("h1").replace("clean", "blocked");
    assert!(look(GREEN, "0s", &blocked).contains("awaiting_since"));
    let awaited = GREEN.replace(
        "review.head_sha=h1",
        "review.head_sha=h1 review.approval.awaiting_since=-1h",
    );
    assert!(!look(&awaited, "0s", &required).contains("awaiting_since"));
    assert!(look(&awaited, "0s", &green("h1")).contains("awaiting_since"));
}

/// A merge that the forge blocks waits for an approval only where nothing else is missing.
#[test]
fn good_approval_is_not_awaited_while_something_else_is_missing() {
    let blocked = green("h1").replace("clean", "blocked");
    assert!(look(GREEN, "0s", &blocked).contains("awaiting_since"));
    for (from, to) in [
        (r#""base_branch":"main""#, r#""base_branch":"x""#),
        (
            r#""state":"passing""#,
            r#""state":"passing","pending":["a"]"#,
        ),
        (
            r#""state":"passing""#,
            r#""state":"passing","failing":["a"]"#,
        ),
        (
            r#""mergeable":"blocked""#,
            r#""mergeable":"blocked","merge_queue":"queued""#,
        ),
    ] {
        let other = blocked.replace(from, to);
        assert_ne!(other, blocked, "{from}");
        assert!(
            !look(GREEN, "0s", &other).contains("awaiting_since"),
            "{to}"
        );
    }
    let held = GREEN.replace("review.source=b1", r#"review.source=b1 labels=["gt:held"]"#);
    assert_ne!(held, GREEN);
    assert!(!look(&held, "0s", &blocked).contains("awaiting_since"));
}

#[test]
fn good_looks_that_are_older_or_foreign_are_ignored() {
    let event = |more: &str| {
        let fields = green("h1");
        format!(r#"{{"type": "pr_observed", {more} "bead_id": "m1", "observation": {{{fields}}}}}"#)
    };
    let older = event(r#""key": {"subject": "m1", "kind": "poll_pr", "attempt": 6},"#);
    insta::assert_snapshot!(observed(GREEN, "0s", &older), @"ignored: the result of an older look");
    let foreign = event(r#""pr_url": "https://github.com/acme/r1/pull/2","#);
    insta::assert_snapshot!(observed(GREEN, "0s", &foreign), @"ignored: the review has another pull request by now");
    let late = event(r#""at": "2026-04-04T11:59:49Z","#);
    insta::assert_snapshot!(observed(GREEN, "0s", &late), @"ignored: a newer look is known");
    // The clock that took the look before was ahead: no other would be newer until then.
    let look = observed(GREEN, "-11s", &event(""));
    assert!(look.starts_with("observed"), "{look}");
    let current = event(r#""key": {"subject": "m1", "kind": "poll_pr", "attempt": 7},"#);
    assert!(observed(GREEN, "0s", &current).starts_with("observed"));
}

#[test]
fn good_resets_strikes_and_ends_conditions() {
    let town = GREEN
            .replace("town config", r#"town conditions=[{"kind":"credentials_rejected","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T11:00:00Z"},{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T11:10:00Z"},{"kind":"rate_limited","subject":{"kind":"town"},"since":"2026-04-04T11:00:00Z","until":"2026-04-04T13:00:00Z"}] config"#)
            .replace("review.poll.attempts=7", "review.poll.attempts=7 review.poll.pr_errors=1 review.poll.transient_errors=3 review.poll.invalid_responses=1");
    let event = format!(
        r#"{{"type": "pr_observed", "bead_id": "m1", "observation": {{{}}}}}"#,
        green("h1")
    );
    let after = observed(&town, "0s", &event);
    assert!(
        after.contains("pr_errors: 1 → 0")
            && after.contains("transient_errors: 3 → 0")
            && after.contains("invalid_responses: 1 → 0"),
        "{after}"
    );
    let conditions = after
        .lines()
        .find(|line| line.starts_with("town.conditions"))
        .unwrap();
    assert!(
        !conditions
            .split('→')
            .nth(1)
            .unwrap()
            .contains("credentials_rejected"),
        "{conditions}"
    );
    assert!(
        conditions.contains(r#""ended_at":"2026-04-04T12:00:00.000Z""#),
        "{conditions}"
    );
}

/// Spec 4.4, 5: a feedback bead that was to resolve the conflicts, too, is the last repair of them.
#[test]
fn good_pauses_after_a_repair_that_had_the_conflicts_with_it() {
    let dirty = green("h1").replace(r#""mergeable":"clean""#, r#""mergeable":"dirty""#);
    let town = |closed_at: &str| {
        format!(
            r#"{GREEN}
        bead w0 issue closed rig_id=r1 parent_id=m1 created_at=-2h closed_at=-90m labels=["gt:pr-conflict"] metadata.mr_bead_id=m1 metadata.head_sha=h0
        bead w1 issue closed rig_id=r1 parent_id=m1 created_at=-1h closed_at={closed_at} labels=["gt:pr-feedback"] metadata.pr_feedback_for=m1 metadata.head_sha=h1 metadata.has_conflicts=true
        edge m1 blocks w0
        edge m1 blocks w1"#
        )
    };
    let soon = look(&town("-60s"), "0s", &dirty);
    assert!(!soon.contains("gt:pr-conflict"), "{soon}");
    let later = look(&town("-60001ms"), "0s", &dirty);
    assert!(later.contains("gt:pr-conflict"), "{later}");
}

/// Spec 3.4: the newest that was made for this head, not the newest of all.
#[test]
fn good_makes_no_second_repair_for_a_head_that_came_back() {
    let open = green("h1").replace(r#""unresolved_threads":0"#, r#""unresolved_threads":1"#);
    let town = |first: &str| {
        format!(
            r#"{GREEN}
        bead w1 issue {first} rig_id=r1 parent_id=m1 created_at=-2h labels=["gt:pr-feedback"] metadata.pr_feedback_for=m1 metadata.head_sha=h1
        bead w2 issue closed rig_id=r1 parent_id=m1 created_at=-1h labels=["gt:pr-feedback"] metadata.pr_feedback_for=m1 metadata.head_sha=h2
        edge m1 blocks w1
        edge m1 blocks w2"#
        )
    };
    let town = |first: &str| {
        town(first).replace(
            "config.refinery",
            "config.refinery.auto_resolve_pr_feedback=true config.refinery",
        )
    };
    let failed = look(&town("failed"), "0s", &open);
    assert!(!failed.contains("gt:pr-feedback"), "{failed}");
    let closed = look(&town("closed"), "0s", &open);
    assert!(closed.contains("gt:pr-feedback"), "{closed}");
}

/// Looks that alternate are no news, so that the mayor hears of what waits (`review/waiting`).
#[test]
fn good_what_can_t_be_read_this_time_is_no_change() {
    // Whether the last of some looks is a change.
    let changed = |looks: &[&String]| {
        let mut town = crate::testing::town(GREEN);
        let mut last = None;
        for (number, seen) in looks.iter().enumerate() {
            let now = at(&format!("{number}s"));
            let event =
                format!(r#"{{"type": "pr_observed", "bead_id": "m1", "observation": {{{seen}}}}}"#);
            let mut event = event_at(&event, now);
            event.id = format!("look{number}").parse().unwrap();
            town.observe(&event, now);
            last = Some(now);
        }
        let review = town.bead(&"m1".parse().unwrap()).and_then(Bead::review);
        review.and_then(|it| it.poll.changed_at) == last
    };
    let whole = green("h1");
    let with = |from: &str, to: &str| {
        let other = whole.replace(from, to);
        assert_ne!(other, whole);
        other
    };
    let threads = with(r#""threads_complete":true"#, r#""threads_complete":false"#);
    let checks = with(r#""checks_complete":true"#, r#""checks_complete":false"#);
    let neither = threads.replace(r#""checks_complete":true"#, r#""checks_complete":false"#);
    let mergeable = with("clean", "unknown");
    for unread in [&threads, &checks, &neither, &mergeable] {
        assert!(!changed(&[&whole, unread]), "{unread}");
        assert!(!changed(&[&whole, unread, &whole]), "{unread}");
        assert!(!changed(&[&whole, unread, unread, &whole]), "{unread}");
    }
    // What changed meanwhile is seen once it is read.
    let (dirty, failing) = (with("clean", "dirty"), with("passing", "failing"));
    let open = with(r#""unresolved_threads":0"#, r#""unresolved_threads":1"#);
    for (unread, other) in [
        (&mergeable, &dirty),
        (&checks, &failing),
        (&threads, &open),
        (&neither, &open),
    ] {
        assert!(changed(&[&whole, other]), "{other}");
        assert!(changed(&[&whole, unread, other]), "{unread} {other}");
    }
    // So is what the unread part says nothing of, and another head.
    assert!(changed(&[&whole, &threads.replace("passing", "failing")]));
    assert!(changed(&[&whole, &threads.replace("h1", "h2")]));
}

/// What looks show and the next look shows otherwise is said once while the word of before stands.
#[test]
fn good_feedback_that_comes_and_goes_is_told_once() {
    let unread = green("h1").replace(r#""checks_complete":true"#, r#""checks_complete":false"#);
    let tells = |word: &str| {
        let town = feedback_town().replace(
            "review.auto_merge.pending=true",
            "review.repair_rounds.feedback=5",
        );
        let said = format!(
            "{town}\nbead e1 escalation open created_by=system escalation.severity=high escalation.bead_id=m1 escalation.category=repair_rounds_spent {word}"
        );
        let told = look(&said, "0s", &unread);
        assert!(told.contains("m1.told.repair_rounds_spent"), "{told}");
        told.contains("t1-e1.status")
    };
    assert!(!tells("created_at=-239m"));
    assert!(tells("created_at=-240m"), "re_escalate_every");
    assert!(tells("created_at=-1m escalation.acknowledged_at=0s"));
}
