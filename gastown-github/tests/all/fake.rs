//! What the fake does that GitHub does, asked of the fake itself.

use gastown_testkit::fake_github::{Limits, Opening, Options, PullState, Rules};
use serde_json::{Value, json};

use crate::answers::send;
use crate::double::*;

fn with_a_queue() -> Double {
    let double = double();
    let rules = Rules {
        merge_queue: true,
        ..Rules::default()
    };
    double.edit(|it| {
        it.rules.insert("main".to_owned(), rules);
        it.enqueue(1, None, "ann").unwrap().unwrap();
    });
    double
}

#[test]
fn a_budget_of_graphql_that_is_used_up_is_told_with_success() {
    let limits = Limits {
        graphql: 1,
        ..Limits::default()
    };
    let double = double_with(Options {
        limits: Some(limits),
        ..Options::default()
    });
    let query = json!({"query": "query Q { repository(owner: \"o\", name: \"r\") { id } }"});
    let (_, first) = send(&double.fake, "POST", "/graphql", &query);
    assert_eq!(first.get("errors"), None, "{first}");
    let (status, second) = send(&double.fake, "POST", "/graphql", &query);
    assert_eq!(status, 200);
    assert_eq!(second["errors"][0]["type"], "RATE_LIMITED", "{second}");
    assert_eq!(second.get("data"), None);
}

#[test]
fn what_is_closed_leaves_the_queue() {
    let double = with_a_queue();
    double.edit(|it| it.close(1).unwrap());
    assert_eq!(double.edit(|it| it.run_queue().unwrap()), [0_u64; 0]);
    let state = double.edit(|it| it.pull(1).unwrap().state);
    assert_eq!(state, PullState::Closed);
}

#[test]
fn what_is_queued_is_not_queued_again() {
    let double = with_a_queue();
    let at = double.edit(|it| it.pull(1).unwrap().queued_at);
    let again = double.edit(|it| it.enqueue(1, None, "ann").unwrap());
    assert_eq!(again.unwrap_err().status, 422);
    assert_eq!(double.edit(|it| it.pull(1).unwrap().queued_at), at);
}

#[test]
fn what_is_opened_again_has_what_was_pushed_meanwhile() {
    let double = double();
    double.edit(|it| it.close(1).unwrap());
    let (head, base) = double.edit(|it| {
        let head = it.push("work", &[("new.txt", "newer\n")]).unwrap();
        (head, it.push("main", &[("other.txt", "other\n")]).unwrap())
    });
    double.edit(|it| it.reopen(1).unwrap());
    let pull = double.edit(|it| it.pull(1).unwrap().clone());
    assert_eq!((pull.state, pull.head_sha), (PullState::Open, head));
    assert_eq!(pull.base_sha, base);
}

#[test]
fn without_its_branch_nothing_is_opened_again() {
    let double = double();
    double.edit(|it| it.delete_branch("work").unwrap());
    let open = json!({"state": "open"});
    let (status, _) = send(&double.fake, "PATCH", "/repos/o/r/pulls/1", &open);
    assert_eq!(status, 422);
}

#[test]
fn the_asynchronous_merge_obeys_the_rules() {
    let double = double();
    let merge = |number: u64| {
        let path = format!("/repos/o/r/pulls/{number}/merge-async");
        let (status, answer) = send(&double.fake, "PUT", &path, &Value::Null);
        assert_eq!(status, 200, "{answer}");
        answer["status"].as_str().unwrap().to_owned()
    };
    let rules = Rules::default().requiring("ci");
    double.edit(|it| it.rules.insert("main".to_owned(), rules));
    assert_eq!(merge(1), "failed");
    double.edit(|it| {
        it.rules.clear();
        it.push("more", &[("more.txt", "more\n")]).unwrap();
        let stacked = it.open(Opening::of("more")).unwrap();
        it.pull_mut(stacked).unwrap().stacked = true;
    });
    assert_eq!((merge(1), merge(2)), ("merged".into(), "merged".into()));
}
