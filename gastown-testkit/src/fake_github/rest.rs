//! The endpoints of REST.

mod checks;
mod pulls;
mod refs;

use chrono::TimeDelta;
use serde_json::{Value, json};

use super::FakeError;
use super::call::{Call, Reply};
use super::render;
use super::repository::Repository;
use super::rules::{Rules, Written};
use super::world::{Grant, MINTED, Permission, World};

/// What an endpoint says: an answer, or one that ends its work early.
type Answer = Result<Reply, Stop>;

/// Why an endpoint ends early.
enum Stop {
    /// With this answer.
    Reply(Box<Reply>),
    /// The fake itself failed.
    Fault(FakeError),
}

impl From<Reply> for Stop {
    fn from(reply: Reply) -> Self {
        Self::Reply(Box::new(reply))
    }
}

impl From<FakeError> for Stop {
    fn from(error: FakeError) -> Self {
        Self::Fault(error)
    }
}

/// Answers a request.
pub(super) fn answer(world: &mut World, call: &Call<'_>) -> Reply {
    match route(world, call) {
        Ok(reply) => reply,
        Err(Stop::Reply(reply)) => *reply,
        Err(Stop::Fault(error)) => Reply::error(500, &format!("fake: {error}")),
    }
}

fn route(world: &mut World, call: &Call<'_>) -> Answer {
    let path: Vec<&str> = call.path.iter().map(String::as_str).collect();
    match (call.method, path.as_slice()) {
        ("POST", ["app", "installations", _, "access_tokens"]) => Ok(mint(world)),
        (_, ["repos", owner, name, below @ ..]) => {
            let full_name = format!("{owner}/{name}");
            if world.find(&full_name).is_none()
                && let Some(id) = world.renamed(&full_name)
            {
                return Ok(moved(call, id, below));
            }
            of_repository(world.find(&full_name), call, below)
        }
        (_, ["repositories", id, below @ ..]) => {
            let id = id.parse().unwrap_or_default();
            of_repository(world.find_by_id(id), call, below)
        }
        _ => Ok(Reply::not_found()),
    }
}

/// Where a renamed repository is now. Writes keep their method.
fn moved(call: &Call<'_>, id: u64, below: &[&str]) -> Reply {
    let query: Vec<String> = call.query.iter().map(|(a, b)| format!("{a}={b}")).collect();
    let mut location = format!("{}/repositories/{id}", call.base);
    for part in below {
        location.push('/');
        location.push_str(&part.replace('%', "%25").replace('/', "%2F"));
    }
    if !query.is_empty() {
        location.push('?');
        location.push_str(&query.join("&"));
    }
    let status = if call.method == "GET" { 301 } else { 307 };
    let body = json!({"message": "Moved Permanently", "url": location,
                      "documentation_url": "https://docs.github.com/rest"});
    Reply::new(status, body).with("location", location)
}

fn of_repository(found: Option<&mut Repository>, call: &Call<'_>, below: &[&str]) -> Answer {
    // What may not be seen looks as if it were not there.
    let Some(repository) = found.filter(|it| call.grant.sees(it)) else {
        return Ok(Reply::not_found());
    };
    match (call.method, below) {
        ("GET", []) => {
            let flags = call.grant.may(Permission::WriteContents);
            Ok(Reply::ok(render::full_repository(repository, flags)))
        }
        ("GET", ["installation"]) => Ok(Reply::ok(installation(repository))),
        ("GET", ["branches", branch]) => branch_of(repository, call, branch),
        ("GET", ["rules", "branches", branch]) => Ok(rules(repository, call, branch)),
        (_, ["git", below @ ..]) => refs::route(repository, call, below),
        ("GET", ["compare", range]) => refs::compare(repository, range),
        (_, ["pulls", below @ ..]) => pulls::route(repository, call, below),
        ("POST", ["issues", number, "comments"]) => pulls::comment(repository, call, number),
        (
            _,
            ["commits", _, "check-runs" | "status" | "statuses"] | ["check-runs" | "statuses", ..],
        ) => checks::route(repository, call, below),
        _ => Ok(Reply::not_found()),
    }
}

/// A token of the App's installation, good for an hour.
fn mint(world: &mut World) -> Reply {
    world.minted = world.minted.saturating_add(1);
    let token = format!("{MINTED}{:030}", world.minted);
    let now = world.now();
    let expires_at = now.checked_add_signed(TimeDelta::hours(1)).unwrap_or(now);
    let grant = Grant {
        expires_at: Some(expires_at),
        ..Grant::of("gastown[bot]")
    };
    world.grant(&token, grant);
    let body = json!({"token": token, "expires_at": render::time(expires_at),
                      "repository_selection": "all"});
    Reply::new(201, body)
}

