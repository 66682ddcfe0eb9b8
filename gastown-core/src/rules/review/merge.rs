//! `review/merge`: the engine merges what has been green for the whole delay, and is now.

use alloc::boxed::Box;
use alloc::format;
use alloc::vec;
use alloc::vec::Vec;

use super::live_pull_request;
use crate::action::{ActionKind, MarkAutoMerge, MergePr};
use crate::bead::Bead;
use crate::certificate::{age_max, certify};
use crate::config::{AutoMergeDelay, Settings};
use crate::green::{Green, PULL_REQUEST};
use crate::pass::{Due, Pass};
use crate::reason::ReasonCode;
use crate::review::Review;
use crate::rules::conditions::condition_wait;
use crate::rules::{On, Rule};
use crate::verdict::{Verdict, Wait, WaitFor};

pub(super) const RULE: Rule = Rule {
    id: "review/merge",
    text: "Merge pending and every condition of green true now, on the current configuration \
           and the last observation, no attempt under way: merged, with the head that was green \
           and a certificate. Under a condition it waits until the certificate is too old. \
           Anything not true: pending and ready_since are cleared.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, mr: &Bead) -> Verdict {
    let Some((review, url)) = live_pull_request(mr) else {
        return Verdict::NotMine;
    };
    let settings = pass.review_settings(mr);
    let Some(green) = pass.green(mr) else {
        return Verdict::NotMine;
    };
    if let Some(attempt) = &review.auto_merge.attempt {
        return Verdict::wait(Wait::on(WaitFor::Forge, "its merge is under way").since(attempt.at));
    }
    let foreign = foreign_pull_request(pass, mr, &green);
    let auto = &review.auto_merge;
    if !green.holds() {
        // Without `pending`, what the forge says is the observation's to judge.
        let clears = auto.pending || (auto.ready_since.is_some() && green.town_objects());
        let mut actions = foreign;
        if clears {
            actions.insert(0, clear(mr));
        }
        return if actions.is_empty() {
            Verdict::Wait(
                green
                    .missing()
                    .filter_map(|missing| missing.wait())
                    .collect(),
            )
        } else {
            Verdict::Act(actions)
        };
    }
    if auto.pending {
        merge(pass, mr, review, url, settings, &green)
    } else {
        Verdict::wait(delay_wait(review, settings))
    }
}

/// Green and pending: merged, unless what it rests on is too old or has changed.
fn merge(
    pass: &Pass<'_>,
    mr: &Bead,
    review: &Review,
    url: &str,
    settings: &Settings,
    green: &Green,
) -> Verdict {
    let (Some(seen), Some(since)) = (&review.observation, review.auto_merge.ready_since) else {
        return Verdict::act(clear(mr));
    };
    let AutoMergeDelay::After(delay) = settings.auto_merge_delay else {
        return Verdict::act(clear(mr));
    };
    // A longer delay was configured meanwhile: still green, but not yet for long enough.
    if seen.at.since(since) < delay {
        return Verdict::act(MarkAutoMerge {
            ready_since: Some(since),
            head_sha: review.auto_merge.head_sha.clone(),
            ..cleared(mr)
        });
    }
    // A look from a time to come was made by a clock that ran ahead: nobody knows how old it is.
    if seen.at > pass.now {
        return Verdict::act(clear(mr));
    }
    let too_old = pass.stale(seen.at, age_max(pass.policy()));
    let Due::At(until) = too_old else {
        return Verdict::act(clear(mr));
    };
    let trouble = pass
        .town
        .conditions_of(&mr.id)
        .find(|condition| condition.kind.holds_merges());
    if let Some(condition) = trouble {
        let text = "nothing is merged meanwhile";
        return Verdict::wait(condition_wait(condition, text).not_before(until));
    }
    let certificate = certify(pass.town, mr, settings, green, pass.now);
    match certificate.filter(|it| it.is_valid(settings, pass.policy(), pass.now)) {
        None => Verdict::act(clear(mr)),
        Some(certificate) => Verdict::act(MergePr {
            bead_id: mr.id.clone(),
            pr_url: url.into(),
            head_sha: certificate.head_sha.clone(),
            certificate: Box::new(certificate),
        }),
    }
}

fn cleared(mr: &Bead) -> MarkAutoMerge {
    MarkAutoMerge {
        bead_id: mr.id.clone(),
        pending: false,
        ready_since: None,
        head_sha: None,
        off_for_head: None,
        attempt_given_up: false,
    }
}

