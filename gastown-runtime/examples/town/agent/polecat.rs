//! A polecat writes code. All of its steps can be done again, wherever an earlier session ended.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::pull_requests::{PullRequests, Repair};
use super::{AgentError, Session};
use crate::evict::saved_branch;
use crate::jobs::{self, File, Job};

pub(super) fn work(session: &mut Session, marks: &Path) -> Result<(), AgentError> {
    if let Some(repair) = Repair::told(session)? {
        return repair_pull_request(session, &repair);
    }
    let (job, files) = assignment(session)?;
    session.says("reading the issue")?;
    check_branch(session)?;
    resume(session)?;
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
    let branch = session.start.branch.clone();
    let head_sha = push(session, &branch)?;
    let mut done = json!({"branch": branch, "head_sha": head_sha, "summary": job.body});
    if let Some(pull_requests) = PullRequests::of(session)? {
        session.says("opening a pull request")?;
        let (base, title) = (&session.start.target_branch, session.told("/bead/title"));
        let url = pull_requests.open(&branch, base, title)?;
        if let Some(members) = done.as_object_mut() {
            members.insert("pr_url".into(), url.into());
        }
    }
    session.call("gt_done", done)?;
    Ok(())
}

/// Makes a pull request fit again: merges what it conflicts with, writes what was asked for, and
/// answers.
fn repair_pull_request(session: &mut Session, repair: &Repair) -> Result<(), AgentError> {
    session.says("reading the pull request")?;
    let job = jobs::titled(&repair.title)
        .ok_or_else(|| AgentError::Stuck(format!("there is no script for {:?}", repair.title)))?;
    if let Some(base) = &repair.conflicts_with {
        session.says(&format!("merging {base}"))?;
        session.fetch()?;
        let theirs = format!("refs/remotes/origin/{base}");
        let merge = ["merge", "--quiet", "--no-edit", "-X", "ours", &theirs];
        session.repository.run(&merge)?;
    }
    for file in job.repair.iter().filter(|file| !is_written(file)) {
        session.says(&format!("writing {}", file.path))?;
        write(file)?;
    }
    session.says("running the tests")?;
    if let Some(problem) = session.failed_gate()? {
        return Err(AgentError::Stuck(problem));
    }
    commit(session, &format!("Repair: {}", repair.title))?;
    let head_sha = push(session, &repair.branch)?;
    session.says("answering the comments")?;
    let answer = "There are cases for the edges now.";
    repair.pull_requests.answer(repair.number, answer)?;
    let done = json!({"branch": repair.branch, "head_sha": head_sha});
    session.call("gt_done", done)?;
    Ok(())
}

/// Pushes what is checked out, and returns its commit.
fn push(session: &mut Session, branch: &str) -> Result<String, AgentError> {
    session.says("pushing the branch")?;
    let to = format!("HEAD:refs/heads/{branch}");
    session
        .repository
        .run(&["push", "--quiet", "origin", &to])?;
    Ok(session.repository.run(&["rev-parse", "HEAD"])?)
}

/// Takes over what an evicted session saved: the bead's body names the branch.
fn resume(session: &mut Session) -> Result<(), AgentError> {
    let note = session.told("/bead/body").to_owned();
    let Some(branch) = saved_branch(&note).filter(|branch| *branch != session.start.branch) else {
        return Ok(());
    };
    session.says(&format!("going on from {branch}"))?;
    session.fetch()?;
    let saved = format!("origin/{branch}");
    session
        .repository
        .run(&["merge", "--quiet", "--no-edit", &saved])?;
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
