//! Branches and what is between two of them.

use serde_json::json;

use super::{Answer, Stop};
use crate::fake_github::call::{Call, Reply};
use crate::fake_github::render;
use crate::fake_github::repository::Repository;
use crate::fake_github::world::Permission;

pub(super) fn route(repository: &mut Repository, call: &Call<'_>, below: &[&str]) -> Answer {
    match (call.method, below) {
        ("GET", ["ref", "heads", branch @ ..]) => {
            let branch = branch.join("/");
            Ok(match repository.head(&branch)? {
                Some(head) => Reply::ok(render::git_ref(repository, &branch, &head)),
                None => Reply::not_found(),
            })
        }
        ("POST", ["refs"]) => create(repository, call),
        _ => Ok(Reply::not_found()),
    }
}

fn create(repository: &mut Repository, call: &Call<'_>) -> Answer {
    call.needs(Permission::WriteContents)?;
    let (name, sha) = (call.need("ref")?, call.need("sha")?);
    let invalid = |message: &str| Ok(Reply::error(422, message));
    let Some(branch) = name.strip_prefix("refs/heads/") else {
        return invalid("Reference name must start with 'refs/heads/'");
    };
    if !repository.git.has(sha) {
        return invalid("Object does not exist");
    }
    if repository.head(branch)?.is_some() {
        return invalid("Reference already exists");
    }
    repository.git.set_branch(branch, sha)?;
    repository.refresh()?;
    Ok(Reply::new(201, render::git_ref(repository, branch, sha)))
}

/// The commit that a name stands for.
fn commit_of(repository: &Repository, name: &str) -> Result<Option<String>, Stop> {
    let branch = repository.head(name)?;
    let is_sha = name.len() == 40 && name.bytes().all(|it| it.is_ascii_hexdigit());
    Ok(branch.or_else(|| (is_sha && repository.git.has(name)).then(|| name.to_owned())))
}

pub(super) fn compare(repository: &mut Repository, range: &str) -> Answer {
    let Some((from, to)) = range.split_once("...") else {
        return Ok(Reply::not_found());
    };
    let (Some(base), Some(head)) = (commit_of(repository, from)?, commit_of(repository, to)?)
    else {
        return Ok(Reply::not_found());
    };
    let ahead = repository.git.only_in(&head, &base)?.len();
    let behind = repository.git.only_in(&base, &head)?.len();
    let status = match (ahead, behind) {
        (0, 0) => "identical",
        (_, 0) => "ahead",
        (0, _) => "behind",
        _ => "diverged",
    };
    let merge_base = match repository.git.merge_base(&base, &head)? {
        Some(commit) => render::commit(repository, &commit)?,
        None => return Ok(Reply::not_found()),
    };
    let base = render::commit(repository, &base)?;
    Ok(Reply::ok(
        json!({"status": status, "ahead_by": ahead, "behind_by": behind,
        "total_commits": ahead, "commits": [], "files": [], "base_commit": base,
        "merge_base_commit": merge_base}),
    ))
}
