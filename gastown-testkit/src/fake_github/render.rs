//! Objects as REST writes them, with every member that GitHub's description demands.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::FakeError;
use super::WEB_HOST;
use super::merging::MergeState;
use super::pull_request::{
    CheckRun, Comment, CommitStatus, Fork, PullRequest, PullState, Review, Thread, Verdict,
};
use super::repository::Repository;

/// Where the objects say that they are; requests go to the address of the server.
const API: &str = "https://api.github.test";

pub(super) fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn number_of(login: &str) -> u64 {
    login.bytes().fold(17_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(byte))
    }) % 1_000_000
}

fn with(mut object: Value, more: impl IntoIterator<Item = (String, Value)>) -> Value {
    if let Some(members) = object.as_object_mut() {
        members.extend(more);
    }
    object
}

/// Members `name: base + path` for each pair.
fn links<'a>(
    base: &'a str,
    pairs: &'a [(&'a str, &'a str)],
) -> impl Iterator<Item = (String, Value)> + 'a {
    pairs
        .iter()
        .map(move |(name, path)| ((*name).to_owned(), format!("{base}{path}").into()))
}

pub(super) fn user(login: &str) -> Value {
    let is_bot = login.ends_with("[bot]");
    let object = json!({
        "login": login, "id": number_of(login), "node_id": format!("U_{login}"),
        "avatar_url": format!("https://avatars.{WEB_HOST}/{login}"), "gravatar_id": "",
        "html_url": format!("https://{WEB_HOST}/{login}"), "site_admin": false,
        "type": if is_bot { "Bot" } else { "User" },
    });
    let base = format!("{API}/users/{login}");
    let urls = [
        ("url", ""),
        ("events_url", "/events{/privacy}"),
        ("followers_url", "/followers"),
        ("following_url", "/following{/other_user}"),
        ("gists_url", "/gists{/gist_id}"),
        ("organizations_url", "/orgs"),
        ("received_events_url", "/received_events"),
        ("repos_url", "/repos"),
        ("starred_url", "/starred{/owner}{/repo}"),
        ("subscriptions_url", "/subscriptions"),
    ];
    with(object, links(&base, &urls))
}

const REPOSITORY_URLS: [(&str, &str); 40] = [
    ("url", ""),
    ("archive_url", "/{archive_format}{/ref}"),
    ("assignees_url", "/assignees{/user}"),
    ("blobs_url", "/git/blobs{/sha}"),
    ("branches_url", "/branches{/branch}"),
    ("collaborators_url", "/collaborators{/collaborator}"),
    ("comments_url", "/comments{/number}"),
    ("commits_url", "/commits{/sha}"),
    ("compare_url", "/compare/{base}...{head}"),
    ("contents_url", "/contents/{+path}"),
    ("contributors_url", "/contributors"),
    ("deployments_url", "/deployments"),
    ("downloads_url", "/downloads"),
    ("events_url", "/events"),
    ("forks_url", "/forks"),
    ("git_commits_url", "/git/commits{/sha}"),
    ("git_refs_url", "/git/refs{/sha}"),
    ("git_tags_url", "/git/tags{/sha}"),
    ("hooks_url", "/hooks"),
    ("issue_comment_url", "/issues/comments{/number}"),
    ("issue_events_url", "/issues/events{/number}"),
    ("issues_url", "/issues{/number}"),
    ("keys_url", "/keys{/key_id}"),
    ("labels_url", "/labels{/name}"),
    ("languages_url", "/languages"),
    ("merges_url", "/merges"),
    ("milestones_url", "/milestones{/number}"),
    (
        "notifications_url",
        "/notifications{?since,all,participating}",
    ),
    ("pulls_url", "/pulls{/number}"),
    ("releases_url", "/releases{/id}"),
    ("stargazers_url", "/stargazers"),
    ("statuses_url", "/statuses/{sha}"),
    ("subscribers_url", "/subscribers"),
    ("subscription_url", "/subscription"),
    ("tags_url", "/tags"),
    ("teams_url", "/teams"),
    ("trees_url", "/git/trees{/sha}"),
    ("git_url", ".git"),
    ("svn_url", ""),
    ("ssh_url", ".git"),
];

fn repository_url(repository: &Repository) -> String {
    format!("{API}/repos/{}", repository.full_name())
}

/// The address of a repository for people.
pub(super) fn repository_page(repository: &Repository) -> String {
    format!("https://{WEB_HOST}/{}", repository.full_name())
}

