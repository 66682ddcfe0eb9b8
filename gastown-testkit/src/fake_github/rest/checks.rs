//! Check runs and commit statuses.

use serde_json::{Value, json};

use super::Answer;
use crate::fake_github::call::{Call, Reply};
use crate::fake_github::pull_request::{Conclusion, StatusState};
use crate::fake_github::render;
use crate::fake_github::repository::{ACTIONS_APP, Repository};
use crate::fake_github::world::Permission;

pub(super) fn route(repository: &mut Repository, call: &Call<'_>, below: &[&str]) -> Answer {
    match (call.method, below) {
        ("GET", ["commits", name, "check-runs"]) => {
            call.needs(Permission::Checks)?;
            let commit = commit(repository, name)?;
            let latest = call.query.get("filter").is_none_or(|it| it != "all");
            let runs = if latest {
                repository.latest_runs(&commit)
            } else {
                let all = repository.checks.iter();
                all.filter(|it| it.commit == commit).collect()
            };
            let runs: Vec<Value> = runs
                .iter()
                .map(|it| render::check_run(repository, it))
                .collect();
            let count = runs.len();
            let below = format!("commits/{commit}/check-runs");
            let (page, next) = call.page(repository.id, &below, runs);
            let body = json!({"total_count": count, "check_runs": page});
            Ok(Reply::ok(body).with_link(next))
        }
        ("GET", ["commits", name, "status"]) => {
            call.needs(Permission::Statuses)?;
            let commit = commit(repository, name)?;
            let statuses = repository.statuses_of(&commit);
            Ok(Reply::ok(render::combined_status(
                repository, &commit, &statuses,
            )))
        }
        ("GET", ["commits", name, "statuses"]) => {
            call.needs(Permission::Statuses)?;
            let commit = commit(repository, name)?;
            let newest_first = repository.statuses.iter().rev();
            let all: Vec<Value> = newest_first
                .filter(|it| it.commit == commit)
                .map(|it| render::status(repository, it))
                .collect();
            let below = format!("commits/{commit}/statuses");
            let (page, next) = call.page(repository.id, &below, all);
            Ok(Reply::ok(Value::from(page)).with_link(next))
        }
        ("POST", ["check-runs"]) => begin(repository, call),
        ("PATCH", ["check-runs", id]) => update(repository, call, id),
        ("POST", ["statuses", commit]) => {
            let state = StatusState::read(call.need("state")?);
            let Some(state) = state else {
                return Ok(Reply::error(422, "Validation Failed"));
            };
            let context = call.text("context").unwrap_or("default");
            let id = repository.report_status(commit, context, state);
            let made = repository.statuses.iter().find(|it| it.id == id);
            let body = made.map(|it| render::status(repository, it));
            Ok(Reply::new(201, body.unwrap_or_default()))
        }
        _ => Ok(Reply::not_found()),
    }
}

/// A branch's newest commit, or the commit itself.
fn commit(repository: &Repository, name: &str) -> Result<String, super::Stop> {
    Ok(repository.head(name)?.unwrap_or_else(|| name.to_owned()))
}

fn conclusion(call: &Call<'_>) -> Result<Option<Conclusion>, Reply> {
    let Some(word) = call.text("conclusion") else {
        return Ok(None);
    };
    match Conclusion::read(word) {
        Some(conclusion) => Ok(Some(conclusion)),
        None => Err(Reply::error(422, "Validation Failed")),
    }
}

fn shown(repository: &Repository, id: u64, status: u16) -> Reply {
    let run = repository.checks.iter().find(|it| it.id == id);
    match run {
        Some(run) => Reply::new(status, render::check_run(repository, run)),
        None => Reply::not_found(),
    }
}

fn begin(repository: &mut Repository, call: &Call<'_>) -> Answer {
    let (name, commit) = (call.need("name")?, call.need("head_sha")?);
    let id = repository.report_check(commit, name, ACTIONS_APP, conclusion(call)?);
    Ok(shown(repository, id, 201))
}

fn update(repository: &mut Repository, call: &Call<'_>, id: &str) -> Answer {
    let id: u64 = id.parse().unwrap_or_default();
    let conclusion = conclusion(call)?;
    let run = repository.checks.iter().find(|it| it.id == id);
    let Some((commit, name, app)) = run.map(|it| (it.commit.clone(), it.name.clone(), it.app))
    else {
        return Ok(Reply::not_found());
    };
    let id = repository.report_check(&commit, &name, app, conclusion);
    Ok(shown(repository, id, 200))
}
