//! Recorded and synthetic payloads: everything decodes, nothing panics, no pull request is lost.

use bytes::Bytes;
use gastown_github::classify::{MergeRefusal, merge_refusal, speaks_of_limit};
use gastown_github::error_body::ErrorBody;
use gastown_github::graphql::Envelope;
use gastown_github::observation::{ChecksState, Mergeable};
use gastown_github::observe::Detail;
use gastown_github::rate_limit::{LimitVerdict, LimitedAnswer, verdict};
use gastown_github::redirect::{NextPage, Redirect, next_page, redirect};
use gastown_github::response;
use gastown_github::url::ForgeHost;
use gastown_github::webhook::{HintKind, Subject, interpret, verify};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::data::{self, damaged};
use crate::script::*;

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

/// Every pull request in the recordings, whole ones and those inside of webhooks.
fn pull_requests() -> Vec<(String, Value)> {
    let mut found = Vec::new();
    for (file, scenario) in data::all("rest-recorded") {
        for exchange in scenario["exchanges"].as_array().unwrap() {
            let path = exchange["url"].as_str().unwrap();
            let body = &exchange["body"];
            let whole = body["head"]["sha"].is_string() && body["number"].is_u64();
            if whole && path.contains("/pulls") {
                found.push((file.clone(), body.clone()));
            }
        }
    }
    for directory in ["webhooks", "webhooks-synthetic"] {
        for (file, payload) in data::all(directory) {
            if payload["pull_request"].is_object() {
                found.push((file, payload["pull_request"].clone()));
            }
        }
    }
    found
}

/// One of each recording; the others differ in values that do not matter to damage.
fn one_per_file() -> Vec<(String, Value)> {
    let mut all = pull_requests();
    all.dedup_by(|a, b| a.0 == b.0);
    all
}

#[test]
fn every_pull_request_decodes() {
    let all = pull_requests();
    println!("{} pull requests", all.len());
    for (file, body) in all {
        let found =
            response::pull_request(&bytes(&body)).unwrap_or_else(|it| panic!("{file}: {it}"));
        assert_eq!(Some(found.number), body["number"].as_u64(), "{file}");
        assert_eq!(
            Some(found.head_sha.as_str()),
            body["head"]["sha"].as_str(),
            "{file}"
        );
        let merged = body["merged"]
            .as_bool()
            .unwrap_or(body["merged_at"].is_string());
        assert_eq!(found.merged, merged, "{file}");
    }
}

#[test]
fn no_pull_request_is_lost_to_a_missing_null_or_unknown_member() {
    let needed = [
        "/number",
        "/head",
        "/head/sha",
        "/head/ref",
        "/base",
        "/base/ref",
    ];
    for (file, body) in one_per_file() {
        for (pointer, changed) in damaged(&trimmed(body.clone()), 2) {
            let found = response::pull_request(&bytes(&changed));
            if !needed.contains(&pointer.as_str()) {
                assert!(found.is_ok(), "{file} without {pointer}: {found:?}");
            }
        }
    }
}

#[test]
fn damage_never_makes_a_pull_request_look_better() {
    let at_most = |it: Mergeable| !matches!(it, Mergeable::Clean | Mergeable::HasHooks);
    for (file, body) in one_per_file() {
        let Ok(whole) = response::pull_request(&bytes(&body)) else {
            continue;
        };
        if !at_most(whole.mergeability()) {
            continue;
        }
        for (pointer, changed) in damaged(&trimmed(body.clone()), 2) {
            let Ok(found) = response::pull_request(&bytes(&changed)) else {
                continue;
            };
            assert!(
                at_most(found.mergeability()),
                "{file} with damaged {pointer}"
            );
        }
    }
}

