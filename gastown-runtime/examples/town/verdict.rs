//! Whether everything ended as it should: by the town's own records, and by git.

use gastown_core::reviews::ReviewOutcome;
use gastown_core::{Bead, BeadStatus, BeadType, Review, Timestamp, check};

use crate::board::bead_titled;
use crate::directory::Directory;
use crate::failure::Failure;
use crate::git::Repository;
use crate::journal::Journal;
use crate::origins::{DEFAULT_BRANCH, ORIGINS};

/// What is wrong; empty when nothing is.
pub(crate) async fn problems(
    journal: &Journal,
    directory: &Directory,
    titles: &[&str],
    now: Timestamp,
) -> Result<Vec<String>, Failure> {
    let mut problems = Vec::new();
    for bead in journal.beads.values() {
        if bead.status != BeadStatus::Closed {
            problems.push(format!(
                "{} \"{}\" is {}",
                bead.id,
                bead.title,
                bead.status.as_str()
            ));
        }
    }
    for title in titles {
        problems.extend(not_merged_once(journal, title));
    }
    for mr in journal.beads.values() {
        if let Some(review) = merged(mr) {
            problems.extend(not_in_history(journal, directory, mr, review)?);
        }
    }
    for origin in &ORIGINS {
        problems.extend(merged_twice(&Repository::new(
            directory.origin(origin.rig),
        ))?);
    }
    for violation in check(&journal.town().await?, now) {
        problems.push(format!("{}: {}", violation.invariant, violation.message));
    }
    Ok(problems)
}

/// The review of an MR bead whose work was merged.
pub(crate) fn merged(mr: &Bead) -> Option<&Review> {
    let review = mr.review()?;
    let is_merged = !matches!(
        review.outcome,
        Some(ReviewOutcome::Superseded | ReviewOutcome::Withdrawn)
    );
    (mr.status == BeadStatus::Closed && is_merged).then_some(review)
}

/// Each job was slung once, and its work was merged once.
fn not_merged_once(journal: &Journal, title: &str) -> Option<String> {
    let beads = journal.beads.values();
    let is_slung = |bead: &&Bead| {
        bead.title == title && [BeadType::Issue, BeadType::Convoy].contains(&bead.kind.bead_type())
    };
    let slung = beads.filter(is_slung).count();
    if slung != 1 {
        return Some(format!("\"{title}\" was slung {slung} times"));
    }
    // One that did not end well was named already.
    let source = bead_titled(journal, title).filter(|bead| bead.status == BeadStatus::Closed)?;
    let mrs = journal.beads.values().filter_map(merged);
    let merges = mrs.filter(|review| review.source == source.id).count();
    (merges != 1).then(|| format!("\"{title}\" was merged {merges} times"))
}

/// The merge is on the branch that it was for, and, what comes to the same in the end, on the
/// default branch.
fn not_in_history(
    journal: &Journal,
    directory: &Directory,
    mr: &Bead,
    review: &Review,
) -> Result<Option<String>, Failure> {
    let source = journal.beads.get(&review.source);
    let rig = mr
        .rig_id
        .as_ref()
        .or(review.landing_rig.as_ref())
        .or_else(|| source?.rig_id.as_ref());
    let (Some(rig), Some(commit)) = (rig, &review.merge_commit) else {
        return Ok(Some(format!("{} has no rig or no merge commit", mr.id)));
    };
    let origin = Repository::new(directory.origin(rig.as_str()));
    for branch in [&review.target_branch, DEFAULT_BRANCH] {
        if !origin.contains(commit, &format!("refs/heads/{branch}"))? {
            return Ok(Some(format!(
                "{}: {commit} is not on {branch} of {rig}",
                mr.id
            )));
        }
    }
    Ok(None)
}

/// Merges of the same work, which would differ in nothing but their place.
fn merged_twice(origin: &Repository) -> Result<Option<String>, Failure> {
    let merges = origin.run(&["log", "--merges", "--format=%s", DEFAULT_BRANCH])?;
    let mut subjects: Vec<&str> = merges.lines().collect();
    subjects.sort_unstable();
    let mut pairs = subjects.windows(2);
    let twice = pairs.find_map(|pair| match pair {
        [one, other] if one == other => Some(*one),
        _ => None,
    });
    let place = origin.path().display();
    Ok(twice.map(|subject| format!("{place} has twice: {subject}")))
}
