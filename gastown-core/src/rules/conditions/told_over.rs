//! `beads/told-over`: what a person was told and is no longer true may be told again.

use alloc::vec::Vec;

use crate::action::{ActionKind, Untell};
use crate::bead::Bead;
use crate::bead::BeadStatus;
use crate::convoy::BranchState;
use crate::forge::Mergeable;
use crate::green::{PULL_REQUEST, identity_problem, needs_feedback_repair};
use crate::pass::Pass;
use crate::reason::ReasonCode;
use crate::review::Review;
use crate::rules::{On, Rule};
use crate::town::Blocker;
use crate::verdict::Verdict;

pub(super) const RULE: Rule = Rule {
    id: "beads/told-over",
    text: "A told category whose cause has ended is forgotten, so that it can be told again. \
           Categories of single happenings stay.",
    on: On::LiveBead(evaluate),
};

fn evaluate(pass: &Pass<'_>, bead: &Bead) -> Verdict {
    let over: Vec<ActionKind> = bead
        .told
        .keys()
        .filter(|told| {
            LASTING
                .iter()
                .any(|(category, lasts)| category == *told && !lasts(pass, bead))
        })
        .map(|category| {
            let bead_id = bead.id.clone();
            let category = *category;
            Untell { bead_id, category }.into()
        })
        .collect();
    if over.is_empty() {
        Verdict::NotMine
    } else {
        Verdict::Act(over)
    }
}

