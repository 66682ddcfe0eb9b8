//! The town that a seed begins with: settings, thresholds, rigs, and now and then a review that has
//! no rig.

use std::time::Duration;

use gastown_core::{FailedBlocker, Policy, Town, wire};
use serde_json::{Value, json};

use super::Settings;
use super::dice::Dice;
use crate::overlay::lay_over;
use crate::towns::now;

/// The name of every simulated town.
pub(crate) const TOWN: &str = "sim";

/// A town of one to three rigs, with the host's configuration and policy if it gave them.
pub(crate) fn town(dice: &Dice, settings: &Settings) -> Result<Town, String> {
    let pick = |limit, what| dice.below(limit, what, "setup", 0);
    let rigs = pick(3, "rigs").saturating_add(1);
    let rigs: Vec<Value> = (1..=rigs)
        .map(|n| {
            json!({"id": format!("r{n}"), "name": format!("rig {n}"), "default_branch": "main",
                   "git_url": format!("https://github.com/acme/r{n}.git"),
                   "created_at": now().to_string()})
        })
        .collect();
    let delay = match pick(4, "delay") {
        0 => json!(0),
        1 => json!("never"),
        _ => json!(5),
    };
    let some = |what| pick(2, what) == 0;
    let mostly = |what| pick(4, what) != 0;
    let max_polecats = match pick(3, "polecats") {
        0 => json!(null),
        n => json!(n.saturating_mul(2)),
    };
    let mut config = json!({
        "merge_strategy": if mostly("strategy") { "pr" } else { "direct" },
        "max_polecats_per_rig": max_polecats,
        "refinery": {
            "code_review": mostly("review"),
            "review_mode": if some("mode") { "rework" } else { "comments" },
            "auto_merge_delay_minutes": delay,
            "review_every_head": some("every head"),
            "require_fresh_approval": some("fresh approval"),
            "auto_resolve_pr_feedback": mostly("feedback"),
            "auto_resolve_merge_conflicts": mostly("conflicts"),
        },
    });
    if let Some(own) = &settings.config {
        lay_over(&mut config, own);
    }
    let (beads, edges) = if pick(3, "no rig") == 0 {
        without_rig()
    } else {
        (json!([]), json!([]))
    };
    let snapshot = json!({"format": wire::SNAPSHOT_FORMAT, "rigs": rigs,
        "town": {"id": TOWN, "config": config,
                 "policy": policy(dice, settings)?},
        "beads": beads, "dependencies": edges});
    wire::snapshot_from_value(snapshot).map_err(|error| format!("the setup is refused: {error}"))
}

/// A review whose rig is known to nobody, with a source that has none either (I9).
fn without_rig() -> (Value, Value) {
    let at = now().to_string();
    let beads = json!([
        {"id": "stray", "type": "issue", "status": "in_review", "title": "a stray", "rig_id": null,
         "created_at": at},
        {"id": "stray-mr", "type": "merge_request", "status": "open", "title": "a stray review",
         "rig_id": null, "created_at": at,
         "review": {"branch": "stray", "target_branch": "main", "source": "stray"}},
    ]);
    let edges = json!([{"bead_id": "stray-mr", "depends_on": "stray", "type": "tracks"}]);
    (beads, edges)
}

/// The host's, or the defaults with some thresholds moved.
fn policy(dice: &Dice, settings: &Settings) -> Result<Value, String> {
    let policy = settings.policy.clone().unwrap_or_else(|| some_policy(dice));
    serde_json::to_value(policy).map_err(|error| format!("the policy is refused: {error}"))
}

fn some_policy(dice: &Dice) -> Policy {
    let pick = |limit, what| dice.below(limit, what, "policy", 0);
    let mut policy = Policy::default();
    let minutes = |n: u64| Duration::from_secs(n.saturating_mul(60));
    if pick(2, "failed blocker") == 0 {
        policy.failed_blocker = FailedBlocker::Release;
    }
    policy.poll_give_up_after = match pick(4, "give up") {
        0 => Some(Duration::ZERO),
        1 => Some(minutes(120)),
        _ => None,
    };
    if pick(4, "short") == 0 {
        policy.gupp_warn = minutes(5);
        policy.gupp_escalate = minutes(10);
        policy.gupp_stop = minutes(20);
        policy.stalled_timeout = minutes(30);
        policy.pr_waiting_notice = minutes(120);
    }
    if pick(4, "strict") == 0 {
        policy.repair_rounds = 2;
        policy.merge_refusal_limit = 2;
        policy.lineage_dispatches = 8;
        policy.landing_attempts = 2;
    }
    // So that probes can all be made within hours.
    if pick(2, "few probes") == 0 {
        policy.probe_limit = 2;
    }
    policy
}
