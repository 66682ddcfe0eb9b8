//! What people see of the pull requests of a rig (spec 4.8).

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use serde::Serialize;

use crate::bead::{Bead, BeadStatus};
use crate::green::green;
use crate::ids::{BeadId, RigId};
use crate::reason::ReasonCode;
use crate::review::{Review, ReviewOutcome};
use crate::time::Timestamp;
use crate::town::Town;

/// A pull request that nothing changed about for longer than this is stale.
const STALE_AFTER: Duration = Duration::from_secs(24 * 3600);
/// Activity is recent for as long.
const RECENT: Duration = STALE_AFTER;
/// The longest that the lists of what has ended or happened become; the newest stay.
const LIST_MAX: usize = 50;

/// The pull requests of a rig: what is open, what failed, what is stale, and what happened lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RigQueue {
    /// The rig.
    pub rig_id: RigId,
    /// Open pull requests: by priority, age and id.
    pub open: Vec<QueuedReview>,
    /// Reviews that failed, the latest first, 50 at most.
    pub failed: Vec<FailedReview>,
    /// Those of `open` that nothing changed about for longer than 24 hours, the longest first.
    pub stale: Vec<BeadId>,
    /// What happened within the last 24 hours, the latest first, 50 at most.
    pub recent: Vec<ReviewActivity>,
}

/// An open pull request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueuedReview {
    /// The MR bead.
    pub bead_id: BeadId,
    /// Its title.
    pub title: String,
    /// The issue or convoy whose work it is.
    pub source: BeadId,
    /// The pull request.
    pub pr_url: String,
    /// The head last seen.
    pub head_sha: Option<String>,
    /// Whether it is green.
    pub is_green: bool,
    /// Since when it has been green without a break.
    pub ready_since: Option<Timestamp>,
    /// What it waits for, for a person; empty for one that is green.
    pub waits_for: String,
    /// When anything about it last changed.
    pub changed_at: Timestamp,
}

/// A review that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FailedReview {
    /// The MR bead.
    pub bead_id: BeadId,
    /// Its title.
    pub title: String,
    /// The issue or convoy whose work it was.
    pub source: BeadId,
    /// The pull request, if it had one.
    pub pr_url: Option<String>,
    /// The reason's code; none where the failure was not recorded.
    pub code: Option<ReasonCode>,
    /// The reason, for a person.
    pub message: String,
    /// When it failed.
    pub at: Timestamp,
}

/// Something that happened to a review.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReviewActivity {
    /// When.
    pub at: Timestamp,
    /// The MR bead.
    pub bead_id: BeadId,
    /// What.
    pub what: ReviewStep,
}

/// What can happen to a review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReviewStep {
    /// It was made.
    Opened,
    /// Something observed about its pull request changed.
    Changed,
    /// A refinery passed it.
    Reviewed,
    /// The engine asked for its merge.
    MergeAsked,
    /// It was merged.
    Merged,
    /// Another review of its source was merged.
    Superseded,
    /// A person closed it.
    Withdrawn,
    /// It failed.
    Failed,
}

/// The pull requests of a rig, for people (spec 4.8); none when there is no such rig.
///
/// A review without a rig counts to the one that is inferred for it, as everywhere.
///
/// ```
/// use gastown_core::{merge_queue, wire};
/// let town = wire::snapshot_from_str(r#"{
///     "format": "gastown.town/1", "town": {"id": "t1"},
///     "rigs": [{"id": "r1", "name": "api", "git_url": "https://github.com/acme/api.git",
///               "default_branch": "main", "created_at": "2026-04-04T12:00:00Z"}]
/// }"#)?;
/// let queue = merge_queue(&town, "2026-04-04T12:00:00Z".parse()?, &"r1".parse()?).unwrap();
/// assert!(queue.open.is_empty());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn merge_queue(town: &Town, now: Timestamp, rig: &RigId) -> Option<RigQueue> {
    let rig_id = town.rig(rig)?.id.clone();
    let is_here = |mr: &&Bead| town.rig_of_review(mr).is_some_and(|of| of.id == rig_id);
    let open: Vec<QueuedReview> = town
        .live_pull_requests()
        .filter(is_here)
        .filter_map(|mr| queued(town, mr))
        .collect();
    let mut failed = Vec::new();
    let mut recent = Vec::new();
    for mr in town.beads().filter(is_here) {
        let Some(review) = mr.review() else { continue };
        if mr.status == BeadStatus::Failed {
            failed.push(failed_review(town, mr, review));
        }
        recent.extend(activity(mr, review).filter(|did| now.since(did.at) <= RECENT));
    }
    failed.sort_by_key(|review| (Reverse(review.at), review.bead_id.clone()));
    failed.truncate(LIST_MAX);
    recent.sort_by_key(|did| (Reverse(did.at), did.bead_id.clone(), Reverse(did.what)));
    recent.truncate(LIST_MAX);
    Some(RigQueue {
        rig_id,
        stale: stale(&open, now),
        open,
        failed,
        recent,
    })
}

fn queued(town: &Town, mr: &Bead) -> Option<QueuedReview> {
    let review = mr.review()?;
    let green = green(town, mr, &town.settings_of_review(mr))?;
    Some(QueuedReview {
        bead_id: mr.id.clone(),
        title: mr.title.clone(),
        source: town.source_of(mr)?.clone(),
        pr_url: review.pr_url.clone()?,
        head_sha: review.head_sha.clone(),
        is_green: green.holds(),
        ready_since: review.auto_merge.ready_since,
        waits_for: green.summary(),
        changed_at: review.changed_at(mr),
    })
}

