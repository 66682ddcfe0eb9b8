//! What there is to read, as a tree of plain values that resolve themselves.

use std::cell::RefCell;

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::{JsonMap, JsonValue};
use serde_json::{Map, Value, json};

use crate::fake_github::FakeError;
use crate::fake_github::git::{self, Merged};
use crate::fake_github::merging::{MergeState, latest_opinions, opinions};
use crate::fake_github::pull_request::{
    CheckRun, CommitStatus, Happened, PullRequest, PullState, TimelineItem, Verdict,
};
use crate::fake_github::render::{self, time};
use crate::fake_github::repository::Repository;
use crate::fake_github::rules::Rules;
use crate::fake_github::world::{Grant, Permission, World};

/// Stands between GitHub's `type` and the message of a failed field.
pub(super) const TYPE_MARK: &str = "\u{1}";

/// An object of the answer. Members are scalars, lists, or objects with `__typename`; an object
/// with `__connection` is paged when it is asked for, one with `__error` fails its field.
#[derive(Debug)]
pub(super) struct Node {
    name: String,
    members: Map<String, Value>,
}

impl Node {
    pub(super) fn of(value: Value) -> Option<Self> {
        let Value::Object(members) = value else {
            return None;
        };
        let name = members.get("__typename")?.as_str()?.to_owned();
        Some(Self { name, members })
    }
}

impl ObjectValue for Node {
    fn type_name(&self) -> &str {
        &self.name
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        let name = info.field_name();
        let member = self.members.get(name).cloned().unwrap_or_default();
        resolved(member, name, info.arguments())
    }
}

pub(super) fn failure(message: impl Into<String>) -> FieldError {
    FieldError {
        message: message.into(),
    }
}

fn resolved<'a>(
    value: Value,
    field: &str,
    arguments: &JsonMap,
) -> Result<ResolvedValue<'a>, FieldError> {
    match value {
        Value::Array(items) => {
            let items: Vec<_> = items
                .into_iter()
                .map(|it| resolved(it, field, arguments))
                .collect();
            Ok(ResolvedValue::List(Box::new(items.into_iter())))
        }
        Value::Object(members) => {
            if let Some(error) = members.get("__error").and_then(Value::as_str) {
                return Err(failure(error));
            }
            let value = if members.contains_key("__connection") {
                connection(&members, field, arguments)?
            } else {
                Value::Object(members)
            };
            Ok(ResolvedValue::nullable_object(Node::of(value)))
        }
        scalar @ (Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            let leaf: JsonValue =
                serde_json::from_value(scalar).map_err(|it| failure(it.to_string()))?;
            Ok(ResolvedValue::Leaf(leaf))
        }
    }
}

/// One page of a list, `first` after a cursor. A list without bounds is refused, which no schema
/// demands.
fn connection(
    members: &Map<String, Value>,
    field: &str,
    arguments: &JsonMap,
) -> Result<Value, FieldError> {
    let number = |name: &str| arguments.get(name).and_then(JsonValue::as_u64);
    let Some(size) = number("first").or_else(|| number("last")) else {
        return Err(failure(format!(
            "MISSING_PAGINATION_BOUNDARIES{TYPE_MARK}You must provide a `first` or `last` value to \
             properly paginate the `{field}` connection."
        )));
    };
    if !(1..=100).contains(&size) {
        return Err(failure(format!(
            "EXCESSIVE_PAGINATION{TYPE_MARK}Requesting {size} records on the `{field}` connection \
             exceeds the `first` limit of 100 records."
        )));
    }
    let items = of_types(members, arguments);
    let size = usize::try_from(size).unwrap_or(100);
    let after = arguments.get("after").and_then(JsonValue::as_str);
    let start = match after {
        // The last ones, unless the first ones are asked for.
        None if number("first").is_none() => items.len().saturating_sub(size),
        None => 0,
        Some(cursor) => cursor
            .strip_prefix("cursor:")
            .and_then(|it| it.parse().ok())
            .ok_or_else(|| failure(format!("`{cursor}` does not appear to be a valid cursor.")))?,
    };
    let name = members.get("__typename").cloned().unwrap_or_default();
    let end = size.saturating_add(start).min(items.len());
    let page = items.get(start..end).unwrap_or_default();
    let more = end < items.len();
    Ok(
        json!({"__typename": name, "totalCount": items.len(), "nodes": page,
        "pageInfo": {"__typename": "PageInfo", "hasNextPage": more,
                     "endCursor": (!page.is_empty()).then(|| format!("cursor:{end}"))}}),
    )
}

