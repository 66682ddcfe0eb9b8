//! The town as a table: one line per job, whatever beads its work takes.

use gastown_core::{Agent, Bead, BeadStatus, BeadType};

use crate::jobs::{self, Job};
use crate::journal::Journal;

/// How far a job is; also how its line is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    Waits,
    Works,
    Reviews,
    Repairs,
    Done,
    Failed,
}

/// One line of the table.
pub(crate) struct Line {
    pub(crate) stage: Stage,
    pub(crate) title: String,
    pub(crate) rig: &'static str,
    pub(crate) state: String,
    /// Who works on it and what it says, if anybody does.
    pub(crate) agent: Option<(String, String)>,
}

/// The lines of all jobs: the issues, then the convoy with its tasks.
pub(crate) fn lines(journal: &Journal) -> Vec<Line> {
    let convoy = std::iter::once(convoy_line(journal));
    let tasks = jobs::CONVOY.tasks.iter().map(|job| {
        let mut line = job_line(journal, job);
        line.title.insert_str(0, "  ");
        line
    });
    let issues = jobs::ISSUES.iter().map(|job| job_line(journal, job));
    // A town that works by pull requests has no convoy.
    let is_slung = |line: &Line| bead_titled(journal, line.title.trim_start()).is_some();
    issues.chain(convoy).chain(tasks).filter(is_slung).collect()
}

/// The bead that a job was slung as.
pub(crate) fn bead_titled<'a>(journal: &'a Journal, title: &str) -> Option<&'a Bead> {
    let of_people = [BeadType::Issue, BeadType::Convoy];
    let mut beads = journal.beads.values();
    beads.find(|bead| bead.title == title && of_people.contains(&bead.kind.bead_type()))
}

fn job_line(journal: &Journal, job: &Job) -> Line {
    let mut line = Line {
        stage: Stage::Waits,
        title: job.title.into(),
        rig: job.rig,
        state: "not slung yet".into(),
        agent: None,
    };
    let Some(bead) = bead_titled(journal, job.title) else {
        return line;
    };
    match bead.status {
        BeadStatus::Open => line.state = why_open(journal, job, bead),
        BeadStatus::InProgress => {
            line.stage = Stage::Works;
            line.state = "working".into();
            line.agent = on(journal, bead);
        }
        BeadStatus::InReview => show_review(journal, bead, &mut line),
        BeadStatus::Closed => (line.stage, line.state) = (Stage::Done, "merged".into()),
        BeadStatus::Failed => (line.stage, line.state) = (Stage::Failed, "failed".into()),
    }
    line
}

fn why_open(journal: &Journal, job: &Job, bead: &Bead) -> String {
    let is_merged = |title: &str| {
        bead_titled(journal, title).is_some_and(|bead| bead.status == BeadStatus::Closed)
    };
    match job.after.iter().find(|title| !is_merged(title)) {
        Some(title) => format!("after {title}"),
        None if bead.last_dispatch_attempt_at.is_some() => "will be tried again".into(),
        None => "queued".into(),
    }
}

/// Where the newest review of `source` is.
fn show_review(journal: &Journal, source: &Bead, line: &mut Line) {
    line.stage = Stage::Reviews;
    let reviews = journal.beads.values().filter(|bead| {
        let review = bead.review();
        bead.is_live() && review.is_some_and(|review| review.source == source.id)
    });
    let Some(mr) = reviews.max_by_key(|bead| bead.created_at) else {
        line.state = "in review".into();
        return;
    };
    let repairs = |bead: &&Bead| bead.is_live() && bead.parent_id.as_ref() == Some(&mr.id);
    if let Some(repair) = journal.beads.values().find(repairs) {
        line.stage = Stage::Repairs;
        line.state = "rework".into();
        line.agent = on(journal, repair);
        return;
    }
    line.agent = on(journal, mr);
    let is_verified = mr.review().is_some_and(|review| review.verify.is_some());
    line.state = match (mr.status, is_verified) {
        (BeadStatus::Open, _) => "waits for review",
        (_, true) => "verifying the merge",
        (_, false) => "in review",
    }
    .into();
}

fn convoy_line(journal: &Journal) -> Line {
    let job = &jobs::CONVOY;
    let mut line = Line {
        stage: Stage::Waits,
        title: job.title.into(),
        rig: job.rig,
        state: "not slung yet".into(),
        agent: None,
    };
    let Some(bead) = bead_titled(journal, job.title) else {
        return line;
    };
    match bead.status {
        BeadStatus::Closed => (line.stage, line.state) = (Stage::Done, "landed".into()),
        BeadStatus::Failed => (line.stage, line.state) = (Stage::Failed, "failed".into()),
        BeadStatus::Open | BeadStatus::InProgress | BeadStatus::InReview => {
            let (closed, total) = bead.convoy().map_or((0, 0), |c| (c.closed, c.total));
            if closed == total && total > 0 {
                show_review(journal, bead, &mut line);
            } else {
                line.state = format!("{closed} of {total} merged");
            }
        }
    }
    line
}

/// The agent that is hooked to `bead`.
fn on(journal: &Journal, bead: &Bead) -> Option<(String, String)> {
    let holds = |agent: &&Agent| agent.hook.as_ref() == Some(&bead.id);
    let agent = journal.agents.iter().find(holds)?;
    let says = agent.status_message.clone().unwrap_or_default();
    Some((agent.name.clone(), says))
}