#[test]
fn trap_08_the_recorded_wait_for_mergeability_is_followed() {
    let states: Vec<_> = data::exchanges("pr-mergeable-null-then-clean")
        .iter()
        .filter(|it| it["url"].as_str().unwrap().ends_with("/pulls/309"))
        .map(|it| {
            response::pull_request(&bytes(&it["body"]))
                .unwrap()
                .mergeability()
        })
        .collect();
    if !states.is_empty() {
        assert_eq!(
            states,
            [Mergeable::Unknown, Mergeable::Unknown, Mergeable::Clean]
        );
    }
}

#[test]
fn trap_24_recorded_drafts_are_drafts() {
    for exchange in data::exchanges("pr-draft") {
        let body = &exchange["body"];
        if body["draft"] == json!(true) && body["mergeable_state"] == json!("draft") {
            let found = response::pull_request(&bytes(body)).unwrap();
            assert!(found.draft);
            assert!(!matches!(found.mergeability(), Mergeable::Clean));
        }
    }
}

#[test]
fn recorded_settings_decode() {
    for exchange in data::exchanges("rules-for-branch") {
        let rules = response::branch_rules(&bytes(&exchange["body"])).unwrap();
        assert!(rules.complete);
        assert_eq!(rules.required_approvals, 1);
    }
    let mut flags = Vec::new();
    for exchange in data::exchanges("repo-merge-flags") {
        flags.push(
            response::repository(&bytes(&exchange["body"]))
                .unwrap()
                .allow_squash_merge,
        );
    }
    if !flags.is_empty() {
        assert!(flags.contains(&Some(true)) && flags.contains(&Some(false)));
    }
    for exchange in data::exchanges("branch-url-encoded") {
        assert!(response::branch_protection(&bytes(&exchange["body"])).is_ok());
    }
}

#[test]
fn trap_07_recorded_protection_names_the_app_or_none() {
    let recorded = data::exchanges("branch-protection-app-ids");
    for (exchange, expected) in recorded.iter().zip([1, 2, 3]) {
        // The recording is of the administrators' endpoint; the branch shows the same member.
        let checks = exchange["body"]["required_status_checks"].clone();
        let branch = json!({"protected": true, "protection": {"required_status_checks": checks}});
        let found = response::branch_protection(&bytes(&branch)).unwrap();
        assert!(found.complete);
        assert_eq!(found.required_checks.len(), expected);
        let apps: Vec<_> = found.required_checks.iter().map(|it| it.app).collect();
        let all = [None, Some(123), None];
        assert_eq!(apps, all[..expected]);
    }
}

#[test]
fn settings_survive_damage_and_never_claim_to_be_complete_without_their_checks() {
    let check = json!({"context": "ci", "integration_id": 5});
    let parameters = json!({"required_status_checks": [check]});
    let rule = json!({"type": "required_status_checks", "parameters": parameters});
    for (pointer, changed) in damaged(&rule, 9) {
        let found = response::branch_rules(&bytes(&json!([changed]))).unwrap();
        let kept = !found.required_checks.is_empty();
        assert!(kept || !found.complete || pointer == "/type", "{pointer}");
    }
}

#[test]
fn recorded_refs_are_exact_or_none() {
    for exchange in data::exchanges("git-ref") {
        let url = exchange["url"].as_str().unwrap();
        let Some((_, branch)) = url.split_once("/refs/heads/") else {
            continue;
        };
        let found = response::branch_ref(&bytes(&exchange["body"]), branch).unwrap();
        assert_eq!(found.is_some(), branch == "gh-pages", "{url}");
    }
}

#[test]
fn trap_03_recorded_pages_are_followed_by_their_links() {
    let host = ForgeHost::github_com();
    let recorded = data::exchanges("check-runs-pagination");
    let mut pages = 0;
    for exchange in &recorded {
        let asked = format!(
            "https://api.github.com{}",
            exchange["url"].as_str().unwrap()
        );
        let headers = headers_of(exchange);
        match next_page(&host, &asked.parse().unwrap(), &headers) {
            NextPage::At(uri) => assert!(uri.path().starts_with("/repositories/")),
            NextPage::Last => pages += 1,
            NextPage::Unreachable => panic!("{asked}"),
        }
    }
    if !recorded.is_empty() {
        assert!((1..recorded.len()).contains(&pages));
    }
}

