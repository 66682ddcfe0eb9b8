//! What the observation documents answer, piece by piece; each piece knows whether it is whole.

use chrono::{DateTime, Utc};

use super::documents::MergeQueueSupport;
use super::envelope::{Envelope, Place};
use crate::checks::{CheckRun, Conclusion, Context, RunIdentity, Status, StatusWord};
use crate::observation::{Decision, DequeueCause, Dequeued, ForgeError};

/// A part of a list, with where it goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    /// What could be read.
    pub(crate) items: Vec<T>,
    /// Whether everything on this page could be read.
    pub(crate) whole: bool,
    /// Where the next page begins; none on the last one.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// A list that is known to be empty.
    fn empty() -> Self {
        Self {
            items: Vec::new(),
            whole: true,
            next: None,
        }
    }

    /// A list of which nothing is known.
    fn unknown() -> Self {
        Self {
            items: Vec::new(),
            whole: false,
            next: None,
        }
    }
}

/// A review thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Thread {
    pub(crate) is_resolved: bool,
}

/// What a review says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReviewWord {
    Approved,
    ChangesRequested,
    /// Dismissed, a comment, or something that does not decide.
    Indifferent,
    /// A word that this version does not know.
    Other,
}

/// A writer's latest opinion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Review {
    pub(crate) word: ReviewWord,
    pub(crate) at: Option<DateTime<Utc>>,
    pub(crate) head: Option<String>,
}

/// A fact that may have been unreadable.
pub(crate) type Known<T> = Option<T>;

/// What the branch demands, as GraphQL shows it to everyone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BranchRule {
    pub(crate) required_contexts: Vec<String>,
    pub(crate) required_approvals: u64,
}

/// All pieces of an observation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Feed {
    pub(crate) id: Option<String>,
    pub(crate) head: Option<String>,
    pub(crate) base: Option<String>,
    /// The forge's summary of reviews; the inner none is "no review required".
    pub(crate) decision: Known<Option<Decision>>,
    /// Whether the server has words for queues; one that has none says "no" to both flags.
    pub(crate) shows_queues: bool,
    pub(crate) in_queue: Known<bool>,
    pub(crate) queue_enabled: Known<bool>,
    /// How the head left the queue; the inner none is "it did not, or the server never tells".
    pub(crate) dequeued: Known<Option<Dequeued>>,
    pub(crate) branch_rule: Known<BranchRule>,
    pub(crate) threads: Page<Thread>,
    pub(crate) reviews: Page<Review>,
    pub(crate) contexts: Page<Context>,
    /// What was reported on the test merge of this very head.
    pub(crate) merge_contexts: Page<Context>,
}

/// Another page and the head that it was read for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct MorePage<T> {
    pub(crate) head: Option<String>,
    pub(crate) page: Page<T>,
}

/// Reads the answer to `Observation`, which asked for as much about queues as the server knows.
pub(crate) fn feed(envelope: &Envelope, support: MergeQueueSupport) -> Result<Feed, ForgeError> {
    let found = pull_request(envelope)?;
    let head = text(&found.at("headRefOid"));
    let flag = |key: &str| {
        let place = found.at(key);
        match support {
            MergeQueueSupport::Present | MergeQueueSupport::Untold => {
                place.json().flag().filter(|_| !place.is_spoilt())
            }
            // An old server has no queues that it could show.
            MergeQueueSupport::Absent => Some(false),
        }
    };
    let dequeued = match support {
        MergeQueueSupport::Present => left_queue(&found.at("timelineItems")),
        MergeQueueSupport::Untold | MergeQueueSupport::Absent => Some(None),
    };
    Ok(Feed {
        id: text(&found.at("id")),
        base: text(&found.at("baseRefName")),
        decision: decision(&found.at("reviewDecision")),
        shows_queues: support != MergeQueueSupport::Absent,
        in_queue: flag("isInMergeQueue"),
        queue_enabled: flag("isMergeQueueEnabled"),
        dequeued,
        branch_rule: branch_rule(&found.at("baseRef")),
        threads: page(&found.at("reviewThreads"), None, thread),
        reviews: page(&found.at("latestOpinionatedReviews"), None, review),
        contexts: head_contexts(&found.at("statusCheckRollup"), head.as_deref()),
        merge_contexts: merge_contexts(&found.at("potentialMergeCommit"), head.as_deref()),
        head,
    })
}

/// Reads the answer to `MoreThreads`.
pub(crate) fn more_threads(envelope: &Envelope) -> Result<MorePage<Thread>, ForgeError> {
    let found = pull_request(envelope)?;
    let head = text(&found.at("headRefOid"));
    Ok(MorePage {
        head,
        page: page(&found.at("reviewThreads"), None, thread),
    })
}

/// Reads the answer to `MoreReviews`.
pub(crate) fn more_reviews(envelope: &Envelope) -> Result<MorePage<Review>, ForgeError> {
    let found = pull_request(envelope)?;
    let head = text(&found.at("headRefOid"));
    Ok(MorePage {
        head,
        page: page(&found.at("latestOpinionatedReviews"), None, review),
    })
}