fn clear(mr: &Bead) -> ActionKind {
    cleared(mr).into()
}

/// A stored pull request that is not of the rig, or that another review has too, came from
/// outside: told once, and never merged (invariant I14).
fn foreign_pull_request(pass: &Pass<'_>, mr: &Bead, green: &Green) -> Vec<ActionKind> {
    let foreign = green
        .missing()
        .find(|condition| condition.name == PULL_REQUEST);
    match foreign {
        Some(condition) if pass.town.rig_of_review(mr).is_some() => {
            let message = format!(
                "its pull request can't be merged for it: {}",
                condition.value
            );
            pass.tell_once(mr, ReasonCode::PrIdentity, message)
        }
        Some(_) | None => vec![],
    }
}

/// Green, and the delay is not over: the look after its end makes the merge pending.
fn delay_wait(review: &Review, settings: &Settings) -> Wait {
    let mut wait = Wait::on(
        WaitFor::Forge,
        "is green; merged once it has been for the delay",
    );
    wait.since = review.auto_merge.ready_since;
    if let (Some(since), AutoMergeDelay::After(delay)) = (wait.since, settings.auto_merge_delay) {
        wait.until = Some(since.plus(delay));
    }
    wait
}

#[cfg(test)]
mod tests {
    use crate::testing::{GREEN, acts, around, settled, wakeup};

    fn with(from: &str, to: &str) -> std::string::String {
        assert!(GREEN.contains(from), "{from}");
        GREEN.replace(from, to)
    }

    const CLEARED: &str =
        "review/merge: mark_auto_merge bead_id=m1 head_sha=null pending=false ready_since=null";