/// The items of a list, of these types only where `itemTypes` names some.
fn of_types(members: &Map<String, Value>, arguments: &JsonMap) -> Vec<Value> {
    let items = members.get("__connection").and_then(Value::as_array);
    let items = items.cloned().unwrap_or_default();
    let Some(wanted) = arguments.get("itemTypes").and_then(JsonValue::as_array) else {
        return items;
    };
    let is_wanted = |item: &Value| {
        let name = item.get("__typename").and_then(Value::as_str);
        let word = shouted(name.unwrap_or_default());
        wanted.iter().any(|it| it.as_str() == Some(word.as_str()))
    };
    items.into_iter().filter(is_wanted).collect()
}

/// `AddedToMergeQueueEvent` as the word of an enum: `ADDED_TO_MERGE_QUEUE_EVENT`.
fn shouted(name: &str) -> String {
    let mut word = String::new();
    for letter in name.chars() {
        if letter.is_ascii_uppercase() && !word.is_empty() {
            word.push('_');
        }
        word.push(letter.to_ascii_uppercase());
    }
    word
}

fn list(name: &str, items: Vec<Value>) -> Value {
    json!({"__typename": name, "__connection": items})
}

/// The root of queries.
pub(super) struct Queries<'w> {
    world: RefCell<&'w mut World>,
    grant: &'w Grant,
    enterprise: bool,
}

impl<'w> Queries<'w> {
    pub(super) fn new(world: &'w mut World, grant: &'w Grant, enterprise: bool) -> Self {
        Self {
            world: RefCell::new(world),
            grant,
            enterprise,
        }
    }

    /// The number of the repository of that name, if it may be seen.
    fn repository(&self, arguments: &JsonMap) -> Result<u64, FieldError> {
        let text = |name: &str| arguments.get(name).and_then(JsonValue::as_str);
        let full_name = format!(
            "{}/{}",
            text("owner").unwrap_or_default(),
            text("name").unwrap_or_default()
        );
        let mut world = self.world.borrow_mut();
        // GraphQL follows renames by itself.
        let id = match world.find(&full_name) {
            Some(repository) => Some(repository.id),
            None => world.renamed(&full_name),
        };
        let found = id.and_then(|id| world.find_by_id(id));
        match found.filter(|it| self.grant.sees(it)) {
            Some(repository) => Ok(repository.id),
            None => Err(failure(format!(
                "NOT_FOUND{TYPE_MARK}Could not resolve to a Repository with the name '{full_name}'."
            ))),
        }
    }
}

impl ObjectValue for Queries<'_> {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        match info.field_name() {
            "repository" => Ok(ResolvedValue::object(RepositoryNode {
                id: self.repository(info.arguments())?,
                queries: self,
            })),
            "rateLimit" if !self.enterprise => {
                let now = time(self.world.borrow().now());
                let value = json!({"__typename": "RateLimit", "cost": 1, "limit": 5000,
                    "remaining": 4999, "used": 1, "resetAt": now, "nodeCount": 1});
                resolved(value, "rateLimit", info.arguments())
            }
            _ => Ok(ResolvedValue::null()),
        }
    }
}

/// A repository, whose pull requests are looked up when they are asked for.
struct RepositoryNode<'q, 'w> {
    id: u64,
    queries: &'q Queries<'w>,
}

impl ObjectValue for RepositoryNode<'_, '_> {
    fn type_name(&self) -> &str {
        "Repository"
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        let mut world = self.queries.world.borrow_mut();
        let Some(repository) = world.find_by_id(self.id) else {
            return Ok(ResolvedValue::null());
        };
        match info.field_name() {
            "id" => Ok(ResolvedValue::leaf(format!("R_{}", self.id))),
            "nameWithOwner" => Ok(ResolvedValue::leaf(repository.full_name())),
            "pullRequest" => {
                let number = info.arguments().get("number").and_then(JsonValue::as_u64);
                let number = number.unwrap_or_default();
                if repository.pull(number).is_none() {
                    return Err(failure(format!(
                        "NOT_FOUND{TYPE_MARK}Could not resolve to a PullRequest with the number of \
                         {number}."
                    )));
                }
                let tree = pull_tree(repository, self.queries.grant, number)
                    .map_err(|it| failure(it.to_string()))?;
                resolved(tree, "pullRequest", info.arguments())
            }
            _ => Err(self.unknown_field_error(info)),
        }
    }
}