/// Reads the answer to `MoreContexts`.
pub(crate) fn more_contexts(envelope: &Envelope) -> Result<MorePage<Context>, ForgeError> {
    let found = pull_request(envelope)?;
    let head = text(&found.at("headRefOid"));
    let page = head_contexts(&found.at("statusCheckRollup"), head.as_deref());
    Ok(MorePage { head, page })
}

/// Reads the answer to `MergeCommit`.
pub(crate) fn merge_commit(envelope: &Envelope) -> Result<Option<String>, ForgeError> {
    Ok(text(
        &pull_request(envelope)?.along(&["mergeCommit", "oid"]),
    ))
}

/// How the head left the queue. An item that can't be read may be the hand that took it out, so
/// without any one of them nothing is known (trap 10).
fn left_queue(timeline: &Place<'_>) -> Known<Option<Dequeued>> {
    let items = timeline.at("nodes").items()?;
    let name = |it: &Place<'_>| it.json().at("__typename").text().map(str::to_owned);
    if timeline.is_spoilt() || items.iter().any(|it| name(it).is_none()) {
        return None;
    }
    let is_push = |it: &Place<'_>| {
        matches!(
            name(it).as_deref(),
            Some("PullRequestCommit" | "HeadRefForcePushedEvent")
        )
    };
    let of_head = items.iter().rev().take_while(|it| !is_push(it));
    let mut left: Vec<Dequeued> = of_head
        .filter(|it| name(it).as_deref() == Some("RemovedFromMergeQueueEvent"))
        .map(dequeued)
        .collect::<Option<_>>()?;
    // A hand that took it out is not forgotten because the queue threw it out once more; only a
    // merge is the end of it. So every look of one head says the same, however many were missed.
    let is_merged = left
        .first()
        .is_some_and(|it| it.cause == DequeueCause::Merge);
    let by_hand = left.iter().position(|it| it.cause == DequeueCause::Person);
    let index = by_hand.filter(|_| !is_merged).unwrap_or_default();
    Some((index < left.len()).then(|| left.swap_remove(index)))
}

fn dequeued(event: &Place<'_>) -> Option<Dequeued> {
    let json = event.json();
    let reason = json.at("reason").word();
    let by_user = json.along(&["actor", "__typename"]).text() == Some("User");
    let cause = match reason.map(str::to_ascii_lowercase).as_deref() {
        Some("manual") => DequeueCause::Person,
        Some("merge" | "merged" | "already_merged") => DequeueCause::Merge,
        // Without a word there is only the hand that did it.
        None if by_user => DequeueCause::Person,
        Some(_) | None => DequeueCause::Other,
    };
    Some(Dequeued {
        at: json.at("createdAt").time()?,
        cause,
        reason: reason.map(str::to_owned),
    })
}

fn pull_request(envelope: &Envelope) -> Result<Place<'_>, ForgeError> {
    let repository = envelope.root().at("repository");
    let found = repository.at("pullRequest");
    if found.json().is_there() {
        return Ok(found);
    }
    let why = envelope.why_nothing();
    let is_missing = matches!(why, ForgeError::NotFound { .. });
    // An answer that shows the repository is no trouble of the others in it.
    Err(if is_missing && repository.json().is_there() {
        ForgeError::NotFound {
            repository_readable: true,
        }
    } else {
        why
    })
}

fn text(place: &Place<'_>) -> Option<String> {
    place.json().word().map(str::to_owned)
}

fn decision(place: &Place<'_>) -> Known<Option<Decision>> {
    if place.is_spoilt() {
        return None;
    }
    if !place.json().is_there() {
        return Some(None);
    }
    match place.json().text() {
        Some("APPROVED") => Some(Some(Decision::Approved)),
        Some("CHANGES_REQUESTED") => Some(Some(Decision::ChangesRequested)),
        // A word that is not known says at least that reviews matter.
        Some(_) | None => Some(Some(Decision::ReviewRequired)),
    }
}

fn branch_rule(base: &Place<'_>) -> Known<BranchRule> {
    let rule = base.at("refUpdateRule");
    // Without the branch itself nothing is known about its rules.
    if rule.is_spoilt() || !base.json().is_there() {
        return None;
    }
    let contexts = rule.json().at("requiredStatusCheckContexts").items();
    Some(BranchRule {
        required_contexts: contexts
            .filter_map(|it| it.word())
            .map(str::to_owned)
            .collect(),
        required_approvals: rule
            .json()
            .at("requiredApprovingReviewCount")
            .natural()
            .unwrap_or(0),
    })
}