    #[test]
    fn review_merge_around_the_age_of_its_certificate() {
        let looked = GREEN.replace("review.poll.last_at=-10s", "review.poll.last_at=+110s");
        let held = looked.replace(
            "town config",
            r#"town conditions=[{"kind":"merge_method_impossible","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T11:00:00Z"}] config"#,
        );
        insta::assert_snapshot!(around(&held, "110s"), @"
        just under: nothing, again at 2026-04-04T12:01:50.001Z
        at: nothing, again at 2026-04-04T12:01:50.001Z
        just over: review/merge
        ");
        assert!(acts(&looked, "110s").contains("merge_pr"));
        assert!(acts(&looked, "110001ms").contains(CLEARED));
    }

    #[test]
    fn review_merge_merges_what_is_green_and_rests() {
        insta::assert_snapshot!(settled(GREEN, "0s"), @r#"
        review/merge: merge_pr bead_id=m1 certificate={"base_branch":"main","conditions":[{"head_sha":"h1","name":"head","observed_at":"2026-04-04T11:59:50.000Z","value":"h1"},{"head_sha":"h1","name":"open","observed_at":"2026-04-04T11:59:50.000Z","value":"open"},{"head_sha":"h1","name":"not_draft","observed_at":"2026-04-04T11:59:50.000Z","value":"no draft"},{"head_sha":"h1","name":"identity","observed_at":"2026-04-04T11:59:50.000Z","value":"the pull request of this review"},{"head_sha":"h1","name":"merge_queue","observed_at":"2026-04-04T11:59:50.000Z","value":"none"},{"head_sha":"h1","name":"threads","observed_at":"2026-04-04T11:59:50.000Z","value":"0 unresolved"},{"head_sha":"h1","name":"checks","observed_at":"2026-04-04T11:59:50.000Z","value":"passing"},{"head_sha":"h1","name":"decision","observed_at":"2026-04-04T11:59:50.000Z","value":"approved"},{"head_sha":"h1","name":"mergeable","observed_at":"2026-04-04T11:59:50.000Z","value":"clean"},{"head_sha":"h1","name":"rig","observed_at":"2026-04-04T12:00:00.000Z","value":"r1"},{"head_sha":"h1","name":"pull_request","observed_at":"2026-04-04T12:00:00.000Z","value":"https://github.com/acme/r1/pull/1"},{"head_sha":"h1","name":"unblocked","observed_at":"2026-04-04T12:00:00.000Z","value":"nothing blocks it"},{"head_sha":"h1","name":"not_held","observed_at":"2026-04-04T12:00:00.000Z","value":"not held"},{"head_sha":"h1","name":"source","observed_at":"2026-04-04T12:00:00.000Z","value":"in_review"},{"head_sha":"h1","name":"newest","observed_at":"2026-04-04T12:00:00.000Z","value":"the newest of its source"},{"head_sha":"h1","name":"auto_merge","observed_at":"2026-04-04T12:00:00.000Z","value":"on"},{"head_sha":"h1","name":"delay","observed_at":"2026-04-04T12:00:00.000Z","value":"300 s"},{"head_sha":"h1","name":"not_off","observed_at":"2026-04-04T12:00:00.000Z","value":"not off for this head"},{"head_sha":"h1","name":"reviewed","observed_at":"2026-04-04T12:00:00.000Z","value":"a refinery passed h1"}],"config_hash":"838cf78780f39791","delay":300,"head_sha":"h1","method":"auto","ready_since":"2026-04-04T11:54:00.000Z","repository":"acme/r1","reviewed":"h1","rig_id":"r1"} head_sha=h1 pr_url=https://github.com/acme/r1/pull/1
        at rest after 2 passes
        "#);
    }

    #[test]
    fn review_merge_not_before_it_is_pending() {
        assert_eq!(
            acts(&with("pending=true", "pending=false"), "0s"),
            "nothing"
        );
    }

    #[test]
    fn review_merge_not_while_an_attempt_is_under_way() {
        let attempt = r#"pending=true review.auto_merge.attempt={"number":1,"head_sha":"h1","at":"2026-04-04T12:00:00Z"}"#;
        assert_eq!(acts(&with("pending=true", attempt), "0s"), "nothing");
    }

    #[test]
    fn review_merge_clears_what_is_no_longer_true() {
        for (from, to) in [
            (
                "auto_merge_delay_minutes=5",
                "auto_merge_delay_minutes=never",
            ),
            (
                "auto_merge_delay_minutes=5",
                "auto_merge_delay_minutes=5 config.refinery.auto_merge=false",
            ),
            ("b1 issue in_review", "b1 issue open assignee=a9"),
            (
                "b1 issue in_review",
                r#"b1 issue in_review labels=["gt:held"]"#,
            ),
            (
                "m1 merge_request in_progress",
                r#"m1 merge_request in_progress labels=["gt:held"]"#,
            ),
            ("review.reviewed.head_sha=h1", "review.reviewed.head_sha=h0"),
            (r#""state":"open""#, r#""state":"closed""#),
            (r#""mergeable":"clean""#, r#""mergeable":"unknown""#),
            (r#""decision_head":"h1""#, r#""decision_head":"h0""#),
            (
                "review.auto_merge.pending=true",
                "review.auto_merge.pending=true review.auto_merge.off_for_head=h1",
            ),
            (
                "edge m1 tracks b1",
                "edge m1 tracks b1\nbead m2 merge_request in_progress rig_id=r1 review.source=b1 review.verify.asked_at=0s created_at=-1d\nedge m2 tracks b1",
            ),
            (
                "edge m1 tracks b1",
                "edge m1 tracks b1\nbead w1 issue open rig_id=r1 created_at=-1d\nedge m1 blocks w1\ntown drain.nonce=n drain.started_at=0s",
            ),
        ] {
            let decided = settled(&with(from, to), "0s");
            assert!(decided.contains(CLEARED), "{to}: {decided}");
            assert!(!decided.contains("merge_pr"), "{to}: {decided}");
        }
    }

    #[test]
    fn review_merge_a_longer_delay_keeps_the_clock() {
        let longer = with("auto_merge_delay_minutes=5", "auto_merge_delay_minutes=7");
        insta::assert_snapshot!(acts(&longer, "0s"), @"review/merge: mark_auto_merge bead_id=m1 head_sha=h1 pending=false ready_since=2026-04-04T11:54:00.000Z");
    }

    /// Where no rig is known it can't be another's; that no rig is known is told by itself.
    #[test]
    fn review_merge_says_nothing_of_the_pull_request_of_no_rig() {
        let unknown = GREEN
            .replace("acme/r1/pull/1", "acme/elsewhere/pull/1")
            .replace("b1 issue in_review rig_id=r1", "b1 issue in_review")
            .replace(
                "m1 merge_request in_progress rig_id=r1",
                "m1 merge_request in_progress",
            );
        let settled = settled(&std::format!("rig r7\n{unknown}"), "0s");
        assert!(settled.contains(CLEARED), "{settled}");
        assert!(!settled.contains("pr_identity"), "{settled}");
    }

    /// The look was ten seconds ago: green for exactly the delay when it was seen is enough.
    #[test]
    fn review_merge_around_the_delay() {
        let since = |age: &str| {
            acts(
                &with("ready_since=-6m", &std::format!("ready_since={age}")),
                "0s",
            )
        };
        assert!(since("-311s").contains("merge_pr"));
        assert!(since("-310s").contains("merge_pr"));
        assert!(since("-309s").contains("mark_auto_merge bead_id=m1 head_sha=h1 pending=false"));
    }

    #[test]
    fn review_merge_clears_what_rests_on_an_old_look() {
        // Two poll intervals after the look of ten seconds ago.
        let held = with(
            "town config",
            r#"town conditions=[{"kind":"merge_method_impossible","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T11:00:00Z","told_at":"2026-04-04T11:00:00Z"}] config"#,
        );
        let held = held.replace("review.poll.last_at=-10s", "review.poll.last_at=+110s");
        assert_eq!(acts(&held, "0s"), "nothing");
        assert_eq!(wakeup(&held, "0s"), "2026-04-04T12:01:50.001Z");
        assert_eq!(acts(&held, "110s"), "nothing");
        assert!(acts(&held, "110001ms").contains(CLEARED));
    }

    #[test]
    fn review_merge_waits_while_the_forge_is_in_trouble() {
        let trouble = with(
            "town config",
            r#"town conditions=[{"kind":"credentials_rejected","subject":{"kind":"rig","id":"r1"},"since":"2026-04-04T11:00:00Z","next_probe_at":"2026-04-04T13:00:00Z"}] config"#,
        );
        assert_eq!(acts(&trouble, "0s"), "nothing");
    }

    #[test]
    fn review_merge_stops_the_clock_for_what_the_town_itself_knows() {
        let held = with(
            "b1 issue in_review",
            r#"b1 issue in_review labels=["gt:held"]"#,
        )
        .replace("pending=true", "pending=false");
        assert!(acts(&held, "0s").contains(CLEARED));
        let unknown = with(r#""mergeable":"clean""#, r#""mergeable":"unknown""#)
            .replace("pending=true", "pending=false");
        assert_eq!(acts(&unknown, "0s"), "nothing");
    }

    #[test]
    fn review_merge_never_a_foreign_or_shared_pull_request() {
        let foreign = with("acme/r1/pull/1", "acme/other/pull/1");
        insta::assert_snapshot!(settled(&foreign, "0s"), @r#"
        review/merge: mark_auto_merge bead_id=m1 head_sha=null pending=false ready_since=null
        review/merge: create_bead bead={"escalation":{"bead_id":"m1","category":"pr_identity","severity":"high"},"labels":["gt:escalation","severity:high"],"priority":"high","rig_id":"r1","status":"open","title":"pr identity: m1","type":"escalation"} bead_id=t1-e1
        review/merge: tell bead_id=m1 category=pr_identity escalation_id=t1-e1
        escalations/notify: notify_mayor message=[high] pr identity: m1

        its pull request can't be merged for it: https://github.com/acme/other/pull/1 is not of the rig's repository topic=escalation:t1-e1
        at rest after 3 passes
        "#);
        let shared = with(
            "edge m1 tracks b1",
            "edge m1 tracks b1
             bead b2 issue in_review rig_id=r1
             bead m2 merge_request in_progress rig_id=r1 review.source=b2 review.pr_url=https://github.com/ACME/r1/pull/1/ review.reviewed.at=0s review.reviewed.head_sha=x review.poll.last_at=0s review.poll.changed_at=0s
             edge m2 tracks b2",
        );
        let done = settled(&shared, "0s");
        assert!(done.contains("bead_id=m1 category=pr_identity"), "{done}");
        assert!(!done.contains("merge_pr"), "{done}");
    }

    /// A clock that ran ahead made it: nobody knows how old it is (I19).
    #[test]
    fn review_merge_not_on_a_look_from_a_time_to_come() {
        let ahead = with("observation.at=-10s", "observation.at=1ms");
        assert!(
            acts(&ahead, "0s").contains(CLEARED),
            "{}",
            acts(&ahead, "0s")
        );
        assert!(acts(&ahead, "1ms").contains("merge_pr"));
    }
}
