//! The life of a pull request as a whole: every effect is answered, time goes from wake-up to
//! wake-up.

use std::collections::BTreeMap;
use std::string::{String, ToString};

use serde_json::{Value, json};

use crate::effect::{Effect, EffectKind};
use crate::reconcile::settle;
use crate::testing::{at, town};
use crate::time::Timestamp;
use crate::town::Town;
use crate::wakeup::next_wakeup;
use crate::wire;

const NEW: &str = "
    town config.refinery.auto_merge_delay_minutes=5 config.refinery.code_review=false
    rig r1
    agent mayor mayor working
    bead b1 issue in_review rig_id=r1
    bead m1 merge_request open rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 created_at=0s
    edge m1 tracks b1
";

/// Answers effects until `end` or until nothing is left to wait for; says what was done how often.
fn live(
    text: &str,
    end: &str,
    answer: impl FnMut(&EffectKind, Timestamp) -> Option<Value>,
) -> (Town, BTreeMap<String, usize>) {
    live_with_answers_after("0s", text, end, answer)
}

/// The same in a world that takes its time for each answer.
fn live_with_answers_after(
    latency: &str,
    text: &str,
    end: &str,
    mut answer: impl FnMut(&EffectKind, Timestamp) -> Option<Value>,
) -> (Town, BTreeMap<String, usize>) {
    let mut town = town(text);
    let latency = at(latency).since(at("0s"));
    let mut counts = BTreeMap::new();
    let mut now = at("0s");
    let mut events = 0;
    let mut under_way: BTreeMap<(Timestamp, usize), (Effect, Value)> = BTreeMap::new();
    while now <= at(end) {
        let settled = settle(&mut town, now);
        assert_eq!(settled.fault, None);
        for action in &settled.actions {
            let name = std::format!("{} {}", action.rule, action.kind.type_name());
            *counts.entry(name).or_default() += 1;
        }
        for effect in settled.effects {
            if let Some(event) = answer(&effect.kind, now) {
                events += 1;
                under_way.insert((now.plus(latency), events), (effect, event));
            }
        }
        let next = under_way.keys().next().map(|(at, _)| *at);
        match [next, next_wakeup(&town, now)].into_iter().flatten().min() {
            Some(next) => now = next,
            None => break,
        }
        while let Some(first) = under_way.first_entry().filter(|first| first.key().0 <= now) {
            let ((_, number), (effect, mut event)) = first.remove_entry();
            event["id"] = json!(std::format!("ev{number}"));
            event["at"] = json!(now.to_string());
            event["key"] = json!(effect.key);
            let event = wire::event_from_value(event).unwrap();
            let observed = town.observe(&event, now);
            assert!(observed.changed, "{}", observed.why);
        }
    }
    (town, counts)
}

fn look(mergeable: &str, checks: &str) -> Value {
    json!({"type": "pr_observed", "bead_id": "m1", "observation": {
        "state": "open", "head_sha": "h1", "head_branch": "work/m1", "head_repository": "acme/r1",
        "base_branch": "main", "mergeable": mergeable, "feedback": {
            "unresolved_threads": 0, "threads_complete": true, "checks": {"state": checks},
            "checks_complete": true}}})
}

/// The answer to a look, and to a merge if there is one.
fn answers(effect: &EffectKind, look: Value, merge: Option<Value>) -> Option<Value> {
    if let EffectKind::PollPr(_) = effect {
        return Some(look);
    }
    if let EffectKind::MergePr(asked) = effect {
        return Some(json!({"type": "merge_attempted", "bead_id": "m1",
                           "head_sha": asked.head_sha, "outcome": merge?}));
    }
    None
}