/// Everything about a pull request.
fn pull_tree(repository: &mut Repository, grant: &Grant, number: u64) -> Result<Value, FakeError> {
    let state = repository.merge_state(number)?;
    let Some(pull) = repository.pull(number).cloned() else {
        return Ok(Value::Null);
    };
    let rules = repository.rules_of(&pull.base_branch);
    let test_merge = test_merge(repository, grant, &pull)?;
    let merge_commit = pull
        .merge_commit
        .as_ref()
        .map(|it| json!({"__typename": "Commit", "oid": it}));
    let opinions = latest_opinions(&pull).into_iter().map(|review| {
        json!({"__typename": "PullRequestReview", "id": format!("PRR_{}", review.id),
            "state": render::review_state(review), "submittedAt": time(review.at),
            "commit": {"__typename": "Commit", "oid": review.commit}})
    });
    let threads = pull.threads.iter().map(|thread| {
        let comments = thread.comments.iter().map(|it| {
            json!({"__typename": "PullRequestReviewComment", "id": format!("PRRC_{}", it.id),
                   "body": it.body, "createdAt": time(it.at)})
        });
        json!({"__typename": "PullRequestReviewThread", "id": render::thread_node(thread.id),
            "isResolved": thread.resolved, "isOutdated": thread.outdated, "path": thread.path,
            "comments": list("PullRequestReviewCommentConnection", comments.collect())})
    });
    let mergeable = match state {
        MergeState::Unknown => "UNKNOWN",
        MergeState::Dirty => "CONFLICTING",
        MergeState::Clean
        | MergeState::Blocked
        | MergeState::Behind
        | MergeState::Unstable
        | MergeState::Draft => "MERGEABLE",
    };
    let word = match pull.state {
        PullState::Open => "OPEN",
        PullState::Closed => "CLOSED",
        PullState::Merged => "MERGED",
    };
    let page = format!("{}/pull/{number}", render::repository_page(repository));
    Ok(
        json!({"__typename": "PullRequest", "id": render::pull_node(repository, number),
        "number": number, "title": pull.title, "url": page, "state": word,
        "isDraft": pull.draft, "merged": pull.state == PullState::Merged, "mergeable": mergeable,
        "mergeStateStatus": state.word().to_ascii_uppercase(),
        "reviewDecision": decision(&pull, &rules), "headRefOid": pull.head_sha,
        "headRefName": pull.head_branch, "baseRefName": pull.base_branch,
        "baseRefOid": pull.base_sha, "isInMergeQueue": pull.queued_at.is_some(),
        "isMergeQueueEnabled": rules.merge_queue, "viewerDidAuthor": pull.author == grant.login,
        "mergeCommit": merge_commit, "potentialMergeCommit": test_merge,
        "baseRef": {"__typename": "Ref", "name": pull.base_branch, "refUpdateRule": shown(&rules)},
        "reviewThreads": list("PullRequestReviewThreadConnection", threads.collect()),
        "timelineItems": list("PullRequestTimelineItemsConnection",
                              pull.timeline.iter().map(timeline_item).collect()),
        "latestOpinionatedReviews": list("PullRequestReviewConnection", opinions.collect()),
        "statusCheckRollup": rollup(repository, grant, &pull.head_sha, &rules)}),
    )
}

fn timeline_item(item: &TimelineItem) -> Value {
    let at = time(item.at);
    let actor = |name: &str| {
        let kind = if name.ends_with("[bot]") {
            "Bot"
        } else {
            "User"
        };
        json!({"__typename": kind, "login": name.trim_end_matches("[bot]")})
    };
    match &item.what {
        Happened::Pushed { commit } => json!({"__typename": "PullRequestCommit",
            "commit": {"__typename": "Commit", "oid": commit}}),
        Happened::ForcePushed => {
            json!({"__typename": "HeadRefForcePushedEvent", "createdAt": at})
        }
        Happened::Enqueued { by } => json!({"__typename": "AddedToMergeQueueEvent",
            "createdAt": at, "actor": actor(by)}),
        Happened::Dequeued { by, reason } => json!({"__typename": "RemovedFromMergeQueueEvent",
            "createdAt": at, "actor": actor(by), "reason": reason}),
    }
}