pub(super) fn repository(repository: &Repository) -> Value {
    let page = repository_page(repository);
    let object = json!({
        "id": repository.id, "node_id": format!("R_{}", repository.id), "name": repository.name,
        "full_name": repository.full_name(), "owner": user(&repository.owner),
        "private": repository.settings.private, "html_url": page, "description": null,
        "fork": false, "clone_url": format!("{page}.git"), "mirror_url": null, "homepage": null,
        "language": null, "forks": 0, "forks_count": 0, "stargazers_count": 0, "watchers": 0,
        "watchers_count": 0, "size": 1, "default_branch": super::repository::DEFAULT_BRANCH,
        "open_issues": 0, "open_issues_count": 0, "has_issues": true, "has_projects": false,
        "has_wiki": false, "has_pages": false, "has_downloads": false, "has_discussions": false,
        "archived": false, "disabled": false, "license": null, "pushed_at": "2026-01-01T00:00:00Z",
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "visibility": if repository.settings.private { "private" } else { "public" },
    });
    with(object, links(&repository_url(repository), &REPOSITORY_URLS))
}

/// A repository as it answers for itself; `flags` is whether the asker may see how it merges.
pub(super) fn full_repository(of: &Repository, flags: bool) -> Value {
    let more = json!({"network_count": 0, "subscribers_count": 0});
    let settings = &of.settings;
    let merging = json!({"allow_squash_merge": settings.allow_squash_merge,
        "allow_merge_commit": settings.allow_merge_commit,
        "allow_rebase_merge": settings.allow_rebase_merge, "allow_auto_merge": false,
        "allow_update_branch": false, "delete_branch_on_merge": false});
    let parts = [Some(&more), flags.then_some(&merging)];
    let members = parts.into_iter().flatten().filter_map(Value::as_object);
    let members = members.flatten().map(|(key, it)| (key.clone(), it.clone()));
    with(repository(of), members)
}

fn side(of: &Repository, branch: &str, sha: &str, fork: Option<&Fork>) -> Value {
    let whole = || {
        let repository = repository(of);
        match fork {
            None => repository,
            Some(Fork::Gone) => Value::Null,
            Some(Fork::Named(name)) => {
                let id = of.id.saturating_add(500_000);
                let fork = [
                    ("full_name".to_owned(), name.as_str().into()),
                    ("id".to_owned(), id.into()),
                    ("fork".to_owned(), true.into()),
                ];
                with(repository, fork)
            }
        }
    };
    let owner = match fork {
        Some(Fork::Named(name)) => name.split('/').next().unwrap_or_default(),
        Some(Fork::Gone) => "unknown",
        None => of.owner.as_str(),
    };
    json!({"label": format!("{owner}:{branch}"), "ref": branch, "sha": sha, "user": user(owner),
           "repo": whole()})
}

const PULL_URLS: [(&str, &str); 5] = [
    ("url", "/pulls/{}"),
    ("issue_url", "/issues/{}"),
    ("comments_url", "/issues/{}/comments"),
    ("commits_url", "/pulls/{}/commits"),
    ("review_comments_url", "/pulls/{}/comments"),
];

/// A pull request as a list shows it.
pub(super) fn pull_in_list(of: &Repository, pull: &PullRequest) -> Value {
    let base = repository_url(of);
    let number = pull.number.to_string();
    let page = format!("{}/pull/{number}", repository_page(of));
    let closed = pull.state != PullState::Open;
    let merged_at = pull.merged_at.map(time);
    let object = json!({
        "id": of.id.saturating_mul(1000).saturating_add(pull.number),
        "node_id": pull_node(of, pull.number), "number": pull.number, "title": pull.title,
        "body": pull.body, "state": if closed { "closed" } else { "open" }, "locked": false,
        "user": user(&pull.author), "draft": pull.draft, "labels": [], "assignee": null,
        "assignees": [], "requested_reviewers": [], "requested_teams": [], "milestone": null,
        "html_url": page, "diff_url": format!("{page}.diff"), "patch_url": format!("{page}.patch"),
        "review_comment_url": format!("{base}/pulls/comments{{/number}}"),
        "statuses_url": format!("{base}/statuses/{}", pull.head_sha),
        "created_at": time(pull.created_at), "updated_at": time(pull.updated_at),
        "closed_at": if closed { json!(time(pull.updated_at)) } else { Value::Null },
        "merged_at": merged_at, "merge_commit_sha": pull.merge_commit,
        "head": side(of, &pull.head_branch, &pull.head_sha, pull.fork.as_ref()),
        "base": side(of, &pull.base_branch, &pull.base_sha, None),
        "author_association": "MEMBER", "auto_merge": null,
    });
    let urls = PULL_URLS.map(|(name, path)| {
        let address = format!("{base}{}", path.replace("{}", &number));
        (name.to_owned(), Value::from(address))
    });
    let href = |name: &str| {
        let found = urls.iter().find(|(key, _)| key == name);
        json!({"href": found.map(|(_, address)| address)})
    };
    let own = json!({"self": href("url"), "html": {"href": page}, "issue": href("issue_url"),
        "comments": href("comments_url"), "commits": href("commits_url"),
        "review_comments": href("review_comments_url"),
        "review_comment": {"href": format!("{base}/pulls/comments{{/number}}")},
        "statuses": {"href": format!("{base}/statuses/{}", pull.head_sha)}});
    let stack = pull.stacked.then(|| {
        let base = json!({"ref": pull.base_branch, "sha": pull.base_sha});
        (
            "stack".to_owned(),
            json!({"base": base, "size": 2, "position": 2}),
        )
    });
    let all = urls.clone().into_iter().chain([("_links".to_owned(), own)]);
    with(object, all.chain(stack))
}

