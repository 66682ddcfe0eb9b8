use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Green, green};
use crate::testing::{GREEN, town};

fn judged(text: &str) -> Green {
    let town = town(text);
    let mr = town.bead(&"m1".parse().unwrap()).unwrap();
    green(&town, mr, &town.settings_of_review(mr)).unwrap()
}

fn missing(from: &str, to: &str) -> Vec<String> {
    assert!(GREEN.contains(from), "{from}");
    judged(&GREEN.replace(from, to))
        .missing()
        .map(|condition| std::format!("{}: {}", condition.name, condition.value))
        .collect()
}

#[test]
fn green_shows_every_condition_with_its_value() {
    let conditions: Vec<String> = judged(GREEN)
        .conditions
        .iter()
        .map(|it| {
            let age = it
                .observed_at
                .map_or("now".to_string(), |at| at.to_string());
            std::format!(
                "{} {}: {} ({age}, {:?})",
                if it.holds { "yes" } else { "no" },
                it.name,
                it.value,
                it.changed_by
            )
        })
        .collect();
    insta::assert_snapshot!(conditions.join("\n"), @"
    yes head: h1 (2026-04-04T11:59:50.000Z, Forge)
    yes open: open (2026-04-04T11:59:50.000Z, Person)
    yes not_draft: no draft (2026-04-04T11:59:50.000Z, Person)
    yes identity: the pull request of this review (2026-04-04T11:59:50.000Z, Person)
    yes merge_queue: none (2026-04-04T11:59:50.000Z, Forge)
    yes threads: 0 unresolved (2026-04-04T11:59:50.000Z, Person)
    yes checks: passing (2026-04-04T11:59:50.000Z, Forge)
    yes decision: approved (2026-04-04T11:59:50.000Z, Person)
    yes mergeable: clean (2026-04-04T11:59:50.000Z, Forge)
    yes rig: r1 (now, Person)
    yes pull_request: https://github.com/acme/r1/pull/1 (now, Person)
    yes unblocked: nothing blocks it (now, Bead)
    yes not_held: not held (now, Person)
    yes source: in_review (now, Bead)
    yes newest: the newest of its source (now, Bead)
    yes auto_merge: on (now, Person)
    yes delay: 300 s (now, Person)
    yes not_off: not off for this head (now, Person)
    yes reviewed: a refinery passed h1 (now, Agent)
    ");
}

/// One line for each condition that can be broken, and for each way in which it breaks.
#[test]
fn green_each_condition_alone_is_enough_to_prevent_it() {
    let cases = [
        (r#""state":"open""#, r#""state":"closed""#),
        (
            r#""base_branch":"main""#,
            r#""base_branch":"main","is_draft":true"#,
        ),
        (r#""head_branch":"work/m1""#, r#""head_branch":"other""#),
        (r#""head_repository":"acme/r1","#, ""),
        (
            r#""head_repository":"acme/r1""#,
            r#""head_repository":"fork/r1""#,
        ),
        (r#""base_branch":"main""#, r#""base_branch":"release""#),
        (
            r#""base_branch":"main""#,
            r#""base_branch":"main","stacked":true"#,
        ),
        (
            r#""base_branch":"main""#,
            r#""base_branch":"main","merge_queue":"queued""#,
        ),
        (r#""unresolved_threads":0"#, r#""unresolved_threads":2"#),
        (r#""threads_complete":true"#, r#""threads_complete":false"#),
        (
            r#""state":"passing""#,
            r#""state":"failing","failing":["build"]"#,
        ),
        (
            r#""state":"passing""#,
            r#""state":"pending","pending":["build"]"#,
        ),
        (
            r#""state":"passing""#,
            r#""state":"none","required_missing":["build"]"#,
        ),
        (
            r#""state":"passing""#,
            r#""state":"passing","required_missing":["build"]"#,
        ),
        (r#""checks_complete":true"#, r#""checks_complete":false"#),
        (
            r#""decision":"approved""#,
            r#""decision":"changes_requested""#,
        ),
        (
            r#""decision":"approved""#,
            r#""decision":"review_required""#,
        ),
        (r#""decision_head":"h1""#, r#""decision_head":"h0""#),
        (r#","decision_head":"h1""#, ""),
        (r#""mergeable":"clean""#, r#""mergeable":"dirty""#),
        (r#""mergeable":"clean""#, r#""mergeable":"blocked""#),
        (r#""mergeable":"clean""#, r#""mergeable":"behind""#),
        (r#""mergeable":"clean""#, r#""mergeable":"unknown""#),
        ("review.reviewed.head_sha=h1", "review.reviewed.head_sha=h0"),
        ("review.reviewed.at=-1h review.reviewed.head_sha=h1 ", ""),
        ("b1 issue in_review", "b1 issue in_progress"),
        (
            "auto_merge_delay_minutes=5",
            "auto_merge_delay_minutes=never",
        ),
        (
            "auto_merge_delay_minutes=5",
            "auto_merge_delay_minutes=0 config.refinery.auto_merge=false",
        ),
    ];
    let lines: Vec<String> = cases
        .iter()
        .map(|(from, to)| missing(from, to).join(" | "))
        .collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    open: closed
    not_draft: a draft
    identity: its branch is other, not work/m1
    identity: its branch is not in the rig's repository: gone
    identity: its branch is not in the rig's repository: fork/r1
    identity: it goes to release, not main
    identity: merging it would merge other pull requests too
    merge_queue: queued; the queue merges it
    threads: 2 unresolved
    threads: not all threads could be read
    checks: failing: build
    checks: pending: build
    checks: required, not reported: build
    checks: required, not reported: build
    checks: not all checks could be read
    decision: changes requested
    decision: a review is required
    decision: approved, but for an older head
    decision: approved, but for an older head
    mergeable: conflicts with its target
    mergeable: a rule of the forge blocks it
    mergeable: is behind its target
    mergeable: not known yet
    reviewed: a refinery passed h0, not this head
    reviewed: no refinery has passed it
    source: in_progress
    delay: never; people merge
    auto_merge: off; people merge
    ");
}

#[test]
fn green_other_values_that_do_not_prevent_it() {
    for (from, to) in [
        (r#""mergeable":"clean""#, r#""mergeable":"has_hooks""#),
        (r#""mergeable":"clean""#, r#""mergeable":"unstable""#),
        (r#","decision":"approved","decision_head":"h1""#, ""),
        (r#""state":"passing""#, r#""state":"none""#),
        (
            r#""base_branch":"main""#,
            r#""base_branch":"main","merge_queue":"required""#,
        ),
        ("auto_merge_delay_minutes=5", "auto_merge_delay_minutes=0"),
        (
            r#""head_repository":"acme/r1""#,
            r#""head_repository":"ACME/R1""#,
        ),
        ("rig_id=r1 review.source=b1", "review.source=b1"),
    ] {
        assert_eq!(missing(from, to), [""; 0], "{to}");
    }
}

#[test]
fn green_without_checks_waits_for_a_poll_interval_of_its_head() {
    let none = GREEN.replace(r#""state":"passing""#, r#""state":"none""#);
    // The look was ten seconds ago.
    let new = none.replace("review.head_seen_at=-1h", "review.head_seen_at=-69999ms");
    assert!(!judged(&new).holds());
    let old = none.replace("review.head_seen_at=-1h", "review.head_seen_at=-70s");
    assert!(judged(&old).holds());
    let demanded = none.replace(
        "config.refinery.auto",
        "config.refinery.require_checks=true config.refinery.auto",
    );
    assert!(!judged(&demanded).holds());
}

#[test]
fn green_unstable_only_with_every_check_that_counts_passing() {
    let unstable = GREEN.replace(r#""mergeable":"clean""#, r#""mergeable":"unstable""#);
    let none = unstable.replace(r#""state":"passing""#, r#""state":"none""#);
    assert!(!judged(&none).holds());
}

#[test]
fn green_settings_that_ask_for_less() {
    let stale = GREEN
        .replace(r#""decision_head":"h1""#, r#""decision_head":"h0""#)
        .replace(
            "config.refinery.auto",
            "config.refinery.require_fresh_approval=false config.refinery.auto",
        );
    assert!(judged(&stale).holds());
    let once = GREEN
        .replace("review.reviewed.head_sha=h1", "review.reviewed.head_sha=h0")
        .replace(
            "config.refinery.auto",
            "config.refinery.review_every_head=false config.refinery.auto",
        );
    assert!(judged(&once).holds());
    let unreviewed = GREEN
        .replace("review.reviewed.at=-1h review.reviewed.head_sha=h1 ", "")
        .replace(
            "config.refinery.auto",
            "config.refinery.code_review=false config.refinery.auto",
        );
    assert!(judged(&unreviewed).holds());
}

#[test]
fn green_nothing_seen_is_not_green() {
    let from = GREEN.find("review.observation.at").unwrap();
    let to = GREEN[from..].find('\n').unwrap() + from;
    let unseen = std::format!("{}{}", &GREEN[..from], &GREEN[to..]);
    let green = judged(&unseen);
    assert_eq!(green.summary(), "a first look");
    assert!(green.needs_the_forge());
    assert!(!green.town_objects());
}

#[test]
fn green_without_feedback_is_not_green() {
    let from = GREEN.find(r#","feedback""#).unwrap();
    let to = GREEN[from..].find("}}\n").unwrap() + from;
    let without = std::format!("{}}}{}", &GREEN[..from], &GREEN[to + 2..]);
    let green = judged(&without);
    insta::assert_snapshot!(green.summary(), @"a first look");
    let names: Vec<&str> = green.missing().map(|condition| condition.name).collect();
    assert_eq!(names, ["threads", "checks", "decision"]);
}
