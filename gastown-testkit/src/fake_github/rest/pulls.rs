//! Pull requests.

use serde_json::{Value, json};

use super::{Answer, Stop};
use crate::fake_github::FakeError;
use crate::fake_github::call::{Call, Reply};
use crate::fake_github::merging::Merger;
use crate::fake_github::pull_request::{PullRequest, PullState, Verdict};
use crate::fake_github::render;
use crate::fake_github::repository::{Opening, Repository};
use crate::fake_github::rules::Method;
use crate::fake_github::world::Permission;

pub(super) fn route(repository: &mut Repository, call: &Call<'_>, below: &[&str]) -> Answer {
    match (call.method, below) {
        ("GET", []) => Ok(list(repository, call)),
        ("POST", []) => open(repository, call),
        (_, [number, below @ ..]) => {
            let number = number.parse().unwrap_or_default();
            let Some(pull) = repository.pull(number).cloned() else {
                return Ok(Reply::not_found());
            };
            of_pull(repository, call, &pull, below)
        }
        _ => Ok(Reply::not_found()),
    }
}

fn of_pull(
    repository: &mut Repository,
    call: &Call<'_>,
    pull: &PullRequest,
    below: &[&str],
) -> Answer {
    match (call.method, below) {
        ("GET", []) => read(repository, pull.number),
        ("PATCH", []) => edit(repository, call, pull),
        ("PUT", ["merge"]) => merge(repository, call, pull.number),
        ("PUT", ["merge-async"]) if !call.enterprise => merge_stack(repository, call, pull),
        ("GET", ["reviews"]) => {
            let reviews = pull.reviews.iter();
            let all = reviews.map(|it| render::review(repository, pull, it));
            Ok(Reply::ok(all.collect()))
        }
        ("POST", ["reviews"]) => review(repository, call, pull.number),
        ("GET", ["comments"]) => {
            let threads = pull.threads.iter();
            let all = threads.flat_map(|it| render::review_comments(repository, pull, it));
            Ok(Reply::ok(all.collect()))
        }
        ("POST", ["comments"]) => begin_thread(repository, call, pull.number),
        _ => Ok(Reply::not_found()),
    }
}

/// Reading one is what moves the computation of its mergeability on.
fn read(repository: &mut Repository, number: u64) -> Answer {
    let state = repository.merge_state(number)?;
    let pull = repository.need_pull(number)?;
    pull.reads_until_known = pull.reads_until_known.saturating_sub(1);
    let pull = pull.clone();
    Ok(Reply::ok(render::pull(repository, &pull, state)))
}

fn list(repository: &Repository, call: &Call<'_>) -> Reply {
    let asked = |key: &str| call.query.get(key).map(String::as_str);
    let wanted = asked("state").unwrap_or("open");
    let mut found: Vec<&PullRequest> = repository
        .pulls()
        .filter(|it| match wanted {
            "all" => true,
            "closed" => it.state != PullState::Open,
            _ => it.state == PullState::Open,
        })
        .filter(|it| asked("base").is_none_or(|base| base == it.base_branch))
        .filter(|it| {
            let label = format!("{}:{}", repository.owner, it.head_branch);
            asked("head").is_none_or(|head| head.eq_ignore_ascii_case(&label))
        })
        .collect();
    // Newest first, whatever they are sorted by.
    found.sort_by_key(|it| std::cmp::Reverse((it.updated_at, it.number)));
    let all = found
        .iter()
        .map(|it| render::pull_in_list(repository, it))
        .collect();
    let (page, next) = call.page(repository.id, "pulls", all);
    Reply::ok(Value::from(page)).with_link(next)
}

/// What a person asked for that can't be, as GitHub says it.
fn refused(error: &FakeError) -> Reply {
    let errors =
        json!([{"resource": "PullRequest", "code": "custom", "message": error.to_string()}]);
    Reply::validation("Validation Failed", errors)
}

fn open(repository: &mut Repository, call: &Call<'_>) -> Answer {
    call.needs(Permission::WritePullRequests)?;
    let head = call.need("head")?;
    let (owner, branch) = head.split_once(':').unwrap_or(("", head));
    let twice = repository
        .pulls()
        .any(|it| it.state == PullState::Open && it.head_branch == branch && it.fork.is_none());
    if twice {
        let label = if owner.is_empty() {
            &repository.owner
        } else {
            owner
        };
        let error = FakeError::new(format!(
            "A pull request already exists for {label}:{branch}."
        ));
        return Ok(refused(&error));
    }
    let opening = Opening {
        title: call.need("title")?.to_owned(),
        body: call.text("body").unwrap_or_default().to_owned(),
        author: call.grant.login.clone(),
        head: branch.to_owned(),
        base: call.need("base")?.to_owned(),
        draft: call.body.get("draft").and_then(Value::as_bool) == Some(true),
    };
    match repository.open(opening) {
        Ok(number) => {
            let Reply { body, .. } = read(repository, number)?;
            Ok(Reply::new(201, body))
        }
        Err(error) => Ok(refused(&error)),
    }
}

