//! `docs/explanations.md`: three pull requests that do not merge, as `explain` shows them.
//! `UPDATE_DOCS=1` writes it.

use std::format;
use std::path::Path;
use std::string::{String, ToString};

use super::explain;
use crate::testing::{GREEN, at, town};

fn explained(text: &str) -> String {
    let town = town(text);
    explain(&town, at("0s"), &"m1".parse().unwrap())
        .unwrap()
        .to_string()
}

/// [`GREEN`], with its last look answered.
fn answered() -> String {
    GREEN.replace(
        "review.poll.attempts=7",
        "review.poll.attempts=7 review.poll.answered=true",
    )
}

/// A required check was never reported for a head that is three hours old.
fn checks_that_never_report() -> String {
    let town = answered()
        .replace(
            r#""checks":{"state":"passing"}"#,
            r#""checks":{"state":"pending","pending":["lint"],"required_missing":["build"]}"#,
        )
        .replace(r#""mergeable":"clean""#, r#""mergeable":"blocked""#)
        .replace("review.head_seen_at=-1h", "review.head_seen_at=-3h")
        .replace("review.poll.changed_at=-6m", "review.poll.changed_at=-3h");
    explained(&not_ready(&town))
}

/// Somebody approved what was there before the last push, and left two comments.
fn an_approval_of_an_older_head() -> String {
    let town = answered()
        .replace(r#""decision_head":"h1""#, r#""decision_head":"h0""#)
        .replace(r#""unresolved_threads":0"#, r#""unresolved_threads":2"#)
        .replace("review.poll.changed_at=-6m", "review.poll.changed_at=-40m");
    explained(&not_ready(&town))
}

/// Green for long enough, but the forge does not answer.
fn a_forge_that_is_unreachable() -> String {
    explained(&answered().replace(
        "town config",
        r#"town conditions=[{"kind":"forge_unreachable","subject":{"kind":"town"},"since":"2026-04-04T11:59:55Z","strikes":1,"next_probe_at":"2026-04-04T12:00:55Z","evidence":"the forge answered with status 502"}] config"#,
    ))
}

/// What an observation leaves of the clock where something is missing.
fn not_ready(town: &str) -> String {
    town.replace("review.auto_merge.ready_since=-6m review.auto_merge.head_sha=h1 review.auto_merge.pending=true", "")
}

#[test]
fn explain_checks_that_never_report() {
    insta::assert_snapshot!(checks_that_never_report(), @"
    m1 is not green: 17 of 19 conditions hold.
      NO  checks       required, not reported: build (seen 10 s ago; so since 2026-04-04T09:00:00.000Z; waits for the forge)
      NO  mergeable    a rule of the forge blocks it (seen 10 s ago; so since 2026-04-04T09:00:00.000Z; waits for a person)
      yes head         h1 (seen 10 s ago; the forge can change it)
      yes open         open (seen 10 s ago; a person can change it)
      yes not_draft    no draft (seen 10 s ago; a person can change it)
      yes identity     the pull request of this review (seen 10 s ago; a person can change it)
      yes merge_queue  none (seen 10 s ago; the forge can change it)
      yes threads      0 unresolved (seen 10 s ago; a person can change it)
      yes decision     approved (seen 10 s ago; a person can change it)
      yes rig          r1 (known now; a person can change it)
      yes pull_request https://github.com/acme/r1/pull/1 (known now; a person can change it)
      yes unblocked    nothing blocks it (known now; another bead can change it)
      yes not_held     not held (known now; a person can change it)
      yes source       in_review (known now; bead b1 can change it)
      yes newest       the newest of its source (known now; another bead can change it)
      yes auto_merge   on (known now; a person can change it)
      yes delay        300 s (known now; a person can change it)
      yes not_off      not off for this head (known now; a person can change it)
      yes reviewed     a refinery passed h1 (known now; an agent can change it)
    m1 waits for:
    - the forge: its pull request is looked at again then, since 2026-04-04T11:59:50.000Z, until 2026-04-04T12:09:50.001Z (review/poll)
    - a person, https://github.com/acme/r1/pull/1: waits for the people of its pull request, since 2026-04-04T09:00:00.000Z, until 2026-04-05T09:00:00.001Z (review/waiting)
    The engine looks again at 2026-04-04T12:09:50.001Z.
    Next, if no event comes: review/poll at 2026-04-04T12:09:50.001Z.
    ");
}

#[test]
fn explain_an_approval_of_an_older_head() {
    insta::assert_snapshot!(an_approval_of_an_older_head(), @"
    m1 is not green: 17 of 19 conditions hold.
      NO  threads      2 unresolved (seen 10 s ago; so since 2026-04-04T11:20:00.000Z; waits for a person)
      NO  decision     approved, but for an older head (seen 10 s ago; so since 2026-04-04T11:20:00.000Z; waits for a person)
      yes head         h1 (seen 10 s ago; the forge can change it)
      yes open         open (seen 10 s ago; a person can change it)
      yes not_draft    no draft (seen 10 s ago; a person can change it)
      yes identity     the pull request of this review (seen 10 s ago; a person can change it)
      yes merge_queue  none (seen 10 s ago; the forge can change it)
      yes checks       passing (seen 10 s ago; the forge can change it)
      yes mergeable    clean (seen 10 s ago; the forge can change it)
      yes rig          r1 (known now; a person can change it)
      yes pull_request https://github.com/acme/r1/pull/1 (known now; a person can change it)
      yes unblocked    nothing blocks it (known now; another bead can change it)
      yes not_held     not held (known now; a person can change it)
      yes source       in_review (known now; bead b1 can change it)
      yes newest       the newest of its source (known now; another bead can change it)
      yes auto_merge   on (known now; a person can change it)
      yes delay        300 s (known now; a person can change it)
      yes not_off      not off for this head (known now; a person can change it)
      yes reviewed     a refinery passed h1 (known now; an agent can change it)
    m1 waits for:
    - the forge: its pull request is looked at again then, since 2026-04-04T11:59:50.000Z, until 2026-04-04T12:00:50.001Z (review/poll)
    - a person, https://github.com/acme/r1/pull/1: waits for the people of its pull request, since 2026-04-04T11:20:00.000Z, until 2026-04-05T11:20:00.001Z (review/waiting)
    The engine looks again at 2026-04-04T12:00:50.001Z.
    Next, if no event comes: review/poll at 2026-04-04T12:00:50.001Z.
    ");
}

#[test]
fn explain_a_forge_that_is_unreachable_while_a_merge_is_pending() {
    insta::assert_snapshot!(a_forge_that_is_unreachable(), @"
    m1 is green: all of 19 conditions hold.
      yes head         h1 (seen 10 s ago; the forge can change it)
      yes open         open (seen 10 s ago; a person can change it)
      yes not_draft    no draft (seen 10 s ago; a person can change it)
      yes identity     the pull request of this review (seen 10 s ago; a person can change it)
      yes merge_queue  none (seen 10 s ago; the forge can change it)
      yes threads      0 unresolved (seen 10 s ago; a person can change it)
      yes checks       passing (seen 10 s ago; the forge can change it)
      yes decision     approved (seen 10 s ago; a person can change it)
      yes mergeable    clean (seen 10 s ago; the forge can change it)
      yes rig          r1 (known now; a person can change it)
      yes pull_request https://github.com/acme/r1/pull/1 (known now; a person can change it)
      yes unblocked    nothing blocks it (known now; another bead can change it)
      yes not_held     not held (known now; a person can change it)
      yes source       in_review (known now; bead b1 can change it)
      yes newest       the newest of its source (known now; another bead can change it)
      yes auto_merge   on (known now; a person can change it)
      yes delay        300 s (known now; a person can change it)
      yes not_off      not off for this head (known now; a person can change it)
      yes reviewed     a refinery passed h1 (known now; an agent can change it)
    m1 waits for:
    - the forge: the forge is asked again before a person is, since 2026-04-04T11:59:55.000Z, until 2026-04-04T12:00:55.000Z (conditions/tell)
    - condition forge_unreachable: the forge can't be asked: forge_unreachable, since 2026-04-04T11:59:55.000Z, until 2026-04-04T12:00:55.000Z (review/poll)
    - condition forge_unreachable: nothing can be seen to change: forge_unreachable, since 2026-04-04T11:59:55.000Z, until 2026-04-04T12:00:55.000Z (review/waiting)
    The engine looks again at 2026-04-04T12:00:55.000Z.
    Next, if no event comes: review/poll at 2026-04-04T12:00:55.000Z.
    ");
}

fn page() -> String {
    let mut page = String::from(
        "# Why does it not merge?\n\nThree pull requests as `explain` shows them to a person, \
         generated from the tests in\n`gastown-core/src/explain/examples.rs`. Each condition of \
         *green* has its value, how old it is, since when it does\nnot hold, and who can change \
         it; what is missing comes first. The same is in `Explanation::conditions`, and in the\n\
         explanations of the dry-run tool as `conditions`. It is 12:00 on 4 April 2026.\n",
    );
    for (title, text) in [
        ("Checks never report", checks_that_never_report()),
        (
            "The approval is of an older head, and threads are open",
            an_approval_of_an_older_head(),
        ),
        (
            "The forge is unreachable while a merge is pending",
            a_forge_that_is_unreachable(),
        ),
    ] {
        page.push_str(&format!("\n## {title}\n\n```text\n{text}\n```\n"));
    }
    page
}

#[test]
fn docs_explanations_md_is_what_explain_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explanations.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, page()).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written,
        page(),
        "run UPDATE_DOCS=1 cargo test -p gastown-core --lib explain"
    );
}
