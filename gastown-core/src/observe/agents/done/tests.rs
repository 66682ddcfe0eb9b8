use crate::event::Event;
use crate::testing::{at, event_at, observed};

mod late;

const POLECAT: &str = "
    rig r1
    agent a1 polecat working rig_id=r1 hook=b1 session=2 reported=true last_bead=b1 last_activity_at=-1s
    bead b1 issue in_progress rig_id=r1 assignee=a1 priority=high
";

#[test]
fn done_of_a_polecat_puts_its_work_under_review() {
    insta::assert_snapshot!(observed(POLECAT, "0s", r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "gt/amber/b1", "summary": "did it"}"#), @r#"
    observed: t1-m1 reviews branch gt/amber/b1
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "b1" → -
    a1.status: "working" → "idle"
    b1.status: "in_progress" → "in_review"
    b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    t1-m1 tracks b1.bead_id: - → "t1-m1"
    t1-m1 tracks b1.depends_on: - → "b1"
    t1-m1 tracks b1.type: - → "tracks"
    t1-m1.body: - → "did it"
    t1-m1.created_at: - → "2026-04-04T12:00:00.000Z"
    t1-m1.created_by: - → "a1"
    t1-m1.id: - → "t1-m1"
    t1-m1.labels: - → ["gt:merge-request"]
    t1-m1.priority: - → "high"
    t1-m1.review.branch: - → "gt/amber/b1"
    t1-m1.review.source: - → "b1"
    t1-m1.review.source_agent: - → "a1"
    t1-m1.review.target_branch: - → "main"
    t1-m1.rig_id: - → "r1"
    t1-m1.root: - → "b1"
    t1-m1.status: - → "open"
    t1-m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    t1-m1.title: - → "Review: b1"
    t1-m1.type: - → "merge_request"
    t1-m1.updated_at: - → "2026-04-04T12:00:00.000Z"
    town.sequence: 0 → 1
    "#);
}

#[test]
fn done_of_an_older_session_is_ignored() {
    insta::assert_snapshot!(observed(POLECAT, "0s", r#"{"type": "agent_done", "agent_id": "a1", "session": 1, "branch": "x"}"#), @"ignored: session 1 is not the current one, 2");
}

#[test]
fn done_stores_a_pull_request_of_the_rig_and_drops_any_other() {
    let stored = observed(
        POLECAT,
        "0s",
        r#"{"type": "agent_done", "agent_id": "a1", "branch": "x", "pr_url": "https://github.com/acme/r1/pull/7"}"#,
    );
    assert!(
        stored.contains(r#"review.pr_url: - → "https://github.com/acme/r1/pull/7""#),
        "{stored}"
    );
    for dropped in [
        "https://github.com/acme/other/pull/7",
        "http://github.com/acme/r1/pull/7",
        "nonsense",
    ] {
        let event = std::format!(
            r#"{{"type": "agent_done", "agent_id": "a1", "branch": "x", "pr_url": "{dropped}"}}"#
        );
        let after = observed(POLECAT, "0s", &event);
        assert!(!after.contains("pr_url"), "{after}");
        assert!(
            after.contains(r#"b1.status: "in_progress" → "in_review""#),
            "{after}"
        );
    }
}

#[test]
fn done_of_a_repair_closes_it_without_a_review() {
    let town = POLECAT.replace("priority=high", r#"labels=["gt:rework"] parent_id=m1"#);
    insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#), @r#"
    observed: b1 is closed; no review follows
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "b1" → -
    a1.status: "working" → "idle"
    b1.closed_at: - → "2026-04-04T12:00:00.000Z"
    b1.status: "in_progress" → "closed"
    b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    "#);
}

#[test]
fn done_reuses_a_live_review_of_the_same_branch() {
    let town = std::format!(
        "{POLECAT}\nbead m1 merge_request in_progress rig_id=r1 review.source=b1 review.branch=x review.reviewed.at=-1h\nedge m1 tracks b1"
    );
    insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#), @r#"
    observed: m1 reviews branch x
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "b1" → -
    a1.status: "working" → "idle"
    b1.status: "in_progress" → "in_review"
    b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    m1.review.reviewed.at: "2026-04-04T11:00:00.000Z" → -
    m1.status: "in_progress" → "open"
    m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    "#);
}

#[test]
fn done_that_comes_late_is_accepted_or_told() {
    let town = POLECAT
        .replace("hook=b1 ", "")
        .replace("working", "idle")
        .replace("in_progress", "open");
    let event = r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#;
    assert!(observed(&town, "0s", event).contains(r#"b1.status: "open" → "in_review""#));
    let closed = town.replace("issue open", "issue closed");
    insta::assert_snapshot!(observed(&closed, "0s", event), @r#"
    observed: b1 had been given away or had ended; a person is told
    a1.done_session: - → 2
    b1.told.late_done: - → "2026-04-04T12:00:00.000Z"
    t1-e1.body: - → "agent a1 finished work for this bead after it was given away or had ended: branch x, pull request none"
    t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.created_by: - → "system"
    t1-e1.escalation.bead_id: - → "b1"
    t1-e1.escalation.category: - → "late_done"
    t1-e1.escalation.severity: - → "high"
    t1-e1.id: - → "t1-e1"
    t1-e1.labels: - → ["gt:escalation","severity:high"]
    t1-e1.priority: - → "high"
    t1-e1.rig_id: - → "r1"
    t1-e1.root: - → "b1"
    t1-e1.status: - → "open"
    t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.title: - → "late done: b1"
    t1-e1.type: - → "escalation"
    t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
    town.sequence: 0 → 1
    "#);
    let taken = std::format!("{town}\nagent a2 polecat working rig_id=r1 hook=b1 session=1");
    assert!(observed(&taken, "0s", event).contains("b1.told.late_done"));
}

const REFINERY: &str = "
    rig r1
    agent a1 refinery working rig_id=r1 hook=m1 session=2 last_activity_at=-1s
    bead b1 issue in_review rig_id=r1
    bead m1 merge_request in_progress rig_id=r1 assignee=a1 review.source=b1
    edge m1 tracks b1
";

#[test]
fn done_of_a_refinery_is_verified_where_the_way_is_direct() {
    insta::assert_snapshot!(observed(REFINERY, "0s", r#"{"type": "agent_done", "agent_id": "a1", "branch": "x", "merge_commit": "abc"}"#), @r#"
    observed: whether m1 landed is being verified
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "m1" → -
    a1.status: "working" → "idle"
    m1.review.verify.merge_commit: - → "abc"
    "#);
}

#[test]
fn done_of_a_refinery_with_a_pull_request_passes_its_head() {
    let town = std::format!(r#"town config.merge_strategy=pr {}"#, "")
        + &REFINERY.replace(
            "review.source=b1",
            "review.source=b1 review.pr_url=https://github.com/acme/r1/pull/3",
        );
    insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_done", "agent_id": "a1", "branch": "x", "head_sha": "abc"}"#), @r#"
    observed: m1 is reviewed; the forge decides
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "m1" → -
    a1.status: "working" → "idle"
    m1.review.poll.due_now: false → true
    m1.review.reviewed.at: - → "2026-04-04T12:00:00.000Z"
    m1.review.reviewed.head_sha: - → "abc"
    "#);
}

#[test]
fn done_of_a_refinery_without_a_pull_request_where_one_is_needed_fails_the_review() {
    let town = std::format!("town config.merge_strategy=pr {REFINERY}");
    insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#), @r#"
    observed: m1 failed: the refinery is done, but there is no pull request to watch
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "m1" → -
    a1.status: "working" → "idle"
    b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
    b1.status: "in_review" → "open"
    b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    m1.closed_at: - → "2026-04-04T12:00:00.000Z"
    m1.failure.code: - → "no_pr_url"
    m1.failure.message: - → "the refinery is done, but there is no pull request to watch"
    m1.failure.source: - → "done"
    m1.status: "in_progress" → "failed"
    m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    m1.told.no_pr_url: - → "2026-04-04T12:00:00.000Z"
    m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    t1-e1.body: - → "the refinery is done, but there is no pull request to watch"
    t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.created_by: - → "system"
    t1-e1.escalation.bead_id: - → "m1"
    t1-e1.escalation.category: - → "no_pr_url"
    t1-e1.escalation.severity: - → "high"
    t1-e1.id: - → "t1-e1"
    t1-e1.labels: - → ["gt:escalation","severity:high"]
    t1-e1.priority: - → "high"
    t1-e1.rig_id: - → "r1"
    t1-e1.root: - → "m1"
    t1-e1.status: - → "open"
    t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.title: - → "no pr url: m1"
    t1-e1.type: - → "escalation"
    t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
    town.sequence: 0 → 1
    "#);
}

#[test]
fn done_of_a_refinery_that_asked_for_changes_only_releases_it() {
    let town = REFINERY.replace("review.source=b1", "review.source=b1 review.changes_requested_in.agent_id=a1 review.changes_requested_in.session=2");
    insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_done", "agent_id": "a1", "branch": "x", "merge_commit": "abc"}"#), @r#"
    observed: m1 waits for its rework
    a1.done_session: - → 2
    a1.exited_at: - → "2026-04-04T12:00:00.000Z"
    a1.hook: "m1" → -
    a1.status: "working" → "idle"
    "#);
}

#[test]
fn done_of_a_refinery_that_lost_its_hook_can_prove_nothing_without_a_pull_request() {
    let town = REFINERY.replace("hook=m1 ", "").replace("working", "idle");
    insta::assert_snapshot!(observed(&town, "0s", r#"{"type": "agent_done", "agent_id": "a1", "branch": "x", "summary": "merged it"}"#), @r#"
    observed: m1 failed: a refinery that had lost its hook says that it is done, which can't be proven; it says: merged it
    a1.done_session: - → 2
    b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
    b1.status: "in_review" → "open"
    b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    m1.closed_at: - → "2026-04-04T12:00:00.000Z"
    m1.failure.code: - → "refinery_unhooked_done"
    m1.failure.message: - → "a refinery that had lost its hook says that it is done, which can't be proven; it says: merged it"
    m1.failure.source: - → "done"
    m1.status: "in_progress" → "failed"
    m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    m1.told.refinery_unhooked_done: - → "2026-04-04T12:00:00.000Z"
    m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    t1-e1.body: - → "a refinery that had lost its hook says that it is done, which can't be proven; it says: merged it"
    t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.created_by: - → "system"
    t1-e1.escalation.bead_id: - → "m1"
    t1-e1.escalation.category: - → "refinery_unhooked_done"
    t1-e1.escalation.severity: - → "high"
    t1-e1.id: - → "t1-e1"
    t1-e1.labels: - → ["gt:escalation","severity:high"]
    t1-e1.priority: - → "high"
    t1-e1.rig_id: - → "r1"
    t1-e1.root: - → "m1"
    t1-e1.status: - → "open"
    t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.title: - → "refinery unhooked done: m1"
    t1-e1.type: - → "escalation"
    t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
    town.sequence: 0 → 1
    "#);
    let with_pr = town.replace(
        "review.source=b1",
        "review.source=b1 review.pr_url=https://github.com/acme/r1/pull/3",
    );
    assert!(
        observed(
            &with_pr,
            "0s",
            r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#
        )
        .contains("it is not reviewed")
    );
}

/// It may have been sent before the way was changed; what it did is proven, not made again.
#[test]
fn done_of_a_refinery_that_names_its_merge_is_verified_whatever_the_way_is_now() {
    let town = std::format!("town config.merge_strategy=pr {REFINERY}");
    let done = observed(
        &town,
        "0s",
        r#"{"type": "agent_done", "agent_id": "a1", "branch": "x", "merge_commit": "c1"}"#,
    );
    assert!(
        done.contains(r#"m1.review.verify.merge_commit: - → "c1""#),
        "{done}"
    );
    assert!(!done.contains("m1.failure"), "{done}");
}

/// A landing where pull requests are the way needs one, like any other review.
#[test]
fn done_of_a_refinery_that_lands_without_a_pull_request_where_one_is_needed() {
    let town = std::format!("town config.merge_strategy=pr {REFINERY}\nbead c1 convoy open")
        .replace(
            "review.source=b1",
            "review.source=c1 review.convoy=c1 review.landing_rig=r1",
        )
        .replace("edge m1 tracks b1", "edge m1 tracks c1");
    let done = observed(
        &town,
        "0s",
        r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#,
    );
    assert!(
        done.contains("m1.failure.code: - → \"no_pr_url\""),
        "{done}"
    );
    let direct = town.replace("merge_strategy=pr", "merge_strategy=direct");
    let done = observed(
        &direct,
        "0s",
        r#"{"type": "agent_done", "agent_id": "a1", "branch": "x"}"#,
    );
    assert!(
        done.contains("whether m1 landed is being verified"),
        "{done}"
    );
}

#[test]
fn done_of_a_refinery_that_lost_its_hook_with_an_invalid_url_keeps_the_stored_one() {
    let town = REFINERY
        .replace("hook=m1 ", "")
        .replace("working", "idle")
        .replace(
            "review.source=b1",
            "review.source=b1 review.pr_url=https://github.com/acme/r1/pull/3",
        );
    let done = observed(
        &town,
        "0s",
        r#"{"type": "agent_done", "agent_id": "a1", "branch": "x", "pr_url": "nonsense"}"#,
    );
    assert!(
        done.contains("m1 has a pull request; it is not reviewed"),
        "{done}"
    );
    assert!(
        !done.contains("m1.review.pr_url") && !done.contains("m1.status"),
        "{done}"
    );
}

/// A session speaks of its own review, and not of what waits to be verified.
#[test]
fn done_of_an_unhooked_refinery_is_of_its_session_and_of_nothing_under_verify() {
    let lost = REFINERY.replace("working rig_id=r1 hook=m1", "idle rig_id=r1");
    let done = r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"}"#;
    assert!(observed(&lost, "0s", done).contains("refinery_unhooked_done"));
    let other = lost.replace("session=2", "session=2 last_bead=m9");
    assert!(observed(&other, "0s", done).starts_with("ignored"));
    let named = done.replace("\"branch\"", "\"bead_id\": \"m9\", \"branch\"");
    assert!(observed(&lost, "0s", &named).starts_with("ignored"));
    let verified = lost.replace(
        "review.source=b1",
        r#"review.source=b1 review.verify={"number":1,"asked_at":"2026-04-04T12:00:00Z","tries":1}"#,
    );
    assert!(observed(&verified, "0s", done).starts_with("ignored"));
}

/// I12: new work came while it looked at the old; what it says is of no head that there is.
#[test]
fn done_of_a_refinery_passes_nothing_that_was_opened_again_meanwhile() {
    let town = REFINERY.replace(
        "merge_request in_progress rig_id=r1 assignee=a1",
        "merge_request open rig_id=r1 status_changed_at=-1m review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h2",
    );
    let town = town.replace("session=2", "session=2 dispatched_at=-2m");
    let told = observed(
        &town,
        "0s",
        r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"}"#,
    );
    assert!(told.starts_with("observed: m1 has new work"), "{told}");
    assert!(told.contains("a1.hook: \"m1\" → -"), "{told}");
    assert!(!told.contains("m1."), "{told}");
    // What names its head, or was opened before, is taken at its word.
    let named = r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x", "head_sha": "h1"}"#;
    assert!(observed(&town, "0s", named).contains("reviewed.head_sha: - → \"h1\""));
    let before = town.replace("status_changed_at=-1m", "status_changed_at=-3m");
    let done = r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"}"#;
    assert!(observed(&before, "0s", done).contains("reviewed.head_sha: - → \"h2\""));
}

/// I12: a head that came while it worked is one that it may not have seen.
#[test]
fn done_of_a_refinery_that_names_no_head_passes_none_that_came_meanwhile() {
    let passed = |look: &str| {
        let seen = REFINERY.replace(
            "review.source=b1",
            "review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h1 review.poll.last_at=0s",
        );
        let mut town = crate::testing::town(&seen);
        let look = event_at(
            &std::format!(
                r#"{{"type": "pr_observed", "bead_id": "m1", "observation": {{"state": "open", "head_sha": "{look}", "head_branch": "work/m1", "head_repository": "acme/r1", "base_branch": "main", "mergeable": "clean"}}}}"#
            ),
            at("0s"),
        );
        let done = event_at(
            r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"}"#,
            at("1s"),
        );
        let done = Event {
            id: "done".parse().unwrap(),
            ..done
        };
        town.observe(&look, at("0s"));
        town.observe(&done, at("1s"));
        let review = town
            .bead(&"m1".parse().unwrap())
            .and_then(crate::Bead::review)
            .cloned();
        review.and_then(|it| it.reviewed).map(|it| it.head_sha)
    };
    assert_eq!(passed("h1"), Some(Some("h1".into())));
    assert_eq!(passed("h2"), Some(None));
}

/// I13: what was seen of one pull request says nothing of another.
#[test]
fn done_with_another_pull_request_forgets_what_was_seen() {
    let town = REFINERY.replace(
        "review.source=b1",
        r#"review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h1 review.auto_merge.pending=true review.auto_merge.ready_since=-6m review.poll.pr_errors=2 review.poll.attempts=7 review.observation={"at":"2026-04-04T12:00:00Z","observation":{"state":"open","head_sha":"h1","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"clean"}}"#,
    );
    let done = |number: u32| {
        let event = std::format!(
            r#"{{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x", "pr_url": "https://github.com/acme/r1/pull/{number}"}}"#
        );
        observed(&town, "0s", &event)
    };
    let same = done(1);
    assert!(
        same.contains("reviewed.head_sha: - → \"h1\"") && !same.contains("pending"),
        "{same}"
    );
    let other = done(9);
    assert!(other.contains("pending: true → false"), "{other}");
    assert!(
        other.contains("pr_errors: 2 → 0") && !other.contains("poll.attempts"),
        "{other}"
    );
    assert!(other.contains("m1.review.head_sha: \"h1\" → -"), "{other}");
    assert!(!other.contains("reviewed.head_sha: - → \"h1\""), "{other}");
}

/// Spec 4.1, 1: what came between its exit and its word does not matter, if nobody took the bead.
#[test]
fn done_of_a_polecat_that_was_seen_to_exit_first_is_accepted() {
    let left = POLECAT
        .replace(
            "working rig_id=r1 hook=b1",
            "idle rig_id=r1 dispatched_at=-2m exited_at=-1s",
        )
        .replace(
            "in_progress rig_id=r1 assignee=a1",
            "open rig_id=r1 last_dispatch_attempt_at=-1s",
        );
    let done = r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"}"#;
    assert!(observed(&left, "0s", done).contains("t1-m1 reviews branch x"));
}

/// What it could not ask changes for any more, and names no commit of, it does not pass.
#[test]
fn done_of_a_refinery_whose_rounds_are_spent_passes_only_what_it_names() {
    let with = |rounds: u32, more: &str| {
        let town = REFINERY.replace(
            "review.source=b1",
            &std::format!("review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.head_sha=h1 review.repair_rounds.rework={rounds}"),
        );
        let event = std::format!(
            r#"{{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"{more}}}"#
        );
        observed(&town, "0s", &event)
    };
    const PASSED: &str = "reviewed.head_sha: - → \"h1\"";
    assert!(with(4, "").contains(PASSED), "{}", with(4, ""));
    let given_back = with(5, "");
    assert!(
        given_back.contains("m1 is given back, and not passed"),
        "{given_back}"
    );
    assert!(
        given_back.contains("a1.hook: \"m1\" → -") && !given_back.contains("m1."),
        "{given_back}"
    );
    assert!(with(5, r#", "head_sha": "h1""#).contains(PASSED));
    assert!(with(5, r#", "pr_url": "https://github.com/acme/r1/pull/1""#).contains(PASSED));
}

/// Spec 4.4, 6: the newest review of a source is the one that was made last.
#[test]
fn done_after_the_clock_was_set_back_makes_the_newest_review() {
    let older = std::format!(
        "{POLECAT}\nbead m1 merge_request open rig_id=r1 review.source=b1 review.branch=old created_at=5h"
    );
    let done = r#"{"type": "agent_done", "agent_id": "a1", "session": 2, "branch": "x"}"#;
    let made = observed(&older, "0s", done);
    assert!(
        made.contains("t1-m1.created_at: - → \"2026-04-04T17:00:00.001Z\""),
        "{made}"
    );
}