fn failed_review(town: &Town, mr: &Bead, review: &Review) -> FailedReview {
    let failure = mr.failure.as_ref();
    FailedReview {
        bead_id: mr.id.clone(),
        title: mr.title.clone(),
        source: town.source_of(mr).unwrap_or(&review.source).clone(),
        pr_url: review.pr_url.clone(),
        code: failure.map(|failure| failure.code),
        message: failure.map_or_else(
            || "its reason was not recorded".to_string(),
            |failure| failure.message.clone(),
        ),
        at: mr.closed_at.unwrap_or_else(|| mr.in_status_since()),
    }
}

fn stale(open: &[QueuedReview], now: Timestamp) -> Vec<BeadId> {
    let mut stale: Vec<&QueuedReview> = open
        .iter()
        .filter(|review| now.since(review.changed_at) > STALE_AFTER)
        .collect();
    stale.sort_by_key(|review| (review.changed_at, &review.bead_id));
    stale
        .into_iter()
        .map(|review| review.bead_id.clone())
        .collect()
}

/// What is known to have happened to a review.
fn activity(mr: &Bead, review: &Review) -> impl Iterator<Item = ReviewActivity> {
    let ended = match (mr.status, review.outcome) {
        (BeadStatus::Failed, _) => Some(ReviewStep::Failed),
        (BeadStatus::Closed, Some(ReviewOutcome::Superseded)) => Some(ReviewStep::Superseded),
        (BeadStatus::Closed, Some(ReviewOutcome::Withdrawn)) => Some(ReviewStep::Withdrawn),
        (BeadStatus::Closed, Some(ReviewOutcome::Merged) | None) => Some(ReviewStep::Merged),
        (BeadStatus::Open | BeadStatus::InProgress | BeadStatus::InReview, _) => None,
    };
    let ended_at = mr.closed_at.unwrap_or_else(|| mr.in_status_since());
    let attempt = review.auto_merge.attempt.as_ref();
    let reviewed = review.reviewed.as_ref();
    let steps = [
        Some((mr.created_at, ReviewStep::Opened)),
        review.poll.changed_at.map(|at| (at, ReviewStep::Changed)),
        reviewed.map(|reviewed| (reviewed.at, ReviewStep::Reviewed)),
        attempt.map(|attempt| (attempt.at, ReviewStep::MergeAsked)),
        ended.map(|what| (ended_at, what)),
    ];
    let bead_id = mr.id.clone();
    steps
        .into_iter()
        .flatten()
        .map(move |(at, what)| ReviewActivity {
            at,
            bead_id: bead_id.clone(),
            what,
        })
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use super::{RigQueue, merge_queue};
    use crate::testing::{GREEN, at, town};

    fn queue(text: &str, after: &str) -> RigQueue {
        merge_queue(&town(text), at(after), &"r1".parse().unwrap()).unwrap()
    }

    fn more() -> String {
        std::format!(
            "{GREEN}
            rig r2
            bead b2 issue in_review rig_id=r1
            bead m2 merge_request in_progress title=second rig_id=r1 created_at=-2d review.source=b2 review.pr_url=https://github.com/acme/r1/pull/2 review.poll.changed_at=-24h
            edge m2 tracks b2
            bead m3 merge_request failed title=third rig_id=r1 closed_at=-2h review.source=b3 failure.code=pr_closed failure.message=\"closed by hand\"
            bead m4 merge_request closed rig_id=r1 closed_at=-1h review.source=b4 review.outcome=superseded
            bead m5 merge_request open rig_id=r2 review.source=b5 review.pr_url=https://github.com/acme/r2/pull/1
            bead m6 merge_request open rig_id=r1 review.source=b6"
        )
    }

    #[test]
    fn the_queue_shows_open_failed_stale_and_recent() {
        let queue = queue(&more(), "0s");
        let open: Vec<_> = queue
            .open
            .iter()
            .map(|pr| (pr.bead_id.as_str(), pr.is_green, pr.waits_for.as_str()))
            .collect();
        insta::assert_debug_snapshot!(open, @r#"
        [
            (
                "m1",
                true,
                "",
            ),
            (
                "m2",
                false,
                "a first look; reviewed (no refinery has passed it)",
            ),
        ]
        "#);
        let failed: Vec<_> = queue
            .failed
            .iter()
            .map(|failed| std::format!("{}: {}", failed.bead_id, failed.message))
            .collect();
        assert_eq!(failed, ["m3: closed by hand"]);
        let recent: Vec<_> = queue
            .recent
            .iter()
            .map(|did| std::format!("{} {:?}", did.bead_id, did.what))
            .collect();
        assert_eq!(
            recent,
            [
                "m1 Changed",
                "m1 Reviewed",
                "m4 Superseded",
                "m3 Failed",
                "m2 Changed"
            ]
        );
    }

    #[test]
    fn a_pull_request_is_stale_after_a_day_without_any_change() {
        let stale = |after| {
            let queue = queue(&more(), after);
            queue
                .stale
                .iter()
                .map(|id| id.as_str().into())
                .collect::<Vec<String>>()
        };
        assert_eq!(stale("0s"), Vec::<String>::new());
        assert_eq!(stale("1ms"), ["m2"]);
    }

    #[test]
    fn there_is_no_queue_without_the_rig() {
        let town = town(GREEN);
        assert_eq!(merge_queue(&town, at("0s"), &"r9".parse().unwrap()), None);
    }
}