/// A pull request as it answers for itself.
pub(super) fn pull(of: &Repository, pull: &PullRequest, state: MergeState) -> Value {
    let mergeable = match state {
        MergeState::Unknown => Value::Null,
        MergeState::Dirty => false.into(),
        MergeState::Clean
        | MergeState::Blocked
        | MergeState::Behind
        | MergeState::Unstable
        | MergeState::Draft => true.into(),
    };
    let more = [
        ("merged", json!(pull.state == PullState::Merged)),
        ("mergeable", mergeable.clone()),
        ("rebaseable", mergeable),
        ("mergeable_state", state.word().into()),
        ("merged_by", json!(pull.merged_by.as_deref().map(user))),
        ("comments", json!(pull.comments.len())),
        ("review_comments", json!(pull.threads.len())),
        ("maintainer_can_modify", json!(false)),
        ("commits", json!(1)),
        ("additions", json!(1)),
        ("deletions", json!(0)),
        ("changed_files", json!(1)),
    ];
    let more = more.map(|(name, value)| (name.to_owned(), value));
    with(pull_in_list(of, pull), more)
}

/// A pull request as a webhook carries it: mergeability is being computed at that instant.
pub(super) fn pull_in_webhook(of: &Repository, found: &PullRequest) -> Value {
    pull(of, found, MergeState::Unknown)
}

pub(super) fn pull_node(of: &Repository, number: u64) -> String {
    format!("PR_{}_{number}", of.id)
}

pub(super) fn thread_node(id: u64) -> String {
    format!("PRRT_{id}")
}

fn app(id: i64) -> Value {
    json!({"id": id, "node_id": format!("A_{id}"), "slug": format!("app-{id}"),
        "name": format!("App {id}"), "description": null, "owner": user("apps"),
        "external_url": format!("https://{WEB_HOST}"), "html_url": format!("https://{WEB_HOST}/apps/{id}"),
        "created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
        "permissions": {}, "events": []})
}

pub(super) fn check_run(of: &Repository, run: &CheckRun) -> Value {
    let base = repository_url(of);
    let page = format!("{}/runs/{}", repository_page(of), run.id);
    let state = if run.conclusion.is_some() {
        "completed"
    } else {
        "in_progress"
    };
    // The description of REST knows fewer words than webhooks and GraphQL.
    json!({"id": run.id, "node_id": format!("CR_{}", run.id), "head_sha": run.commit,
        "name": run.name, "external_id": "", "url": format!("{base}/check-runs/{}", run.id),
        "html_url": page, "details_url": page, "status": state,
        "conclusion": run.conclusion.map(|it| it.word()), "started_at": time(run.started_at),
        "completed_at": run.completed_at.map(time), "check_suite": {"id": run.app},
        "app": app(run.app), "pull_requests": [],
        "output": {"title": null, "summary": null, "text": null, "annotations_count": 0,
                   "annotations_url": format!("{base}/check-runs/{}/annotations", run.id)}})
}

pub(super) fn status(of: &Repository, status: &CommitStatus) -> Value {
    let url = format!("{}/statuses/{}", repository_url(of), status.commit);
    json!({"url": url, "avatar_url": null, "id": status.id, "node_id": format!("S_{}", status.id),
        "state": status.state.word(), "description": null, "target_url": null,
        "context": status.context, "created_at": time(status.at), "updated_at": time(status.at),
        "creator": user("ci")})
}

pub(super) fn combined_status(of: &Repository, commit: &str, statuses: &[&CommitStatus]) -> Value {
    use super::pull_request::StatusState as S;
    let any = |words: &[S]| statuses.iter().any(|it| words.contains(&it.state));
    let state = if any(&[S::Failure, S::Error]) {
        "failure"
    } else if statuses.is_empty() || any(&[S::Pending]) {
        "pending"
    } else {
        "success"
    };
    let base = repository_url(of);
    let simple: Vec<Value> = statuses
        .iter()
        .map(|it| {
            let mut one = status(of, it);
            if let Some(members) = one.as_object_mut() {
                members.remove("creator");
            }
            one
        })
        .collect();
    json!({"state": state, "statuses": simple, "sha": commit, "total_count": statuses.len(),
        "repository": repository(of), "commit_url": format!("{base}/commits/{commit}"),
        "url": format!("{base}/commits/{commit}/status")})
}

