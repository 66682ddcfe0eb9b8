//! Reviews of a generated town: pull requests near and far from green, and direct merges.

use serde_json::{Map, Value, json};

use super::beads::Shape;
use super::dice::Dice;
use super::form::{flag, time, when};
use super::{BeadSeed, TownSeed};

impl TownSeed {
    pub(super) fn review(
        &self,
        n: usize,
        seed: &BeadSeed,
        shape: &Shape,
        shapes: &[Shape],
    ) -> Value {
        let mut dice = Dice::new(seed.more.rotate_left(40));
        let rig = shape.rig.as_str().unwrap_or("r0");
        let mut review = Map::new();
        let mut add = |name: &str, holds: bool, value: Value| {
            if holds {
                review.insert(name.into(), value);
            }
        };
        add("branch", true, format!("work/{n}").into());
        add("target_branch", true, "main".into());
        add("source", true, shape.other.clone());
        let has_pr = flag(seed.flags, 4);
        if has_pr {
            // Now and then two reviews have one pull request.
            let number = if dice.one_in(12) {
                1
            } else {
                n.saturating_add(1)
            };
            add("pr_url", true, pull_request(rig, number));
            let seen_at = dice.age(&[10, 59, 10, 200, 4_000, -30]);
            let seen = !dice.one_in(4);
            let sight = observation(n, rig, seen_at, &mut dice);
            add("head_sha", true, "abc".into());
            add("head_seen_at", true, time(dice.age(&[1_000, 20])));
            add("observation", seen, sight);
            let passed = dice.pick(&["abc", "old"]).copied();
            add(
                "reviewed",
                flag(seed.flags, 6),
                json!({"head_sha": passed, "at": time(60)}),
            );
            add("poll", flag(seed.flags, 5), poll(seed, seen_at, &mut dice));
            add("auto_merge", dice.of(3) > 0, auto_merge(seen_at, &mut dice));
            add(
                "waiting",
                dice.one_in(4),
                json!({"told_at": time(90_000), "times": 1}),
            );
            let rounds = dice.of(6);
            add(
                "repair_rounds",
                true,
                json!({"feedback": rounds, "conflict": dice.of(6)}),
            );
            add("conflict", dice.one_in(8), json!({"since": time(300)}));
        } else {
            let asked = when(dice.one_in(2), time(dice.age(&[10, 301, 5_000])));
            let tries = dice.of(7);
            let verify = json!({"number": tries, "asked_at": asked, "tries": tries});
            add("verify", dice.one_in(3), verify);
            add("verifications", true, tries.into());
        }
        let landed = landed_convoy(shapes, &mut dice);
        let lands = landed.is_some();
        if let Some(convoy) = landed {
            add("convoy", true, convoy.clone());
            add("source", true, convoy);
            add("landing_rig", !shape.rig.is_null(), shape.rig.clone());
        }
        let outcome = dice.pick(&["merged", "superseded", "withdrawn"]).copied();
        add(
            "outcome",
            shape.status == "closed" && dice.one_in(2),
            outcome.into(),
        );
        let lands_all = dice.one_in(2);
        add("lands_all", lands && dice.one_in(2), lands_all.into());
        let at_work = json!({"agent_id": format!("a{}", dice.of(4)), "session": dice.of(3)});
        add("head_changed_in", has_pr && dice.one_in(8), at_work);
        Value::Object(review)
    }
}

fn pull_request(rig: &str, number: usize) -> Value {
    format!("https://github.com/acme/{rig}/pull/{number}").into()
}

/// Once in a while a review lands a convoy.
fn landed_convoy(shapes: &[Shape], dice: &mut Dice) -> Option<Value> {
    if !dice.one_in(10) {
        return None;
    }
    let at = shapes.iter().position(Shape::is_convoy)?;
    Some(format!("b{at}").into())
}

fn poll(seed: &BeadSeed, seen_at: i64, dice: &mut Dice) -> Value {
    json!({
        "last_at": time(seed.touched_seconds.min(seen_at)), "attempts": dice.of(20),
        "last_ok_at": time(seen_at), "changed_at": time(dice.age(&[100, 4_000, 90_000])),
        "due_now": dice.one_in(6), "pr_errors": dice.of(3), "transient_errors": dice.of(11),
    })
}

/// What was seen: half of the time all is green, else each fact may be anything.
fn observation(n: usize, rig: &str, seen_at: i64, dice: &mut Dice) -> Value {
    let mut dice = if dice.one_in(2) { Dice::new(0) } else { *dice };
    let dice = &mut dice;
    let checks = match dice.of(8) {
        0..=3 => json!({"state": "passing"}),
        4 => json!({"state": "none"}),
        5 => json!({"state": "failing", "failing": ["lint"]}),
        6 => json!({"state": "pending", "required_missing": ["build"]}),
        _ => json!({"state": "pending", "pending": ["test"]}),
    };
    let mergeable = [
        "clean", "clean", "clean", "unknown", "dirty", "behind", "blocked", "unstable",
    ];
    let decision = [
        json!(null),
        json!("approved"),
        json!("approved"),
        json!("changes_requested"),
        json!("review_required"),
    ];
    let budget = json!({"remaining": dice.of(30), "resets_at": time(-600)});
    let head = if dice.one_in(9) { "new" } else { "abc" };
    let branch = if dice.one_in(12) {
        "other".into()
    } else {
        format!("work/{n}")
    };
    let approved = if dice.one_in(5) { "old" } else { "abc" };
    json!({
        "at": time(seen_at),
        "observation": {
            "state": "open", "head_sha": head, "head_branch": branch,
            "head_repository": format!("acme/{rig}"), "base_branch": "main",
            "is_draft": dice.one_in(9), "stacked": dice.one_in(15),
            "mergeable": dice.pick(&mergeable),
            "merge_queue": if dice.one_in(9) { "queued" } else { "none" },
            "feedback": {
                "unresolved_threads": u8::from(dice.one_in(5)), "threads_complete": !dice.one_in(9),
                "checks": checks, "checks_complete": !dice.one_in(9),
                "decision": dice.pick(&decision), "decision_head": approved,
            },
            "api_budget": when(dice.one_in(6), budget),
        },
    })
}

fn auto_merge(seen_at: i64, dice: &mut Dice) -> Value {
    let since = dice.age(&[5_000, 5_000, 30, 4_500]);
    let attempted = dice.one_in(6);
    json!({
        "ready_since": time(since), "head_sha": if dice.one_in(9) { "old" } else { "abc" },
        "pending": !dice.one_in(4), "last_green_at": time(seen_at), "attempts": dice.of(3),
        "attempt": when(attempted, json!({"number": 1, "head_sha": "abc",
                                          "at": time(dice.age(&[20, 301, 4_000]))})),
        "refusals": dice.of(6),
        "off_for_head": when(dice.one_in(8), dice.pick(&["abc", "old", "unseen"]).copied().into()),
    })
}