/// Whether the cause of a category still holds for a bead.
type Lasts = fn(&Pass<'_>, &Bead) -> bool;

/// The categories that tell of a state, each with the state. A state here is never narrower than
/// the guard of the rule or event that tells it: else the two would take turns for ever.
const LASTING: &[(ReasonCode, Lasts)] = &[
    (ReasonCode::LineageSpent, |pass, bead| {
        pass.town.lineage_spent(bead)
    }),
    (ReasonCode::BlockedByFailed, |pass, bead| {
        let blockers = pass.town.open_blockers(&bead.id);
        blockers
            .iter()
            .any(|blocker| matches!(blocker, Blocker::Failed(_)))
    }),
    (ReasonCode::NoRig, |pass, bead| {
        pass.town.rig_of(bead).is_none()
    }),
    (ReasonCode::MrWithoutRig, |pass, bead| {
        bead.status == BeadStatus::Open && pass.town.rig_of_review(bead).is_none()
    }),
    // Until a person lets it be done again.
    (ReasonCode::SharedBranch, |_, bead| bead.held),
    (ReasonCode::MoleculeAlone, |pass, bead| {
        pass.town.worked_on_through(bead).is_none()
    }),
    (ReasonCode::ConvoyEmpty, |pass, bead| {
        pass.town.issues_of(&bead.id).is_empty()
    }),
    (ReasonCode::SomeFailed, |pass, bead| {
        let issues = pass.town.issues_of(&bead.id);
        issues
            .iter()
            .any(|issue| issue.status == BeadStatus::Failed)
    }),
    (ReasonCode::BranchFailed, |_, bead| {
        bead.convoy().is_some_and(|convoy| {
            let mut branches = convoy.branches.values();
            branches.any(|branch| branch.state != BranchState::Created)
        })
    }),
    (ReasonCode::MergeConflict, |_, bead| {
        reviewed(bead, conflict_lasts)
    }),
    (ReasonCode::PrIdentity, |pass, bead| {
        let problem = bead
            .review()
            .and_then(|review| identity_problem(pass.town, bead, review));
        problem.is_some()
            || pass
                .green(bead)
                .is_some_and(|green| !green.has(PULL_REQUEST))
    }),
    (ReasonCode::RepairFailed, |pass, bead| {
        pass.town.failed_repair_for_head(bead).is_some()
    }),
    (ReasonCode::RepairRoundsSpent, |pass, bead| {
        let limit = pass.policy().repair_rounds;
        reviewed(bead, |review| {
            needs_feedback_repair(review) && review.repair_rounds.feedback >= limit
        })
    }),
    (ReasonCode::MergeRefused, |_, bead| {
        reviewed(bead, |review| review.auto_merge.off_for_head.is_some())
    }),
    (ReasonCode::Dequeued, |_, bead| {
        reviewed(bead, |review| review.auto_merge.off_for_head.is_some())
    }),
    (ReasonCode::PrUnreachable, |_, bead| {
        reviewed(bead, |review| {
            review.poll.transient_errors > 0 || review.poll.credential_errors > 0
        })
    }),
    (ReasonCode::MergeUnverified, |_, bead| {
        reviewed(bead, |review| review.verify.is_some())
    }),
];

fn reviewed(bead: &Bead, lasts: impl Fn(&Review) -> bool) -> bool {
    bead.review().is_some_and(lasts)
}

/// A conflict ends by a look that is neither dirty nor behind, not by a new head alone.
fn conflict_lasts(review: &Review) -> bool {
    let seen = review.observation.as_ref();
    review.conflict.is_some()
        || seen.is_none_or(|seen| match seen.observation.mergeable {
            Mergeable::Dirty | Mergeable::Behind | Mergeable::Unknown => true,
            Mergeable::Clean | Mergeable::Blocked | Mergeable::Unstable | Mergeable::HasHooks => {
                false
            }
        })
}

#[cfg(test)]
mod tests {
    use crate::testing::acts;

    #[test]
    fn beads_told_over_unsays_what_has_ended_and_keeps_single_happenings() {
        let town = r#"
            rig r1
            bead b1 issue in_review rig_id=r1 told={"no_rig":"2026-04-04T11:00:00Z","late_done":"2026-04-04T11:00:00Z","lineage_spent":"2026-04-04T11:00:00Z"}
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s told={"merge_refused":"2026-04-04T11:00:00Z","pr_unreachable":"2026-04-04T11:00:00Z"} review.poll.transient_errors=10
            edge m1 tracks b1
        "#;
        insta::assert_snapshot!(acts(town, "0s"), @"
        beads/told-over: untell bead_id=b1 category=lineage_spent
        beads/told-over: untell bead_id=b1 category=no_rig
        beads/told-over: untell bead_id=m1 category=merge_refused
        review/waiting: notify_mayor message=https://github.com/acme/r1/pull/1 has not changed since 2026-03-05T12:00:00.000Z. It waits for: a first look; delay (never; people merge) topic=pr_waiting:m1
        ");
    }

    #[test]
    fn beads_told_over_not_while_it_lasts() {
        let town = r#"
            bead b1 issue open told={"no_rig":"2026-04-04T11:00:00Z"}
            bead b2 issue open told={"blocked_by_failed":"2026-04-04T11:00:00Z"}
            bead b3 issue failed
            edge b2 blocks b3
        "#;
        assert!(!acts(town, "0s").contains("told-over"));
    }

    #[test]
    fn beads_told_over_a_conflict_ends_by_a_look() {
        let town = |mergeable: &str| {
            std::format!(
                r#"
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s told={{"merge_conflict":"2026-04-04T11:00:00Z"}} review.observation={{"at":"2026-04-04T12:00:00Z","observation":{{"state":"open","head_sha":"h1","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"{mergeable}"}}}}
            edge m1 tracks b1"#
            )
        };
        assert!(!acts(&town("unknown"), "0s").contains("told-over"));
        assert!(!acts(&town("dirty"), "0s").contains("told-over"));
        assert!(acts(&town("blocked"), "0s").contains("told-over"));
    }

    /// A refinery has taken it: should it wait again, a person is told again.
    #[test]
    fn beads_told_over_of_a_review_without_a_rig_that_is_under_way() {
        let town = "
            rig r1
            rig r2
            agent a1 refinery working rig_id=r2 hook=m1 session=1 dispatched_at=0s last_activity_at=0s
            bead b1 issue in_review status_changed_at=0s
            bead m1 merge_request in_progress review.source=b1 told.mr_without_rig=-1h
            edge m1 tracks b1
        ";
        assert_eq!(
            acts(town, "0s"),
            "beads/told-over: untell bead_id=m1 category=mr_without_rig"
        );
        let waits = "
            rig r1
            rig r2
            bead b1 issue in_review status_changed_at=0s
            bead m1 merge_request open review.source=b1 told.mr_without_rig=-1h
            edge m1 tracks b1
        ";
        assert_eq!(acts(waits, "0s"), "nothing");
    }

    /// A review of which a person was told `category`, with what is between.
    fn told(category: &str, more: &str) -> bool {
        let town = std::format!(
            r#"
            town policy.repair_rounds=2
            rig r1
            bead b1 issue in_review rig_id=r1
            bead m1 merge_request in_progress rig_id=r1 review.source=b1 review.pr_url=https://github.com/acme/r1/pull/1 review.reviewed.at=-1h review.reviewed.head_sha=h1 review.poll.last_at=0s told.{category}=-1h {more}
            edge m1 tracks b1"#
        );
        !acts(&town, "0s").contains("told-over")
    }

    #[test]
    fn beads_told_over_once_the_pull_request_was_reached() {
        assert!(told("pr_unreachable", "review.poll.transient_errors=1"));
        assert!(told("pr_unreachable", "review.poll.credential_errors=1"));
        assert!(!told("pr_unreachable", "review.poll.transient_errors=0"));
    }

    /// Of the rounds of a conflict the conflict itself is told.
    #[test]
    fn beads_told_over_once_nothing_needs_the_rounds_that_are_spent() {
        let rounds = |mergeable: &str, threads: u32, spent: &str| {
            let seen = std::format!(
                r#"review.observation={{"at":"2026-04-04T12:00:00Z","observation":{{"state":"open","head_sha":"h1","head_branch":"work/m1","head_repository":"acme/r1","base_branch":"main","mergeable":"{mergeable}","feedback":{{"unresolved_threads":{threads},"threads_complete":true,"checks_complete":true,"checks":{{"state":"passing"}}}}}}}}"#
            );
            told(
                "repair_rounds_spent",
                &std::format!("review.repair_rounds={spent} {seen}"),
            )
        };
        assert!(rounds("blocked", 1, r#"{"feedback":2}"#));
        assert!(rounds("blocked", 1, r#"{"feedback":3}"#));
        assert!(!rounds("blocked", 1, r#"{"feedback":1,"conflict":2}"#));
        assert!(!rounds("blocked", 0, r#"{"feedback":2}"#));
        assert!(!rounds("dirty", 0, r#"{"conflict":2,"feedback":2}"#));
    }

    #[test]
    fn beads_told_over_once_no_issue_of_a_convoy_is_failed() {
        let told = |status: &str| {
            let town = std::format!(
                "
                rig r1
                bead c1 convoy open convoy.total=2 told.some_failed=-1h
                bead b1 issue {status} rig_id=r1
                bead b2 issue open rig_id=r1 labels=[\"gt:held\"]
                edge b1 tracks c1
                edge b2 tracks c1"
            );
            !acts(&town, "0s").contains("told-over")
        };
        assert!(told("failed"));
        assert!(!told("open labels=[\"gt:held\"]"));
    }
}
