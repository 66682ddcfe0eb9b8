//! A polecat writes code. All of its steps can be done again, wherever an earlier session ended.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::{AgentError, Session};
use crate::jobs::{self, File, Job};

pub(super) fn work(session: &mut Session, marks: &Path) -> Result<(), AgentError> {
    let (job, files) = assignment(session)?;
    session.says("reading the issue")?;
    check_branch(session)?;
    for file in files.iter().filter(|file| !is_written(file)) {
        session.says(&format!("writing {}", file.path))?;
        write(file)?;
        if job.crashes_once && first_time(marks)? {
            return Err(AgentError::Crash);
        }
    }
    session.says("running the tests")?;
    if let Some(problem) = session.failed_gate()? {
        return Err(AgentError::Stuck(problem));
    }
    commit(session, session.told("/bead/title"))?;
    session.says("pushing the branch")?;
    let branch = session.start.branch.clone();
    let to = format!("HEAD:refs/heads/{branch}");
    session
        .repository
        .run(&["push", "--quiet", "origin", &to])?;
    let head_sha = session.repository.run(&["rev-parse", "HEAD"])?;
    let summary = job.body;
    session.call(
        "gt_done",
        json!({"branch": branch, "head_sha": head_sha, "summary": summary}),
    )?;
    Ok(())
}

/// The script for a bead, or for the repair of one.
fn assignment(session: &Session) -> Result<(&'static Job, &'static [File]), AgentError> {
    let issue = session.told("/bead/title");
    let repaired = session.told("/rework_context/original_title");
    let title = if repaired.is_empty() { issue } else { repaired };
    let job = jobs::titled(title)
        .ok_or_else(|| AgentError::Stuck(format!("there is no script for {title:?}")))?;
    let files = if repaired.is_empty() {
        job.files
    } else {
        job.repair
    };
    Ok((job, files))
}

/// The runtime has checked out the branch to work on: a commit elsewhere would be lost.
fn check_branch(session: &Session) -> Result<(), AgentError> {
    let here = session
        .repository
        .run(&["symbolic-ref", "--quiet", "--short", "HEAD"])?;
    if here == session.start.branch {
        return Ok(());
    }
    let branch = &session.start.branch;
    Err(AgentError::Stuck(format!("on {here}, not on {branch}")))
}

/// An earlier session that was cut off may have come so far.
fn is_written(file: &File) -> bool {
    fs::read_to_string(file.path).is_ok_and(|text| text == file.text)
}

fn write(file: &File) -> Result<(), AgentError> {
    fs::write(file.path, file.text).map_err(|source| AgentError::File {
        path: file.path.into(),
        source,
    })
}

/// Whether this never happened before in this run; remembered first, so that it never does again.
fn first_time(marks: &Path) -> Result<bool, AgentError> {
    let mark = marks.join("crashed");
    match fs::File::create_new(&mark) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(AgentError::File {
            path: mark.display().to_string(),
            source,
        }),
    }
}

/// Commits what there is; an earlier session may have done it.
fn commit(session: &Session, message: &str) -> Result<(), AgentError> {
    let repository = &session.repository;
    repository.run(&["add", "--all"])?;
    if repository.ask(&["diff", "--cached", "--quiet"])? {
        return Ok(());
    }
    repository.run(&["commit", "--quiet", "-m", message])?;
    Ok(())
}
