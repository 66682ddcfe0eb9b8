//! *Active work* (spec 3.11): whether anything in the town needs a container.

use crate::agent::{Agent, AgentStatus, Role};
use crate::bead::{Bead, BeadStatus};
use crate::eligible::{is_reviewed, issue_obstacles, needs_refinery, review_obstacles};
use crate::pass::Pass;
use crate::work::Work;

/// Whether an agent works (or is stalled with a recent heartbeat) or holds a bead, an issue waits
/// for nothing but its backoff, an MR bead needs an agent, or a triage request is open. Not: pull
/// requests that wait for the forge or for people, held, staged or blocked issues.
pub(super) fn is_there_work(pass: &Pass<'_>) -> bool {
    pass.town.agents().any(|agent| is_at_work(pass, agent))
        || pass.town.live_beads().any(|bead| needs_agent(pass, bead))
}

/// Mayors work without a hook; what they do counts apart.
fn is_at_work(pass: &Pass<'_>, agent: &Agent) -> bool {
    if agent.role == Role::Mayor {
        return false;
    }
    match agent.status {
        AgentStatus::Working => true,
        AgentStatus::Idle => agent.hook.is_some(),
        AgentStatus::Stalled => agent
            .last_activity_at
            .is_some_and(|at| !pass.silent(at, pass.policy().heartbeat_timeout).is_now()),
        AgentStatus::Waiting | AgentStatus::Dead => false,
    }
}

fn needs_agent(pass: &Pass<'_>, bead: &Bead) -> bool {
    match bead.work() {
        Some(Work::TriageRequest(_)) => bead.status == BeadStatus::Open,
        Some(_) => issue_obstacles(pass, bead).is_empty(),
        None => needs_reviewer(pass, bead),
    }
}

/// Whether an MR bead needs a refinery and has none, with nothing but time in its way.
fn needs_reviewer(pass: &Pass<'_>, mr: &Bead) -> bool {
    let Some(review) = mr.review() else {
        return false;
    };
    let settings = pass.review_settings(mr);
    let needs = match mr.status {
        BeadStatus::Open => needs_refinery(pass.town, mr, settings),
        // One that lost its refinery opens again.
        BeadStatus::InProgress | BeadStatus::InReview if review.pr_url.is_none() => {
            review.verify.is_none()
        }
        BeadStatus::InProgress | BeadStatus::InReview => {
            settings.code_review && !is_reviewed(mr, settings)
        }
        BeadStatus::Closed | BeadStatus::Failed => false,
    };
    needs
        && review_obstacles(pass.town, mr).is_empty()
        && pass.town.holders(&mr.id).next().is_none()
        && !pass.attempts_spent(mr)
        && !pass.town.lineage_spent(mr)
}

#[cfg(test)]
mod tests {
    use super::is_there_work;
    use crate::pass::Pass;
    use crate::testing::{at, town};

    fn active(text: &str) -> bool {
        let town = town(&std::format!("rig r1\n{text}"));
        is_there_work(&Pass::new(&town, at("0s")))
    }

    /// What no refinery is sent to keeps no container.
    #[test]
    fn a_review_of_a_step_is_no_active_work() {
        let review = |label: &str| {
            active(&std::format!(
                "bead b1 issue in_review rig_id=r1 labels=[{label}]\nbead m1 merge_request open rig_id=r1 review.source=b1"
            ))
        };
        assert!(review(r#""ui""#));
        assert!(!review(r#""gt:molecule-step""#));
    }

    #[test]
    fn agents_that_work_or_hold_a_bead_are_active_work() {
        for (agent, expected) in [
            ("polecat working rig_id=r1", true),
            ("polecat stalled rig_id=r1 last_activity_at=-90s", true),
            ("polecat stalled rig_id=r1 last_activity_at=-91s", false),
            ("refinery idle rig_id=r1 hook=m1", true),
            ("polecat idle rig_id=r1", false),
            ("polecat dead rig_id=r1 hook=b1", false),
            ("mayor working", false),
        ] {
            assert_eq!(
                active(&std::format!("agent a1 {agent}")),
                expected,
                "{agent}"
            );
        }
    }

    #[test]
    fn beads_that_need_an_agent_are_active_work() {
        for (bead, expected) in [
            ("issue open rig_id=r1", true),
            (
                "issue open rig_id=r1 dispatch_attempts=1 last_dispatch_attempt_at=0s",
                true,
            ),
            (r#"issue open rig_id=r1 labels=["gt:held"]"#, false),
            ("issue open rig_id=r1 dispatch_attempts=5", false),
            ("issue open", false),
            ("issue in_review rig_id=r1", false),
            (r#"issue open labels=["gt:triage-request"]"#, true),
            (r#"issue closed labels=["gt:triage-request"]"#, false),
            (r#"issue open rig_id=r1 labels=["gt:molecule-step"]"#, false),
            ("merge_request open rig_id=r1", true),
            (r#"merge_request open rig_id=r1 labels=["gt:held"]"#, false),
            ("merge_request open rig_id=r1 review.verify.number=0", false),
            ("merge_request in_progress rig_id=r1", true),
            (
                "merge_request in_progress rig_id=r1 review.verify.number=0",
                false,
            ),
            (
                "merge_request in_progress rig_id=r1 review.pr_url=https://github.com/acme/r1/pull/1",
                true,
            ),
            (
                "merge_request in_progress rig_id=r1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=0s review.reviewed.head_sha=x",
                false,
            ),
            ("escalation open", false),
            ("convoy open", false),
        ] {
            assert_eq!(active(&std::format!("bead b1 {bead}")), expected, "{bead}");
        }
    }
}