#[test]
fn trap_16_the_recorded_rename_is_followed() {
    let Some(fixture) = data::json("octokit-fixtures/rename-repository.json") else {
        return;
    };
    let host = ForgeHost::github_com();
    let mut followed = 0;
    for exchange in fixture.as_array().unwrap() {
        let status = u16::try_from(exchange["status"].as_u64().unwrap()).unwrap();
        let location = exchange["headers"]["location"]
            .as_str()
            .or(exchange["response"]["url"]
                .as_str()
                .filter(|_| status > 300));
        let Some(location) = location.filter(|_| status > 300) else {
            continue;
        };
        let method = exchange["method"].as_str().unwrap().to_ascii_uppercase();
        let uri = format!(
            "https://api.github.com{}",
            exchange["path"].as_str().unwrap()
        );
        let request = Request::builder()
            .method(method.as_str())
            .uri(uri)
            .body(Bytes::from("b"))
            .unwrap();
        let answer = Response::builder()
            .status(status)
            .header("location", location);
        let answer = answer.body(Bytes::new()).unwrap();
        let Redirect::Follow(next) = redirect(&host, &request, &answer) else {
            panic!("{method} {status} is not followed")
        };
        assert_eq!(next.method().as_str(), method);
        assert_eq!(next.uri().path(), "/repositories/1000");
        followed += 1;
    }
    assert_eq!(followed, 2);
}

#[test]
fn every_observed_refusal_of_a_merge_is_in_the_table() {
    let Some(observed) = data::json("errors/observed-errors.json") else {
        return;
    };
    for error in observed["rest"].as_array().unwrap() {
        let status = u16::try_from(error["status"].as_u64().unwrap()).unwrap();
        let message = ErrorBody::read(&bytes(&error["body"])).message;
        if !error["endpoint"].as_str().unwrap().ends_with("/merge") {
            continue;
        }
        let fits: fn(&MergeRefusal) -> bool = match error["suggested_class"].as_str().unwrap() {
            "retry-after-reread" => |it| *it == MergeRefusal::BaseModified,
            "pick-other-method" => |it| matches!(it, MergeRefusal::MethodNotAllowed(_)),
            "reread" => |it| *it == MergeRefusal::NotMergeable,
            "queued" => |it| *it == MergeRefusal::AlreadyQueued,
            "enqueue" => |it| *it == MergeRefusal::QueueRequired,
            "wait-for-checks" => |it| *it == MergeRefusal::ChecksMissing,
            "stale-decision" => |it| *it == MergeRefusal::HeadModified,
            "use-merge-async" => |it| *it == MergeRefusal::Stacked,
            "terminal-until-state-change" => {
                |it| matches!(it, MergeRefusal::Draft | MergeRefusal::ReviewsMissing)
            }
            other => panic!("no expectation for {other}"),
        };
        let found = merge_refusal(status, &message);
        assert!(fits(&found), "{status} {message}: {found:?}");
    }
}

#[test]
fn trap_23_details_that_are_texts_are_read() {
    let body = json!({"message": "Unprocessable Entity",
                      "errors": ["Review Can not approve your own pull request"]});
    let text = ErrorBody::read(&bytes(&body)).message;
    assert!(
        text.ends_with("Can not approve your own pull request"),
        "{text}"
    );
}

#[test]
fn every_observed_graphql_answer_is_read() {
    let Some(observed) = data::json("errors/observed-errors.json") else {
        return;
    };
    let mut limited = 0;
    for error in observed["graphql"].as_array().unwrap() {
        let envelope = Envelope::read(&bytes(&error["body"])).unwrap();
        assert!(!envelope.errors().is_empty());
        limited += usize::from(envelope.is_limited());
        for (_, changed) in damaged(&error["body"], 9) {
            // Reading may fail, it must not panic.
            let _ = Envelope::read(&bytes(&changed));
        }
    }
    assert_eq!(limited, 1);
}