/// What everyone may see of a branch's demands; null where it has none.
fn shown(rules: &Rules) -> Value {
    if *rules == Rules::default() {
        return Value::Null;
    }
    let contexts: Vec<&str> = rules
        .required_checks
        .iter()
        .map(|it| it.context.as_str())
        .collect();
    json!({"__typename": "RefUpdateRule", "requiredStatusCheckContexts": contexts,
           "requiredApprovingReviewCount": (rules.approvals > 0).then_some(rules.approvals)})
}

/// Null where no review is required, whatever the reviewers say.
fn decision(pull: &PullRequest, rules: &Rules) -> Option<&'static str> {
    let needed = usize::try_from(rules.approvals).unwrap_or(usize::MAX);
    if needed == 0 {
        return None;
    }
    let opinions = opinions(pull);
    let count = |verdict| opinions.iter().filter(|it| it.1 == verdict).count();
    Some(if count(Verdict::RequestChanges) > 0 {
        "CHANGES_REQUESTED"
    } else if count(Verdict::Approve) >= needed {
        "APPROVED"
    } else {
        "REVIEW_REQUIRED"
    })
}

/// The commit that a merge would make, where there is one.
fn test_merge(
    repository: &mut Repository,
    grant: &Grant,
    pull: &PullRequest,
) -> Result<Value, FakeError> {
    if pull.state != PullState::Open || pull.reads_until_known > 0 {
        return Ok(Value::Null);
    }
    let (base, head) = (&pull.base_sha, &pull.head_sha);
    let Merged::Tree(tree) = git::merge_heads(&mut *repository.git, base, head)? else {
        return Ok(Value::Null);
    };
    let message = format!("Merge {head} into {base}");
    let oid = repository.git.commit(&tree, &[base, head], &message)?;
    let parents = [base, head].map(|it| json!({"__typename": "Commit", "oid": it}));
    let rules = repository.rules_of(&pull.base_branch);
    Ok(json!({"__typename": "Commit", "oid": oid,
        "parents": list("CommitConnection", parents.into()),
        "statusCheckRollup": rollup(repository, grant, &oid, &rules)}))
}

/// Checks and statuses of a commit; null where there are none, a failure where they may not be
/// seen.
fn rollup(repository: &Repository, grant: &Grant, commit: &str, rules: &Rules) -> Value {
    if !grant.may(Permission::Checks) {
        return Node::failure("FORBIDDEN", "Resource not accessible by integration");
    }
    let runs = repository.checks.iter().filter(|it| it.commit == commit);
    let runs: Vec<&CheckRun> = runs.collect();
    let statuses = repository.statuses_of(commit);
    if runs.is_empty() && statuses.is_empty() {
        return Value::Null;
    }
    let is_required = |name: &str, app: Option<i64>| {
        rules
            .required_checks
            .iter()
            .any(|it| it.context == name && (it.app.is_none() || it.app == app))
    };
    let contexts = runs
        .iter()
        .map(|it| check_run(it, is_required(&it.name, Some(it.app))))
        .chain(
            statuses
                .iter()
                .map(|it| status(it, is_required(&it.context, None))),
        );
    let passes = runs
        .iter()
        .all(|it| it.conclusion.is_some_and(|it| it.passes()));
    json!({"__typename": "StatusCheckRollup", "state": if passes { "SUCCESS" } else { "FAILURE" },
        "commit": {"__typename": "Commit", "oid": commit},
        "contexts": list("StatusCheckRollupContextConnection", contexts.collect())})
}

fn check_run(run: &CheckRun, required: bool) -> Value {
    let workflow = run.workflow.as_ref().map(|(name, event)| {
        json!({"__typename": "WorkflowRun", "event": event,
               "workflow": {"__typename": "Workflow", "name": name}})
    });
    let state = if run.conclusion.is_some() {
        "COMPLETED"
    } else {
        "IN_PROGRESS"
    };
    json!({"__typename": "CheckRun", "id": format!("CR_{}", run.id), "name": run.name,
        "status": state, "conclusion": run.conclusion.map(|it| it.word().to_ascii_uppercase()),
        "startedAt": time(run.started_at), "isRequired": required,
        "checkSuite": {"__typename": "CheckSuite", "workflowRun": workflow,
                       "app": {"__typename": "App", "databaseId": run.app}}})
}

fn status(status: &CommitStatus, required: bool) -> Value {
    json!({"__typename": "StatusContext", "id": format!("SC_{}", status.id),
        "context": status.context, "state": status.state.word().to_ascii_uppercase(),
        "createdAt": time(status.at), "isRequired": required})
}