fn page<T>(
    connection: &Place<'_>,
    tolerated: Option<&str>,
    item: fn(&Place<'_>) -> Option<T>,
) -> Page<T> {
    let Some(nodes) = connection.at("nodes").items() else {
        return Page::unknown();
    };
    let count = nodes.len();
    let items: Vec<T> = nodes.iter().filter_map(item).collect();
    let info = connection.at("pageInfo").json();
    let (more, next) = (info.at("hasNextPage").flag(), info.at("endCursor").word());
    let spoilt = connection.is_spoilt_beyond(tolerated);
    // A next page without a way to it is a list that cannot be read to its end.
    let reachable = more == Some(false) || (more == Some(true) && next.is_some());
    Page {
        whole: !spoilt && reachable && items.len() == count,
        next: next.filter(|_| more == Some(true)).map(str::to_owned),
        items,
    }
}

fn thread(node: &Place<'_>) -> Option<Thread> {
    Some(Thread {
        is_resolved: node.json().at("isResolved").flag()?,
    })
}

fn review(node: &Place<'_>) -> Option<Review> {
    let json = node.json();
    let word = match json.at("state").text()?.to_ascii_uppercase().as_str() {
        "APPROVED" => ReviewWord::Approved,
        "CHANGES_REQUESTED" => ReviewWord::ChangesRequested,
        "COMMENTED" | "DISMISSED" | "PENDING" => ReviewWord::Indifferent,
        _ => ReviewWord::Other,
    };
    let head = json.along(&["commit", "oid"]).word().map(str::to_owned);
    Some(Review {
        word,
        at: json.at("submittedAt").time(),
        head,
    })
}

/// The field whose absence only makes two runs harder to tell apart.
const WORKFLOW: &str = "workflowRun";

fn head_contexts(rollup: &Place<'_>, head: Option<&str>) -> Page<Context> {
    if !rollup.json().is_there() {
        return if rollup.is_spoilt() {
            Page::unknown()
        } else {
            Page::empty()
        };
    }
    let mut found = page(&rollup.at("contexts"), Some(WORKFLOW), context);
    // Reports on another commit say nothing about this head.
    let commit = rollup.along(&["commit", "oid"]);
    found.whole &= head.is_some() && commit.json().word() == head;
    found
}

fn merge_contexts(commit: &Place<'_>, head: Option<&str>) -> Page<Context> {
    let rollup = commit.at("statusCheckRollup");
    if commit.is_spoilt_beyond(Some(WORKFLOW)) {
        return Page::unknown();
    }
    let parents: Vec<_> = commit
        .along(&["parents", "nodes"])
        .items()
        .unwrap_or_default();
    let of_head = parents
        .iter()
        .any(|it| it.json().at("oid").word() == head && head.is_some());
    // A test merge of an earlier head stays visible until the next one is made.
    if !rollup.json().is_there() || !of_head {
        return Page::empty();
    }
    let mut found = page(&rollup.at("contexts"), Some(WORKFLOW), context);
    found.whole &= found.next.is_none();
    found
}

fn context(node: &Place<'_>) -> Option<Context> {
    match node.json().at("__typename").text()? {
        "CheckRun" => check_run(node).map(Context::Run),
        "StatusContext" => status(node).map(Context::Status),
        _ => None,
    }
}

fn check_run(node: &Place<'_>) -> Option<CheckRun> {
    let json = node.json();
    let suite = node.at("checkSuite");
    let workflow = suite.at(WORKFLOW);
    let owned = |path: &[&str]| workflow.json().along(path).word().map(str::to_owned);
    let identity = if workflow.is_spoilt() {
        RunIdentity::Unknown
    } else {
        RunIdentity::Of {
            workflow: owned(&["workflow", "name"]),
            event: owned(&["event"]),
        }
    };
    Some(CheckRun {
        name: json.at("name").word()?.to_owned(),
        app: suite.json().along(&["app", "databaseId"]).integer(),
        identity,
        started_at: json.at("startedAt").time(),
        conclusion: conclusion(json.at("status").text()?, json.at("conclusion").text()),
    })
}

fn conclusion(status: &str, conclusion: Option<&str>) -> Conclusion {
    if !status.eq_ignore_ascii_case("COMPLETED") {
        return Conclusion::Unfinished;
    }
    match conclusion.map(str::to_ascii_uppercase).as_deref() {
        Some("SUCCESS" | "NEUTRAL") => Conclusion::Passed,
        Some("SKIPPED") => Conclusion::Skipped,
        // Everything else does not pass, a word that is not known included.
        Some(_) | None => Conclusion::Failed,
    }
}

fn status(node: &Place<'_>) -> Option<Status> {
    let json = node.json();
    let word = match json.at("state").text()?.to_ascii_uppercase().as_str() {
        "SUCCESS" => StatusWord::Passed,
        "FAILURE" | "ERROR" => StatusWord::Failed,
        "EXPECTED" => StatusWord::NotReported,
        _ => StatusWord::Unfinished,
    };
    Some(Status {
        name: json.at("context").word()?.to_owned(),
        word,
        at: json.at("createdAt").time(),
        is_required: json.at("isRequired").flag() == Some(true),
    })
}

#[cfg(test)]
mod tests;