fn headers_of(exchange: &Value) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in exchange["headers"].as_object().unwrap() {
        let text = filled_in(value.as_str().unwrap_or_default());
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(&text).unwrap());
    }
    headers
}

/// The recordings of limits hold templates where times were.
fn filled_in(text: &str) -> String {
    match text {
        it if it.starts_with("{{") && it.contains("unix") => at(600).timestamp().to_string(),
        it if it.starts_with("{{") && it.contains("offset") => at(8).to_rfc2822(),
        it if it.starts_with("{{") => at(0).to_rfc2822(),
        it => it.to_owned(),
    }
}

#[test]
fn recorded_limits_are_recognised() {
    for (file, expected) in [
        ("rate-limit-primary-403", "exhausted"),
        ("rate-limit-secondary-403-gh-limited-by", "secondary"),
        ("rate-limit-secondary-403-no-header", "secondary"),
        ("rate-limit-secondary-403-retry-after", "until"),
        ("rate-limit-secondary-429-date-retry-after", "until"),
        ("rate-limit-secondary-429-no-retry-after", "secondary"),
        ("rate-limit-secondary-429-retry-after", "until"),
    ] {
        for exchange in data::exchanges(file) {
            let status = exchange["status"].as_u64().unwrap();
            if status < 400 {
                continue;
            }
            let status = StatusCode::from_u16(u16::try_from(status).unwrap()).unwrap();
            let body = ErrorBody::read(&bytes(&exchange["body"]));
            let headers = headers_of(&exchange);
            let answer = LimitedAnswer {
                headers: &headers,
                may_be_limit: true,
                speaks_of_limit: speaks_of_limit(status, &body),
                succeeded: false,
            };
            let found = match verdict(&answer, at(0)) {
                LimitVerdict::Until(_) => "until",
                LimitVerdict::Exhausted(_) => "exhausted",
                LimitVerdict::Secondary => "secondary",
                LimitVerdict::NotLimited => "none",
            };
            assert_eq!(found, expected, "{file}");
        }
    }
}

/// Event, file and payload of every webhook.
fn webhooks() -> Vec<(String, String, Value)> {
    let mut found = Vec::new();
    for (file, payload) in data::all("webhooks") {
        if let Some((event, _)) = file.split_once('/') {
            found.push((event.to_owned(), file.clone(), payload));
        }
    }
    for (file, payload) in data::all("webhooks-synthetic") {
        let event = file.split('.').next().unwrap().to_owned();
        found.push((event, file, payload));
    }
    found
}

/// The payload without bulk that nobody reads.
fn trimmed(mut payload: Value) -> Value {
    let members = payload.as_object_mut().unwrap();
    let bulk = [
        "sender",
        "organization",
        "commits",
        "repositories",
        "user",
        "_links",
        "body",
    ];
    members.retain(|key, _| !bulk.contains(&key.as_str()));
    for path in [
        "/repository",
        "/pull_request/base/repo",
        "/pull_request/head/repo",
    ] {
        if let Some(repository) = payload.pointer_mut(path).and_then(Value::as_object_mut) {
            repository.retain(|key, _| key == "full_name" || key == "id");
        }
    }
    payload
}

fn event(name: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("x-github-event", HeaderValue::from_str(name).unwrap());
    headers
}

#[test]
fn every_webhook_is_interpreted_and_survives_damage() {
    for (name, file, payload) in webhooks() {
        let hints = interpret(&event(&name), &bytes(&payload)).unwrap();
        let action = payload["action"].as_str().unwrap_or_default();
        let quiet = matches!(
            (name.as_str(), action),
            ("ping", _)
                | ("check_run", "requested_action")
                | ("check_suite", "requested")
                | ("merge_group", "checks_requested")
                | (
                    "pull_request",
                    "assigned" | "unassigned" | "labeled" | "unlabeled" | "locked" | "unlocked"
                )
        ) || payload["ref"]
            .as_str()
            .is_some_and(|it| it.starts_with("refs/tags/"));
        assert_eq!(hints.is_empty(), quiet, "{file}");
        if let Some(number) = payload["pull_request"]["number"]
            .as_u64()
            .filter(|_| !quiet)
        {
            assert_eq!(hints[0].subject, Subject::PullRequest { number }, "{file}");
        }
        for (_, changed) in damaged(&trimmed(payload), 2) {
            assert!(interpret(&event(&name), &bytes(&changed)).is_ok(), "{file}");
        }
    }
}