fn edit(repository: &mut Repository, call: &Call<'_>, pull: &PullRequest) -> Answer {
    call.needs(Permission::WritePullRequests)?;
    match (call.text("state"), pull.state) {
        (Some("closed"), PullState::Open) => repository.close(pull.number)?,
        (Some("open"), PullState::Closed) => {
            if let Err(error) = repository.reopen(pull.number) {
                return Ok(refused(&error));
            }
        }
        _ => {}
    }
    if let Some(base) = call.text("base")
        && let Err(error) = repository.set_base(pull.number, base)
    {
        return Ok(refused(&error));
    }
    if let Some(title) = call.text("title") {
        repository.change(pull.number, "edited", |it| it.title = title.to_owned())?;
    }
    read(repository, pull.number)
}

fn method(call: &Call<'_>) -> Result<Method, Reply> {
    let word = call.text("merge_method").unwrap_or("merge");
    Method::read(word).ok_or_else(|| Reply::error(422, "Validation Failed"))
}

fn merge(repository: &mut Repository, call: &Call<'_>, number: u64) -> Answer {
    call.needs(Permission::WriteContents)?;
    let method = method(call)?;
    Ok(
        match repository.merge_by_request(number, method, call.text("sha"), merger(call))? {
            Ok(sha) => Reply::ok(json!({"sha": sha, "merged": true,
                "message": "Pull Request successfully merged"})),
            Err(refusal) => Reply::refused(&refusal),
        },
    )
}

fn merger<'a>(call: &'a Call<'_>) -> Merger<'a> {
    Merger {
        login: &call.grant.login,
        bypasses_rules: call.grant.bypasses_rules,
    }
}

/// The asynchronous merge takes stacks and all others, and is done at once here: what GitHub would
/// find when it comes to the merge is in the first answer.
fn merge_stack(repository: &mut Repository, call: &Call<'_>, pull: &PullRequest) -> Answer {
    call.needs(Permission::WriteContents)?;
    let failed = |message: &str| {
        let body = json!({"status": "failed", "details": {"message": message}});
        Ok(Reply::ok(body))
    };
    if let (PullState::Merged, Some(sha)) = (pull.state, &pull.merge_commit) {
        return Ok(Reply::ok(json!({"status": "merged",
            "details": {"message": "Pull Request is already merged", "sha": sha}})));
    }
    if pull.state != PullState::Open || pull.draft {
        return Ok(Reply::error(400, "Pull Request is not open"));
    }
    let (number, method) = (pull.number, method(call)?);
    match repository.merge_by_rules(number, method, call.text("sha"), merger(call))? {
        Ok(sha) => Ok(Reply::ok(json!({"status": "merged",
            "details": {"message": "Pull Request successfully merged", "sha": sha}}))),
        Err(refusal) => failed(&refusal.message),
    }
}

fn review(repository: &mut Repository, call: &Call<'_>, number: u64) -> Answer {
    call.needs(Permission::WritePullRequests)?;
    let verdict = match call.text("event") {
        Some("APPROVE") => Verdict::Approve,
        Some("REQUEST_CHANGES") => Verdict::RequestChanges,
        Some("COMMENT") => Verdict::Comment,
        Some(_) | None => return Ok(Reply::error(422, "Validation Failed")),
    };
    let body = call.text("body").unwrap_or_default();
    match repository.review(number, &call.grant.login, verdict, body) {
        Ok(id) => {
            let pull = repository.pull(number);
            let made = pull.and_then(|pull| {
                let review = pull.reviews.iter().find(|it| it.id == id)?;
                Some(render::review(repository, pull, review))
            });
            Ok(Reply::ok(made.unwrap_or_default()))
        }
        // Here the details are plain texts.
        Err(error) => Ok(Reply::validation(
            "Unprocessable Entity",
            json!([error.to_string()]),
        )),
    }
}

fn begin_thread(repository: &mut Repository, call: &Call<'_>, number: u64) -> Answer {
    call.needs(Permission::WritePullRequests)?;
    let (path, body) = (call.need("path")?, call.need("body")?);
    let id = repository.open_thread(number, &call.grant.login, path, body)?;
    let pull = repository.need_pull(number)?.clone();
    let thread = pull.threads.iter().find(|it| it.id == id);
    let made = thread.and_then(|it| render::review_comments(repository, &pull, it).pop());
    Ok(Reply::new(201, made.unwrap_or_default()))
}

pub(super) fn comment(repository: &mut Repository, call: &Call<'_>, number: &str) -> Answer {
    call.needs(Permission::WritePullRequests)?;
    let number = number.parse().unwrap_or_default();
    if repository.pull(number).is_none() {
        return Err(Stop::from(Reply::not_found()));
    }
    let id = repository.comment(number, &call.grant.login, call.need("body")?)?;
    let comments = repository
        .pull(number)
        .into_iter()
        .flat_map(|it| &it.comments);
    let mut made = comments
        .filter(|it| it.id == id)
        .map(|it| render::issue_comment(repository, number, it));
    Ok(Reply::new(201, made.next_back().unwrap_or_default()))
}
