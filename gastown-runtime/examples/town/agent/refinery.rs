//! A refinery reviews and merges. Whatever an earlier session did is looked up on the origin first.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::{AgentError, Session};

/// How often a merge is made anew because its target moved.
const MERGE_TRIES_MAX: u32 = 5;

/// What the review found.
struct Finding {
    feedback: String,
    files: Vec<String>,
}

/// What came of a merge.
enum Merge {
    Pushed(String),
    TargetMoved,
    Conflict(Finding),
}

pub(super) fn work(session: &mut Session) -> Result<(), AgentError> {
    session.says("reading the branch")?;
    session.fetch()?;
    let head = session
        .repository
        .run(&["rev-parse", &origin(&session.start.branch)])?;
    if let Some(commit) = landed(session, &head)? {
        return done(session, &commit);
    }
    session.says("running the gates")?;
    if let Some(finding) = review(session, &head)? {
        return request_changes(session, &finding);
    }
    for _ in 0..MERGE_TRIES_MAX {
        session.says(&format!("merging into {}", session.start.target_branch))?;
        match merge(session, &head)? {
            Merge::Pushed(commit) => return done(session, &commit),
            Merge::Conflict(finding) => return request_changes(session, &finding),
            Merge::TargetMoved => session.fetch()?,
        }
    }
    Err(AgentError::Stuck("the target does not stand still".into()))
}

/// The origin's branch, as of the last fetch.
fn origin(branch: &str) -> String {
    format!("refs/remotes/origin/{branch}")
}

/// The commit that brought `head` to the target, if one did: an earlier session may have ended
/// between its push and its word.
fn landed(session: &Session, head: &str) -> Result<Option<String>, AgentError> {
    let target = origin(&session.start.target_branch);
    if !session.repository.contains(head, &target)? {
        return Ok(None);
    }
    let range = format!("{head}..{target}");
    let merges = session.repository.run(&[
        "rev-list",
        "--ancestry-path",
        "--merges",
        "--topo-order",
        "--reverse",
        &range,
    ])?;
    let first = merges.lines().next();
    Ok(Some(first.unwrap_or(head).to_owned()))
}

/// What is wrong with the branch, by the gates and the repository's REVIEW.md.
fn review(session: &Session, head: &str) -> Result<Option<Finding>, AgentError> {
    let repository = &session.repository;
    repository.run(&["checkout", "--quiet", "--force", "--detach", head])?;
    let range = format!("{}...{head}", origin(&session.start.target_branch));
    let changed = repository.run(&["diff", "--name-only", &range])?;
    if let Some(feedback) = session.failed_gate()? {
        let files = changed.lines().map(str::to_owned).collect();
        return Ok(Some(Finding { feedback, files }));
    }
    for file in changed.lines() {
        let name = file
            .strip_prefix("lib/")
            .and_then(|name| name.strip_suffix(".sh"));
        let Some(test) = name.map(|name| format!("tests/{name}.test")) else {
            continue;
        };
        let cases = fs::read_to_string(Path::new(&test)).unwrap_or_default();
        if !cases.contains("\"edge:") {
            return Ok(Some(Finding {
                feedback: format!("{test} needs a case that begins with `edge:` (REVIEW.md)."),
                files: vec![file.to_owned(), test],
            }));
        }
    }
    Ok(None)
}

/// Merges onto the target as it stands on the origin, runs the gates once more, pushes.
fn merge(session: &mut Session, head: &str) -> Result<Merge, AgentError> {
    let message = message(session);
    let target = session.start.target_branch.clone();
    let repository = &session.repository;
    let onto = origin(&target);
    repository.run(&["checkout", "--quiet", "--force", "--detach", &onto])?;
    let merge = ["merge", "--quiet", "--no-ff", "-m", &message, head];
    if let Err(error) = repository.run(&merge) {
        let unmerged = repository.run(&["diff", "--name-only", "--diff-filter=U"])?;
        if unmerged.is_empty() {
            return Err(error.into());
        }
        repository.run(&["merge", "--abort"])?;
        return Ok(Merge::Conflict(Finding {
            feedback: format!("The branch conflicts with {target}: merge {target} into it."),
            files: unmerged.lines().map(str::to_owned).collect(),
        }));
    }
    if let Some(problem) = session.failed_gate()? {
        let feedback = format!("Merged with {target}, {problem}");
        let files = Vec::new();
        return Ok(Merge::Conflict(Finding { feedback, files }));
    }
    let to = format!("HEAD:refs/heads/{target}");
    let pushed = session.repository.run(&["push", "--quiet", "origin", &to]);
    if pushed.is_err() {
        return Ok(Merge::TargetMoved);
    }
    let commit = session.repository.run(&["rev-parse", "HEAD"])?;
    Ok(Merge::Pushed(commit))
}

/// The message of the merge commit.
fn message(session: &Session) -> String {
    let lands = session
        .start
        .context
        .pointer("/review_context/lands_convoy");
    let verb = match lands.and_then(Value::as_bool) {
        Some(true) => "Land",
        Some(false) | None => "Merge",
    };
    let title = session.told("/review_context/original_title");
    format!("{verb} \"{title}\"")
}

fn done(session: &mut Session, merge_commit: &str) -> Result<(), AgentError> {
    let branch = session.start.branch.clone();
    let input = json!({"branch": branch, "merge_commit": merge_commit});
    session.call("gt_done", input)?;
    Ok(())
}

fn request_changes(session: &mut Session, finding: &Finding) -> Result<(), AgentError> {
    session.says("asking for changes")?;
    let input = json!({"feedback": finding.feedback, "files": finding.files});
    session.call("gt_request_changes", input)?;
    let branch = session.start.branch.clone();
    session.call("gt_done", json!({"branch": branch}))?;
    Ok(())
}