#[test]
fn trap_20_the_queue_webhooks_are_told_apart() {
    for (name, file, payload) in webhooks() {
        if file.contains("dequeued") {
            let hints = interpret(&event(&name), &bytes(&payload)).unwrap();
            assert!(matches!(hints[0].kind, HintKind::Dequeued { .. }), "{file}");
        }
    }
}

#[test]
fn the_recorded_signature_is_right() {
    let Some(vector) = data::json("webhooks/signature-vector.json") else {
        return;
    };
    let mut headers = HeaderMap::new();
    let signature = vector["x_hub_signature_256"].as_str().unwrap();
    headers.insert(
        "x-hub-signature-256",
        HeaderValue::from_str(signature).unwrap(),
    );
    let text = |name: &str| vector[name].as_str().unwrap().as_bytes().to_vec();
    assert!(verify(&text("secret"), &headers, &text("payload")).is_ok());
    assert!(verify(b"another", &headers, &text("payload")).is_err());
}

/// The list of contexts that lies somewhere in an answer.
fn contexts(value: &Value) -> Option<&Vec<Value>> {
    match value {
        Value::Object(members) => match members.get("contexts") {
            Some(found) => found["nodes"].as_array(),
            None => members.values().find_map(contexts),
        },
        Value::Array(items) => items.iter().find_map(contexts),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[tokio::test]
async fn trap_01_to_03_recorded_contexts_are_judged() {
    for (file, expected) in [
        ("allPassing", ChecksState::Passing),
        ("someFailing", ChecksState::Failing),
        ("somePending", ChecksState::Failing),
        ("someSkipping", ChecksState::Passing),
        ("someCancelled", ChecksState::Failing),
        ("withEvents", ChecksState::Passing),
    ] {
        let Some(body) = data::json(&format!("graphql/gh-cli/{file}.json")) else {
            return;
        };
        let mut found = contexts(&body).unwrap().clone();
        for context in &mut found {
            let kind = if context["context"].is_string() {
                "StatusContext"
            } else {
                "CheckRun"
            };
            context["__typename"] = json!(kind);
        }
        let world = world();
        let feed = feed_with("/statusCheckRollup/contexts", nodes(json!(found)));
        world.script.on(FEED, [answer(200, feed)]);
        let seen = world
            .github
            .observe(&seven(), Detail::Feedback)
            .await
            .unwrap();
        let feedback = seen.feedback.unwrap();
        assert!(feedback.checks_complete, "{file}");
        assert_eq!(feedback.checks.state, expected, "{file}");
    }
}

#[tokio::test]
async fn damage_to_the_feed_never_panics_and_never_looks_better() {
    let bad = with(check("ci"), "/conclusion", json!("FAILURE"));
    let whole = feed_with("/statusCheckRollup/contexts/nodes", json!([bad]));
    for (pointer, changed) in damaged(&whole, 9) {
        let world = world();
        world.script.on(FEED, [answer(200, changed)]);
        let Ok(seen) = world.github.observe(&seven(), Detail::Feedback).await else {
            continue;
        };
        let feedback = seen.feedback.unwrap();
        let green = feedback.checks_complete && feedback.checks.state == ChecksState::Passing;
        assert!(!green, "{pointer}");
        // A null without an error means that there are none, and only there.
        let none = feedback.checks_complete && feedback.checks.state == ChecksState::None;
        assert!(
            !none || pointer.ends_with("/statusCheckRollup"),
            "{pointer}"
        );
    }
}
