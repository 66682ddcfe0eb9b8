use std::format;
use std::string::String;

use crate::testing::{GREEN, at, event_at, observed};

fn failed(town: &str, error: &str) -> String {
    let event = format!(r#"{{"type": "pr_observed", "bead_id": "m1", "error": {error}}}"#);
    observed(town, "0s", &event)
}

fn two(more: &str) -> String {
    format!(
        "{GREEN}
        bead b2 issue in_review rig_id=r1
        bead m2 merge_request in_progress rig_id=r1 review.source=b2 review.pr_url=https://github.com/acme/r1/pull/2 {more}
        edge m2 tracks b2"
    )
}

#[test]
fn a_look_that_is_answered_is_not_answered_again() {
    let answer = r#"{"type": "pr_observed", "key": {"subject": "m1", "kind": "poll_pr", "attempt": 7}, "bead_id": "m1", "error": {"kind": "unrecognized_url"}}"#;
    let once = observed(GREEN, "0s", answer);
    for line in [
        "m1.review.poll.answered: - → true",
        "m1.review.poll.pr_errors: 0 → 1",
    ] {
        assert!(once.contains(line), "{once}");
    }
    let answered = GREEN.replace("attempts=7", "attempts=7 review.poll.answered=true");
    insta::assert_snapshot!(observed(&answered, "0s", answer), @"ignored: the look is answered already");
    // What has no key is a fact of its own.
    let fact = failed(&answered, r#"{"kind": "unrecognized_url"}"#);
    assert!(fact.contains("m1.review.poll.pr_errors: 0 → 1"), "{fact}");
}

#[test]
fn errors_of_this_pull_request_fail_it_after_three_in_a_row() {
    for error in [
        r#"{"kind": "not_found", "repository_readable": true}"#,
        r#"{"kind": "unrecognized_url"}"#,
        r#"{"kind": "repository_mismatch"}"#,
        r#"{"kind": "host_not_allowed"}"#,
    ] {
        let once = failed(GREEN, error);
        assert!(once.contains("m1.review.poll.pr_errors: 0 → 1"), "{once}");
        assert!(!once.contains("m1.status"), "{once}");
    }
    let town = GREEN.replace(
        "attempts=7",
        "attempts=7 review.poll.pr_errors=1 review.poll.invalid_responses=1",
    );
    insta::assert_snapshot!(failed(&town, r#"{"kind": "not_found", "repository_readable": true}"#), @r#"
    observed: m1: the pull request does not exist: check its URL, and that its branch is there
    b1.last_dispatch_attempt_at: - → "2026-04-04T12:00:00.000Z"
    b1.status: "in_review" → "open"
    b1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    b1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    m1.closed_at: - → "2026-04-04T12:00:00.000Z"
    m1.failure.code: - → "pr_poll_failed"
    m1.failure.message: - → "its pull request could not be read 3 times in a row: the pull request does not exist: check its URL, and that its branch is there"
    m1.failure.source: - → "pr_observed"
    m1.review.poll.last_error: - → "the pull request does not exist: check its URL, and that its branch is there"
    m1.review.poll.pr_errors: 1 → 2
    m1.status: "in_progress" → "failed"
    m1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    m1.told.pr_poll_failed: - → "2026-04-04T12:00:00.000Z"
    m1.updated_at: "2026-03-05T12:00:00.000Z" → "2026-04-04T12:00:00.000Z"
    t1-e1.body: - → "its pull request could not be read 3 times in a row: the pull request does not exist: check its URL, and that its branch is there"
    t1-e1.created_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.created_by: - → "system"
    t1-e1.escalation.bead_id: - → "m1"
    t1-e1.escalation.category: - → "pr_poll_failed"
    t1-e1.escalation.severity: - → "high"
    t1-e1.id: - → "t1-e1"
    t1-e1.labels: - → ["gt:escalation","severity:high"]
    t1-e1.priority: - → "high"
    t1-e1.rig_id: - → "r1"
    t1-e1.root: - → "m1"
    t1-e1.status: - → "open"
    t1-e1.status_changed_at: - → "2026-04-04T12:00:00.000Z"
    t1-e1.title: - → "pr poll failed: m1"
    t1-e1.type: - → "escalation"
    t1-e1.updated_at: - → "2026-04-04T12:00:00.000Z"
    town.sequence: 0 → 1
    "#);
}

#[test]
fn errors_of_a_rigs_credential_begin_its_condition() {
    for (error, kind) in [
        (
            r#"{"kind": "no_token", "tried": ["github_token", "github_cli_pat"]}"#,
            "credentials_missing",
        ),
        (r#"{"kind": "unauthorized"}"#, "credentials_rejected"),
        (r#"{"kind": "forbidden"}"#, "permission_missing"),
        (r#"{"kind": "not_found"}"#, "permission_missing"),
    ] {
        let after = failed(GREEN, error);
        assert!(after.contains(&format!(r#""kind":"{kind}""#)), "{after}");
        assert!(
            after.contains(r#""subject":{"id":"r1","kind":"rig"}"#),
            "{after}"
        );
        assert!(!after.contains("_errors"), "{after}");
    }
    insta::assert_snapshot!(failed(GREEN, r#"{"kind": "no_token", "tried": ["github_token", "github_cli_pat"]}"#), @r#"
    observed: m1: no credential for the forge; tried, in order: github_token, github_cli_pat. The credentials that agents push with are separate and are not used here: configure one of these
    m1.review.poll.last_error: - → "no credential for the forge; tried, in order: github_token, github_cli_pat. The credentials that agents push with are separate and are not used here: configure one of these"
    town.conditions: [] → [{"evidence":"no credential for the forge; tried, in order: github_token, github_cli_pat. The credentials that agents push with are separate and are not used here: configure one of these","kind":"credentials_missing","next_probe_at":"2026-04-04T12:01:00.000Z","since":"2026-04-04T12:00:00.000Z","strikes":1,"subject":{"id":"r1","kind":"rig"},"told_at":null,"tried":["github_token","github_cli_pat"],"until":null}]
    "#);
}

#[test]
fn errors_of_the_network_are_the_forges_on_the_only_or_on_two_pull_requests() {
    let network = r#"{"kind": "network"}"#;
    assert!(failed(GREEN, network).contains("forge_unreachable"));
    let first = failed(&two(""), network);
    assert!(
        first.contains("m1.review.poll.transient_errors: 0 → 1"),
        "{first}"
    );
    assert!(!first.contains("forge_unreachable"), "{first}");
    let second = failed(&two("review.poll.transient_errors=1"), network);
    assert!(second.contains("forge_unreachable"), "{second}");
}

#[test]
fn errors_of_the_network_of_one_pull_request_are_told_at_the_limit() {
    let ninth = two("").replace("attempts=7", "attempts=7 review.poll.transient_errors=9");
    let after = failed(&ninth, r#"{"kind": "server", "status": 502}"#);
    assert!(after.contains("m1.told.pr_unreachable"), "{after}");
    assert!(!after.contains("m1.status"), "{after}");
}

#[test]
fn errors_that_were_asked_before_a_condition_began_do_not_count() {
    let town = |since: &str| {
        GREEN.replace(
            "town config",
            &format!(r#"town conditions=[{{"kind":"forge_unreachable","subject":{{"kind":"town"}},"since":"{since}","strikes":4}}] config"#),
        )
    };
    let network = r#"{"kind": "network"}"#;
    // The last look was asked for ten seconds ago.
    assert!(failed(&town("2026-04-04T11:59:50Z"), network).contains(r#""strikes":5"#));
    assert!(!failed(&town("2026-04-04T11:59:50.001Z"), network).contains(r#""strikes":5"#));
}

#[test]
fn errors_of_a_rate_limit_hold_until_it_ends_and_no_longer_than_an_hour() {
    let limited = |until: &str| {
        failed(
            GREEN,
            &format!(r#"{{"kind": "rate_limited", "until": "{until}"}}"#),
        )
    };
    assert!(limited("2026-04-04T12:20:00Z").contains(r#""until":"2026-04-04T12:20:00.000Z""#));
    assert!(limited("2036-04-04T12:20:00Z").contains(r#""until":"2026-04-04T13:00:00.000Z""#));
}

#[test]
fn errors_not_understood_on_two_pull_requests_are_a_drift() {
    let invalid = r#"{"kind": "invalid_response", "why": "no head"}"#;
    let alone = failed(&two(""), invalid);
    assert!(
        alone.contains("m1.review.poll.invalid_responses: 0 → 1"),
        "{alone}"
    );
    let both = failed(
        &two("review.poll.invalid_responses=2 review.poll.last_invalid_at=-60s"),
        invalid,
    );
    assert!(both.contains("api_drift"), "{both}");
    assert!(
        both.contains("m2.review.poll.invalid_responses: 2 → 0"),
        "{both}"
    );
    assert!(!both.contains("m1.review.poll.invalid_responses"), "{both}");
    // Quiet ones are looked at every ten minutes.
    let quiet = failed(&two("review.poll.last_invalid_at=-10m"), invalid);
    assert!(quiet.contains("api_drift"), "{quiet}");
    let long_ago = failed(&two("review.poll.last_invalid_at=-600001ms"), invalid);
    assert!(!long_ago.contains("api_drift"), "{long_ago}");
}

/// Spec 1.8: a forge that changed goes on being understood where it did not change.
#[test]
fn errors_not_understood_are_a_drift_until_one_of_those_is_understood() {
    let condition = r#"town conditions=[{"kind":"api_drift","subject":{"kind":"town"},"since":"2026-04-04T11:59:00Z"}]"#;
    let good = |m1: &str, m2: &str| {
        let town = std::format!("{condition}\n{}", two(m2)).replace(
            "review.pr_url=https://github.com/acme/r1/pull/1",
            &std::format!("review.pr_url=https://github.com/acme/r1/pull/1 {m1}"),
        );
        let look = r#"{"type": "pr_observed", "bead_id": "m1", "observation": {"state": "open", "head_sha": "h1", "head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"clean"}}"#;
        observed(&town, "0s", look)
    };
    let failed = "review.poll.last_invalid_at=-10m";
    let ends = |told: &str| told.contains("api_drift");
    assert!(!ends(&good("", failed)), "{}", good("", failed));
    assert!(ends(&good(failed, failed)));
    assert!(ends(&good("", "")));
}

/// Spec 1.8: what answers for a forge that is down strikes the condition, not the pull request, until a
/// person knows of that one; two are a drift all the same.
#[test]
fn errors_not_understood_under_another_condition_are_its_strikes() {
    let under = |told: &str, town: &str| {
        let condition = format!(
            r#"town conditions=[{{"kind":"forge_unreachable","subject":{{"kind":"town"}},"since":"2026-04-04T11:00:00Z","strikes":3{told}}}]"#
        );
        let invalid = r#"{"kind": "invalid_response", "why": "<html>"}"#;
        failed(&format!("{condition}\n{town}"), invalid)
    };
    let told = r#","told_at":"2026-04-04T11:30:00Z""#;
    for town in [String::from(GREEN), two("")] {
        let untold = under("", &town);
        assert!(untold.contains(r#""strikes":4"#), "{untold}");
        assert!(
            untold.contains("last_invalid_at") && !untold.contains("_errors"),
            "{untold}"
        );
        assert!(!untold.contains("invalid_responses"), "{untold}");
        let known = under(told, &town);
        assert!(
            known.contains("m1.review.poll.transient_errors: 0 → 1"),
            "{known}"
        );
    }
    // Probes are ten minutes apart by then, and take a while.
    let last = |ago: &str| under("", &two(&format!("review.poll.last_invalid_at=-{ago}")));
    assert!(last("20m").contains("api_drift"));
    assert!(!last("1200001ms").contains("api_drift"));
}

/// Else it begins a condition that the next look at the other one ends, and so on for ever.
#[test]
fn errors_of_a_credential_that_only_one_pull_request_has_are_its_own() {
    const FORBIDDEN: &str = r#""error": {"kind": "forbidden"}"#;
    const NETWORK: &str = r#""error": {"kind": "network"}"#;
    const GOOD: &str = r#""observation": {"state": "open", "head_sha": "h1", "head_branch":"work/m2","head_repository":"acme/r1","base_branch":"main","mergeable":"clean"}"#;
    let after = |looks: &[(&str, &str)]| {
        let mut town = crate::testing::town(&two(""));
        for (number, (mr, said)) in looks.iter().enumerate() {
            let event = format!(r#"{{"type": "pr_observed", "bead_id": "{mr}", {said}}}"#);
            let mut event = event_at(&event, at("0s"));
            event.id = format!("look{number}").parse().unwrap();
            town.observe(&event, at("0s"));
        }
        let holds = town.conditions().any(crate::Condition::holds);
        let of = |mr: &str| {
            let review = town
                .bead(&mr.parse().unwrap())
                .and_then(crate::Bead::review);
            review.map(|review| review.poll.credential_errors)
        };
        (holds, of("m1"), of("m2"))
    };
    let (none, one, two) = (Some(0), Some(1), Some(2));
    assert_eq!(after(&[("m1", FORBIDDEN)]), (true, none, none));
    let back = [("m1", FORBIDDEN), ("m2", GOOD), ("m1", FORBIDDEN)];
    assert_eq!(after(&back), (false, one, none));
    let [first, good, again] = back;
    assert_eq!(
        after(&[first, good, again, good, again]),
        (false, two, none)
    );
    // The other one has it, too: then it is the rig's, and nothing is counted.
    let both = [first, good, again, ("m2", FORBIDDEN), again];
    assert_eq!(after(&both), (true, one, none));
    // It had another trouble before; the other one was never read.
    assert_eq!(after(&[("m1", NETWORK), good, first]), (true, none, none));
    assert_eq!(after(&[first, again]), (true, none, none));
    // A good look forgets.
    assert_eq!(
        after(&[first, good, again, ("m1", GOOD)]),
        (false, none, none)
    );
}

/// Spec 4.3: strikes of one pull request count while no condition holds.
#[test]
fn errors_that_may_pass_are_not_counted_under_another_condition() {
    let server = r#"{"kind": "server", "status": 502}"#;
    let free = failed(&two(""), server);
    assert!(
        free.contains("m1.review.poll.transient_errors: 0 → 1"),
        "{free}"
    );
    let condition = r#"town conditions=[{"kind":"rate_limited","subject":{"kind":"town"},"since":"2026-04-04T11:59:00Z","until":"2026-04-04T12:30:00Z"}]"#;
    let limited = |m1: &str| {
        let town = std::format!("{condition}\n{}", two("")).replace(
            "review.pr_url=https://github.com/acme/r1/pull/1",
            &std::format!("review.pr_url=https://github.com/acme/r1/pull/1 {m1}"),
        );
        failed(&town, server)
    };
    // That it had one is remembered: with another pull request it is the forge.
    assert!(
        limited("").contains("transient_errors: 0 → 1"),
        "{}",
        limited("")
    );
    let many = limited("review.poll.transient_errors=9");
    assert!(!many.contains("transient_errors"), "{many}");
    let both = failed(
        &std::format!("{condition}\n{}", two("review.poll.transient_errors=1")),
        server,
    );
    assert!(both.contains("forge_unreachable"), "{both}");
}
