//! What there is to say at the end.

use std::io::{self, Write};
use std::time::Duration;

use gastown_core::{Bead, BeadId, BeadType};

use crate::board::bead_titled;
use crate::directory::Directory;
use crate::failure::Failure;
use crate::git::Repository;
use crate::jobs;
use crate::journal::Journal;
use crate::origins::{DEFAULT_BRANCH, ORIGINS};
use crate::sanitize;
use crate::verdict::merged;

/// The width of the longest line; text beyond it is cut.
const WIDTH: usize = 160;
/// A pair of states that comes so often is not written out.
const REPEATS_SHOWN_MAX: usize = 3;

/// Prints it all. A reader that has gone away does not matter.
pub(crate) fn print(
    journal: &Journal,
    directory: &Directory,
    elapsed: Duration,
    problems: &[String],
) -> Result<(), Failure> {
    let mut text = String::new();
    beads(journal, &mut text);
    origins(directory, &mut text)?;
    rules(journal, &mut text);
    let actions: u64 = journal.actions.values().sum();
    text.push_str(&format!(
        "\n{} ticks, {actions} actions, {:.1} s\n\n",
        journal.ticks,
        elapsed.as_secs_f64()
    ));
    if problems.is_empty() {
        text.push_str(
            "Everything is closed, every merge is in its origin's history, no invariant is violated.\n",
        );
    } else {
        text.push_str("Not as it should be:\n");
        for problem in problems {
            text.push_str(&format!("  {}\n", sanitize::line(problem, WIDTH)));
        }
    }
    text.push_str(&format!("All of it is in {}\n", directory.path().display()));
    drop(io::stdout().write_all(text.as_bytes()));
    Ok(())
}

/// Each bead with its path through the states; what was made for it stands below it.
fn beads(journal: &Journal, text: &mut String) {
    text.push_str("\nBeads\n");
    let tasks = jobs::CONVOY.tasks.iter().map(|job| job.title);
    let issues = jobs::ISSUES.iter().map(|job| job.title);
    let mut shown = Vec::new();
    for title in issues.chain([jobs::CONVOY.title]).chain(tasks) {
        if let Some(bead) = bead_titled(journal, title) {
            family(journal, bead, 1, &mut shown, text);
        }
    }
    for bead in journal.beads.values() {
        if !shown.contains(&bead.id) {
            family(journal, bead, 1, &mut shown, text);
        }
    }
}

/// A bead, then its reviews, then what repairs them.
fn family(
    journal: &Journal,
    bead: &Bead,
    depth: usize,
    shown: &mut Vec<BeadId>,
    text: &mut String,
) {
    if shown.contains(&bead.id) {
        return;
    }
    shown.push(bead.id.clone());
    let indent = "  ".repeat(depth);
    let title = format!("{indent}{}", sanitize::line(&bead.title, 40));
    let line = format!("{title:<38} {}{}", path(journal, bead), landing(bead));
    text.push_str(&sanitize::line(&line, WIDTH));
    text.push('\n');
    let mut children: Vec<&Bead> = journal
        .beads
        .values()
        .filter(|child| {
            child
                .review()
                .is_some_and(|review| review.source == bead.id)
                || child.parent_id.as_ref() == Some(&bead.id)
        })
        .collect();
    children.sort_by_key(|child| (child.created_at, child.id.clone()));
    for child in children {
        family(journal, child, depth.saturating_add(1), shown, text);
    }
}

/// The states that a bead went through; a pair that comes again and again stands once, with how
/// often.
fn path(journal: &Journal, bead: &Bead) -> String {
    let steps = journal.steps.iter().filter(|step| step.bead == bead.id);
    let mut states: Vec<&str> = steps
        .clone()
        .take(1)
        .map(|step| step.from.as_str())
        .collect();
    states.extend(steps.map(|step| step.to.as_str()));
    if states.is_empty() {
        states.push(bead.status.as_str());
    }
    let mut shown = Vec::new();
    let mut rest = states.as_slice();
    while let [first, others @ ..] = rest {
        let pair = rest.get(..2).unwrap_or_default();
        let times = rest
            .chunks_exact(2)
            .take_while(|next| *next == pair)
            .count();
        if times >= REPEATS_SHOWN_MAX {
            shown.push(format!("({})×{times}", pair.join(" → ")));
            rest = rest.get(times.saturating_mul(2)..).unwrap_or_default();
        } else {
            shown.push((*first).to_owned());
            rest = others;
        }
    }
    shown.join(" → ")
}

/// Where the work of a merged review is.
fn landing(bead: &Bead) -> String {
    let Some(review) = merged(bead).filter(|_| bead.kind.bead_type() == BeadType::MergeRequest)
    else {
        return String::new();
    };
    let commit: String = review
        .merge_commit
        .iter()
        .flat_map(|commit| commit.chars())
        .take(7)
        .collect();
    format!("  {commit} on {}", review.target_branch)
}

/// What landed, as git tells it.
fn origins(directory: &Directory, text: &mut String) -> Result<(), Failure> {
    for origin in &ORIGINS {
        let repository = Repository::new(directory.origin(origin.rig));
        let log = ["log", "--graph", "--oneline", DEFAULT_BRANCH];
        text.push_str(&format!("\n{}: git {}\n", origin.rig, log.join(" ")));
        for line in repository.run(&log)?.lines() {
            text.push_str(&format!("  {}\n", sanitize::line(line, WIDTH)));
        }
    }
    Ok(())
}

fn rules(journal: &Journal, text: &mut String) {
    text.push_str("\nActions by rule\n");
    for (rule, count) in &journal.actions {
        text.push_str(&format!("  {count:>4}  {rule}\n"));
    }
}
