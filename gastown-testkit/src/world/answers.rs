//! What comes of effects: anything that a provider or a forge may answer.

use gastown_core::effects::PollPr;
use gastown_core::{Agent, Bead, Effect, EffectKind, Town};
use serde_json::{Value, json};

use super::choose;

/// Half of the agents open a pull request of their rig.
pub(super) fn pr_url(agent: &Agent, what: u8) -> Option<String> {
    let rig = agent.rig_id.as_ref()?;
    let number = agent
        .session
        .saturating_mul(100)
        .saturating_add(what.into());
    (what < 128).then(|| format!("https://github.com/acme/{rig}/pull/{number}"))
}

/// What may come of an effect of a town, as an event without id and time; none: nothing is ever
/// heard of it.
#[must_use]
pub fn answer_to(town: &Town, effect: &Effect, how: u8) -> Option<Value> {
    let outcome = ["done", "failed", "unknown"].get(usize::from(how % 3))?;
    let event = match &effect.kind {
        EffectKind::StartAgent(start) => match how % 8 {
            0..=4 => {
                json!({"type": "agent_started", "agent_id": start.agent_id, "session": start.session})
            }
            5 => {
                json!({"type": "dispatch_failed", "agent_id": start.agent_id, "session": start.session,
                        "bead_id": start.bead_id, "reason": "no room", "outcome": "rejected"})
            }
            6 => {
                json!({"type": "dispatch_failed", "agent_id": start.agent_id, "session": start.session,
                        "bead_id": start.bead_id, "reason": "timeout", "outcome": "unknown"})
            }
            _ => return None,
        },
        EffectKind::StopAgent(stop) => {
            json!({"type": "agent_stopped", "agent_id": stop.agent_id, "session": stop.session, "outcome": outcome})
        }
        EffectKind::VerifyMerge(verify) => {
            let found = match how % 4 {
                0 | 1 => json!({"kind": "landed", "commit": "c0ffee"}),
                2 => json!({"kind": "absent"}),
                _ => json!({"kind": "unknown"}),
            };
            json!({"type": "merge_verified", "bead_id": verify.bead_id, "outcome": found})
        }
        EffectKind::CreateBranch(create) => {
            json!({"type": "branch_created", "rig_id": create.rig_id,
            "convoy_id": create.convoy_id, "branch": create.branch, "outcome": outcome})
        }
        EffectKind::DeliverNudge(nudge) => {
            json!({"type": "nudge_delivered", "nudge_id": nudge.nudge_id, "outcome": outcome})
        }
        EffectKind::NotifyMayor(notice) => {
            json!({"type": "notified", "topic": notice.topic, "outcome": outcome})
        }
        EffectKind::RefreshContainerToken(_) => {
            json!({"type": "token_refreshed", "token": "container", "outcome": outcome})
        }
        EffectKind::RenewLlmToken(_) => {
            json!({"type": "token_refreshed", "token": "llm", "outcome": outcome})
        }
        EffectKind::StopContainer(_) => return None,
        EffectKind::PollPr(poll) => match look(town, poll, how) {
            Ok(observation) => json!({"type": "pr_observed", "bead_id": poll.bead_id,
                                      "pr_url": poll.pr_url, "observation": observation}),
            Err(error) => json!({"type": "pr_observed", "bead_id": poll.bead_id,
                                 "pr_url": poll.pr_url, "error": error}),
        },
        EffectKind::MergePr(merge) => {
            let outcome = match how % 6 {
                0 | 1 => json!({"kind": "merged", "commit": "c0ffee"}),
                2 => json!({"kind": "queued"}),
                3 => json!({"kind": "refused", "status": 405, "message": "not now"}),
                4 => json!({"kind": "error", "error": {"kind": "server", "status": 502}}),
                _ => return None,
            };
            json!({"type": "merge_attempted", "bead_id": merge.bead_id, "head_sha": merge.head_sha, "outcome": outcome})
        }
    };
    Some(event)
}

/// What a forge may show of a pull request: mostly that of its review, sometimes another one's.
fn look(town: &Town, poll: &PollPr, how: u8) -> Result<Value, Value> {
    let errors = [
        json!({"kind": "server", "status": 502}),
        json!({"kind": "network"}),
        json!({"kind": "unauthorized"}),
        json!({"kind": "no_token", "tried": ["github_token"]}),
        json!({"kind": "not_found", "repository_readable": true}),
        json!({"kind": "invalid_response", "why": "no head"}),
    ];
    if how >= 240 {
        return Err(choose(&errors, how).cloned().unwrap_or(Value::Null));
    }
    let state = match how % 32 {
        0 => "merged",
        1 => "closed",
        _ => "open",
    };
    let mergeable = match how % 17 {
        0 => "dirty",
        1 => "behind",
        2 => "unknown",
        3 => "blocked",
        _ => "clean",
    };
    let checks = if how.is_multiple_of(7) {
        "failing"
    } else {
        "passing"
    };
    let review = town.bead(&poll.bead_id).and_then(Bead::review);
    let review = review.filter(|_| how % 23 != 6);
    let (head_branch, base_branch) = review.map_or(("work/1", "main"), |review| {
        (&review.branch, &review.target_branch)
    });
    let repository = poll.pr_url.trim_start_matches("https://github.com/");
    let repository = repository.split("/pull/").next().unwrap_or("acme/r1");
    Ok(
        json!({"state": state, "merge_commit": if state == "merged" { json!("c0ffee") } else { Value::Null },
        "head_sha": format!("sha{}", how / 64), "head_branch": head_branch, "head_repository": repository,
        "base_branch": base_branch, "mergeable": mergeable,
        "feedback": {"unresolved_threads": how % 9 / 8, "threads_complete": !how.is_multiple_of(13),
            "checks": {"state": checks, "failing": if checks == "failing" { json!(["lint"]) } else { json!([]) }},
            "checks_complete": !how.is_multiple_of(17), "decision": Value::Null}}),
    )
}