#[test]
fn a_green_pull_request_is_merged_after_its_delay() {
    let (town, counts) = live(NEW, "1h", |effect, _| {
        let merged = json!({"kind": "merged", "commit": "c1"});
        answers(effect, look("clean", "passing"), Some(merged))
    });
    insta::assert_debug_snapshot!(counts, @r#"
    {
        "review/fast-track transition_bead": 1,
        "review/merge merge_pr": 1,
        "review/poll poll_pr": 6,
    }
    "#);
    assert!(town.live_beads().next().is_none());
}

/// Asked again before it has answered, a forge that is slower than the interval would never be heard.
#[test]
fn a_forge_that_is_slower_than_the_interval_is_heard() {
    let (town, counts) = live_with_answers_after("70s", NEW, "2h", |effect, _| {
        let merged = json!({"kind": "merged", "commit": "c1"});
        answers(effect, look("clean", "passing"), Some(merged))
    });
    assert!(town.live_beads().next().is_none(), "{counts:?}");

    let (town, counts) = live_with_answers_after("130s", NEW, "4h", |effect, _| {
        let error = json!({"kind": "network"});
        let failed = json!({"type": "pr_observed", "bead_id": "m1", "error": error});
        answers(effect, failed, None)
    });
    assert_eq!(
        counts.get("conditions/tell create_bead"),
        Some(&1),
        "{counts:?}"
    );
    let condition = town.conditions().next().expect("it holds");
    assert!(condition.told_at.is_some());
}

#[test]
fn a_pull_request_whose_checks_never_report_waits_for_its_people() {
    let (town, counts) = live(NEW, "12d", |effect, _| {
        answers(effect, look("blocked", "pending"), None)
    });
    insta::assert_debug_snapshot!(counts, @r#"
    {
        "review/fast-track transition_bead": 1,
        "review/poll poll_pr": 1782,
        "review/waiting notify_mayor": 2,
    }
    "#);
    let reviews = town.live_beads().filter(|bead| bead.review().is_some());
    assert_eq!(reviews.count(), 1);
}

#[test]
fn a_merge_that_is_always_refused_ends_with_a_person() {
    let (_, counts) = live(NEW, "2h", |effect, _| {
        let refused = json!({"kind": "refused", "status": 405, "message": "a rule says no"});
        answers(effect, look("clean", "passing"), Some(refused))
    });
    assert_eq!(counts.get("review/merge merge_pr"), Some(&5));
}

#[test]
fn a_merge_without_an_answer_ends_with_a_person() {
    let (_, counts) = live(NEW, "2h", |effect, _| {
        answers(effect, look("clean", "passing"), None)
    });
    assert_eq!(counts.get("review/merge merge_pr"), Some(&5));
    assert_eq!(counts.get("review/merge-overdue mark_auto_merge"), Some(&5));
    assert_eq!(counts.get("review/merge-overdue tell"), Some(&1));
}

#[test]
fn a_queue_that_throws_it_out_again_and_again_ends_with_a_person() {
    let (_, counts) = live(NEW, "2h", |effect, _| {
        let queued = json!({"kind": "queued"});
        answers(effect, look("clean", "passing"), Some(queued))
    });
    assert_eq!(counts.get("review/merge merge_pr"), Some(&5));
}

#[test]
fn trap_20_what_a_person_took_out_of_the_queue_is_not_put_in_again() {
    let (town, counts) = live(NEW, "2h", |effect, now| {
        let mut seen = look("clean", "passing");
        if now > at("10m") {
            seen["observation"]["dequeued"] =
                json!({"at": at("10m"), "cause": "person", "reason": "manual"});
        }
        answers(effect, seen, Some(json!({"kind": "queued"})))
    });
    assert_eq!(counts.get("review/merge merge_pr"), Some(&1));
    let told = town
        .live_beads()
        .filter(|bead| bead.title.starts_with("dequeued: "));
    assert_eq!(told.count(), 1);
}

#[test]
fn a_forge_that_never_answers_is_told_once_and_probed_slowly() {
    let network = json!({"type": "pr_observed", "bead_id": "m1", "error": {"kind": "network"}});
    let (_, counts) = live(NEW, "1d", |effect, _| {
        answers(effect, network.clone(), None)
    });
    insta::assert_debug_snapshot!(counts, @r#"
    {
        "conditions/tell create_bead": 1,
        "conditions/tell set_condition": 1,
        "escalations/notify notify_mayor": 1,
        "escalations/repeat notify_mayor": 3,
        "escalations/repeat re_escalate": 3,
        "review/fast-track transition_bead": 1,
        "review/poll poll_pr": 147,
    }
    "#);
}

#[test]
fn a_forge_that_comes_back_goes_on_by_itself() {
    let broken = json!({"type": "pr_observed", "bead_id": "m1",
                        "error": {"kind": "server", "status": 502}});
    let (town, counts) = live(NEW, "6h", |effect, now| {
        let merged = json!({"kind": "merged", "commit": "c1"});
        let seen = if now < at("5h") {
            broken.clone()
        } else {
            look("clean", "passing")
        };
        answers(effect, seen, Some(merged))
    });
    assert_eq!(counts.get("conditions/tell set_condition"), Some(&1));
    assert_eq!(counts.get("conditions/end notify_mayor"), Some(&1));
    assert!(town.live_beads().all(|bead| bead.review().is_none()));
}