fn installation(repository: &Repository) -> Value {
    json!({"id": 7, "app_id": 1, "app_slug": "gastown", "target_id": 1, "target_type": "User",
        "single_file_name": null, "repository_selection": "all",
        "access_tokens_url": "https://api.github.test/app/installations/7/access_tokens",
        "html_url": "https://github.test/settings/installations/7",
        "repositories_url": "https://api.github.test/installation/repositories", "events": [],
        "account": render::user(&repository.owner), "permissions": {"contents": "write"},
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "suspended_by": null, "suspended_at": null})
}

/// A branch with its classic protection as everyone may see it.
fn branch_of(repository: &Repository, call: &Call<'_>, branch: &str) -> Answer {
    call.needs(Permission::Protection)?;
    let Some(head) = repository.head(branch)? else {
        return Ok(Reply::error(404, "Branch not found"));
    };
    let rules = repository.rules_of(branch);
    let protected = rules.written == Written::Protection && !rules.required_checks.is_empty();
    let url = format!(
        "https://api.github.test/repos/{}/branches/{branch}",
        repository.full_name()
    );
    let protection = if protected {
        let checks: Vec<Value> = rules
            .required_checks
            .iter()
            .map(|it| json!({"context": it.context, "app_id": it.app}))
            .collect();
        let contexts: Vec<&str> = rules
            .required_checks
            .iter()
            .map(|it| it.context.as_str())
            .collect();
        json!({"enabled": true, "required_status_checks":
            {"enforcement_level": "everyone", "contexts": contexts, "checks": checks}})
    } else {
        json!({"enabled": false, "required_status_checks":
            {"enforcement_level": "off", "contexts": [], "checks": []}})
    };
    let html = format!("{}/tree/{branch}", render::repository_page(repository));
    Ok(Reply::ok(
        json!({"name": branch, "commit": render::commit(repository, &head)?,
        "_links": {"html": html, "self": url}, "protected": protected, "protection": protection,
        "protection_url": format!("{url}/protection")}),
    ))
}

/// All rules of rulesets for a branch, which need not exist.
fn rules(repository: &Repository, call: &Call<'_>, branch: &str) -> Reply {
    if !repository.settings.plan_has_rules {
        return Reply::error(
            403,
            "Upgrade to GitHub Pro or make this repository public to enable this feature.",
        );
    }
    let rules = repository.rules_of(branch);
    let source = [
        ("ruleset_source_type", json!("Repository")),
        ("ruleset_source", json!(repository.full_name())),
        ("ruleset_id", json!(42)),
    ];
    let listed: Vec<Value> = listed(&rules)
        .into_iter()
        .map(|mut rule| {
            if let Some(members) = rule.as_object_mut() {
                members.extend(source.clone().map(|(key, it)| (key.to_owned(), it)));
            }
            rule
        })
        .collect();
    let (page, next) = call.page(repository.id, &format!("rules/branches/{branch}"), listed);
    Reply::ok(Value::from(page)).with_link(next)
}

fn listed(rules: &Rules) -> Vec<Value> {
    let mut listed = Vec::new();
    if rules.approvals > 0 || rules.resolve_threads || rules.methods.is_some() {
        let mut parameters = json!({"required_approving_review_count": rules.approvals,
            "dismiss_stale_reviews_on_push": rules.dismiss_stale,
            "require_code_owner_review": false, "require_last_push_approval": false,
            "required_review_thread_resolution": rules.resolve_threads});
        if let (Some(methods), Some(members)) = (&rules.methods, parameters.as_object_mut()) {
            let words: Vec<&str> = methods.iter().map(|it| it.word()).collect();
            members.insert("allowed_merge_methods".to_owned(), words.into());
        }
        listed.push(json!({"type": "pull_request", "parameters": parameters}));
    }
    if rules.written == Written::Ruleset && !rules.required_checks.is_empty() {
        let checks: Vec<Value> = rules
            .required_checks
            .iter()
            .map(|it| match it.app {
                Some(app) => json!({"context": it.context, "integration_id": app}),
                None => json!({"context": it.context}),
            })
            .collect();
        listed.push(json!({"type": "required_status_checks", "parameters":
            {"strict_required_status_checks_policy": rules.strict,
             "required_status_checks": checks}}));
    }
    if rules.linear_history {
        listed.push(json!({"type": "required_linear_history"}));
    }
    if rules.merge_queue {
        listed.push(json!({"type": "merge_queue", "parameters":
            {"merge_method": "SQUASH", "grouping_strategy": "ALLGREEN", "max_entries_to_build": 5,
             "max_entries_to_merge": 5, "min_entries_to_merge": 1,
             "min_entries_to_merge_wait_minutes": 5, "check_response_timeout_minutes": 60}}));
    }
    listed
}