pub(super) fn git_ref(of: &Repository, branch: &str, sha: &str) -> Value {
    let base = repository_url(of);
    json!({"ref": format!("refs/heads/{branch}"), "node_id": format!("REF_{}_{branch}", of.id),
        "url": format!("{base}/git/refs/heads/{branch}"),
        "object": {"type": "commit", "sha": sha, "url": format!("{base}/git/commits/{sha}")}})
}

/// A commit, as far as the fake knows one.
pub(super) fn commit(of: &Repository, sha: &str) -> Result<Value, FakeError> {
    let base = repository_url(of);
    let (tree, message) = (of.git.tree(sha)?, of.git.message(sha)?);
    let parents: Vec<Value> = of
        .git
        .parents(sha)?
        .iter()
        .map(|it| json!({"sha": it, "url": format!("{base}/commits/{it}")}))
        .collect();
    let person = json!({"name": "Fake", "email": "noreply@github.invalid",
                        "date": "2026-01-01T00:00:00Z"});
    Ok(
        json!({"url": format!("{base}/commits/{sha}"), "sha": sha, "node_id": format!("C_{sha}"),
        "html_url": format!("{}/commit/{sha}", repository_page(of)),
        "comments_url": format!("{base}/commits/{sha}/comments"), "author": null,
        "committer": null, "parents": parents,
        "commit": {"url": format!("{base}/git/commits/{sha}"), "author": person,
                   "committer": person, "message": message, "comment_count": 0,
                   "tree": {"sha": tree, "url": format!("{base}/git/trees/{tree}")}}}),
    )
}

pub(super) fn review_state(review: &Review) -> &'static str {
    match (review.dismissed, review.verdict) {
        (true, _) => "DISMISSED",
        (false, Verdict::Approve) => "APPROVED",
        (false, Verdict::RequestChanges) => "CHANGES_REQUESTED",
        (false, Verdict::Comment) => "COMMENTED",
    }
}

pub(super) fn review(of: &Repository, pull: &PullRequest, review: &Review) -> Value {
    let url = format!("{}/pulls/{}", repository_url(of), pull.number);
    let page = format!(
        "{}/pull/{}#pullrequestreview-{}",
        repository_page(of),
        pull.number,
        review.id
    );
    json!({"id": review.id, "node_id": format!("PRR_{}", review.id), "user": user(&review.author),
        "body": review.body, "state": review_state(review), "commit_id": review.commit,
        "submitted_at": time(review.at), "html_url": page, "pull_request_url": url,
        "_links": {"html": {"href": page}, "pull_request": {"href": url}},
        "author_association": "MEMBER"})
}

pub(super) fn issue_comment(of: &Repository, number: u64, comment: &Comment) -> Value {
    let base = repository_url(of);
    json!({"id": comment.id, "node_id": format!("IC_{}", comment.id), "body": comment.body,
        "user": user(&comment.author), "created_at": time(comment.at),
        "updated_at": time(comment.at), "author_association": "MEMBER",
        "url": format!("{base}/issues/comments/{}", comment.id),
        "issue_url": format!("{base}/issues/{number}"),
        "html_url": format!("{}/pull/{number}#issuecomment-{}", repository_page(of), comment.id)})
}

/// The comments of a thread, as the list of review comments shows them.
pub(super) fn review_comments(of: &Repository, pull: &PullRequest, thread: &Thread) -> Vec<Value> {
    let base = repository_url(of);
    let page = format!("{}/pull/{}", repository_page(of), pull.number);
    let first = thread.comments.first().map(|it| it.id);
    let one = |comment: &Comment| {
        json!({"id": comment.id, "node_id": format!("PRRC_{}", comment.id), "body": comment.body,
            "path": thread.path, "user": user(&comment.author), "commit_id": pull.head_sha,
            "original_commit_id": pull.head_sha, "diff_hunk": "", "author_association": "MEMBER",
            "created_at": time(comment.at), "updated_at": time(comment.at), "position": 1,
            "original_position": 1, "pull_request_review_id": null,
            "in_reply_to_id": first.filter(|it| *it != comment.id),
            "url": format!("{base}/pulls/comments/{}", comment.id),
            "pull_request_url": format!("{base}/pulls/{}", pull.number),
            "html_url": format!("{page}#discussion_r{}", comment.id)})
    };
    thread.comments.iter().map(one).collect()
}
