//! What the fake answers, against GitHub's own description of REST and its GraphQL schema.

use apollo_compiler::Schema;
use apollo_compiler::schema::ExtendedType;
use bytes::Bytes;
use gastown_testkit::fake_github::{
    Conclusion, FakeGitHub, Method, Opening, RequiredCheck, Rules, StatusState, Verdict, Written,
    schema_text,
};
use http::Request;
use serde_json::{Value, json};

use crate::data;
use crate::double::{TOKEN, double};

/// Issued and good around the time at which the fake begins.
const JWT: &str =
    "eyJhbGciOiJSUzI1NiJ9.eyJpYXQiOjE3NjcyMjU1NDAsImV4cCI6MTc2NzIyNjEwMCwiaXNzIjoiMSJ9.c2ln";

/// Sends a request to a fake: status and body of its answer.
pub(crate) fn send(fake: &FakeGitHub, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let body = if body.is_null() {
        Bytes::new()
    } else {
        Bytes::from(body.to_string())
    };
    // An App's own endpoints want its JSON Web Token.
    let token = if path.contains("/installation") {
        JWT
    } else {
        TOKEN
    };
    let request = Request::builder()
        .method(method)
        .uri(format!("{}{path}", fake.rest()))
        .header("user-agent", "test")
        .header("authorization", format!("Bearer {token}"))
        .body(body)
        .unwrap();
    let answer = fake.answer(&request).unwrap();
    let value = serde_json::from_slice(answer.body()).unwrap_or_default();
    (answer.status().as_u16(), value)
}

/// As much of JSON Schema as the description uses.
struct Description {
    root: Value,
}

impl Description {
    fn load() -> Option<Self> {
        let root = data::json("openapi/rest.schema.json")?;
        Some(Self { root })
    }

    /// What is wrong with a value, by its path.
    fn faults(&self, name: &str, value: &Value) -> Vec<String> {
        let mut found = Vec::new();
        let schema = json!({"$ref": format!("#/$defs/{name}")});
        self.check(&schema, value, name, &mut found);
        found
    }

    fn is_valid(&self, schema: &Value, value: &Value) -> bool {
        let mut found = Vec::new();
        self.check(schema, value, "", &mut found);
        found.is_empty()
    }

    fn check(&self, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
        let Some(rules) = schema.as_object() else {
            return;
        };
        for (keyword, rule) in rules {
            match keyword.as_str() {
                "$ref" => {
                    let pointer = rule.as_str().unwrap().trim_start_matches('#');
                    let schema = self.root.pointer(pointer).unwrap();
                    self.check(schema, value, at, found);
                }
                "type" => {
                    let one = |it: &Value| has_type(it.as_str().unwrap(), value);
                    let fits = rule
                        .as_array()
                        .map_or_else(|| one(rule), |it| it.iter().any(one));
                    if !fits {
                        found.push(format!("{at}: {value} is no {rule}"));
                    }
                }
                "enum" => {
                    if !rule.as_array().unwrap().contains(value) {
                        found.push(format!("{at}: {value} is none of {rule}"));
                    }
                }
                "const" => {
                    if rule != value {
                        found.push(format!("{at}: {value} is not {rule}"));
                    }
                }
                "required" => {
                    for key in rule.as_array().unwrap() {
                        let key = key.as_str().unwrap();
                        if value.is_object() && value.get(key).is_none() {
                            found.push(format!("{at}: without {key}"));
                        }
                    }
                }
                "properties" => {
                    for (key, schema) in rule.as_object().unwrap() {
                        if let Some(member) = value.get(key) {
                            self.check(schema, member, &format!("{at}.{key}"), found);
                        }
                    }
                }
                "items" => {
                    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
                        self.check(rule, item, &format!("{at}[{index}]"), found);
                    }
                }
                "allOf" => {
                    for schema in rule.as_array().unwrap() {
                        self.check(schema, value, at, found);
                    }
                }
                "anyOf" | "oneOf" => {
                    let fits = |it: &&Value| self.is_valid(it, value);
                    if rule.as_array().unwrap().iter().filter(fits).count() == 0 {
                        found.push(format!("{at}: {value} fits no alternative"));
                    }
                }
                // Texts about the schema, and bounds that no answer of the fake comes near.
                "format"
                | "default"
                | "description"
                | "title"
                | "minimum"
                | "maximum"
                | "additionalProperties"
                | "$comment"
                | "deprecated"
                | "maxLength"
                | "minLength"
                | "maxItems"
                | "minItems"
                | "readOnly"
                | "pattern"
                | "uniqueItems"
                | "patternProperties" => {}
                other => panic!("unknown keyword {other}"),
            }
        }
    }
}

fn has_type(name: &str, value: &Value) -> bool {
    match name {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        other => panic!("unknown type {other}"),
    }
}

/// A fake in which every answer has something to show.
fn busy() -> (FakeGitHub, String) {
    let double = double();
    let head = double.head(1);
    double.edit(|it| {
        let app = Some(15368);
        let rules = Rules {
            approvals: 1,
            strict: true,
            linear_history: true,
            merge_queue: true,
            methods: Some(vec![Method::Squash]),
            required_checks: vec![
                RequiredCheck {
                    context: "ci".to_owned(),
                    app,
                },
                RequiredCheck {
                    context: "lint".to_owned(),
                    app: None,
                },
            ],
            ..Rules::default()
        };
        it.rules.insert("main".to_owned(), rules.clone());
        let classic = Rules {
            written: Written::Protection,
            ..rules
        };
        it.rules.insert("work".to_owned(), classic);
        it.report_check(&head, "ci", 15368, Some(Conclusion::Success));
        it.report_check(&head, "slow", 15368, None);
        it.report_status(&head, "lint", StatusState::Failure);
        it.review(1, "ann", Verdict::RequestChanges, "No.").unwrap();
        it.open_thread(1, "ann", "new.txt", "Why?").unwrap();
        it.comment(1, "bob", "Hello.").unwrap();
        it.push("merged", &[("merged.txt", "merged\n")]).unwrap();
        let merged = it.open(Opening::of("merged")).unwrap();
        it.merge_now(merged, Method::Merge, "ann").unwrap().unwrap();
        it.push("stacked", &[("stacked.txt", "stacked\n")]).unwrap();
        let stacked = it.open(Opening::of("stacked")).unwrap();
        it.pull_mut(stacked).unwrap().stacked = true;
        it.pull_mut(stacked).unwrap().draft = true;
    });
    (double.fake, head)
}

#[test]
fn the_answers_of_the_fake_are_those_that_github_describes() {
    let Some(description) = Description::load() else {
        return;
    };
    let (fake, head) = busy();
    let open = json!({"title": "More", "head": "more", "base": "main"});
    fake.edit(|world| {
        let repository = world.repository("o/r").unwrap();
        repository.push("more", &[("more.txt", "more\n")]).unwrap();
    });
    let get = |path: &str| ("GET", path.to_owned(), Value::Null, 200);
    let post = |path: &str, body: Value, status| ("POST", path.to_owned(), body, status);
    let commits = |rest: &str| get(&format!("/repos/o/r/commits/{head}/{rest}"));
    // Each answer, where its objects are in it, and what GitHub calls them.
    for ((method, path, body, status), at, name) in [
        (get("/repos/o/r"), "", "full-repository"),
        (get("/repos/o/r/pulls/1"), "", "pull-request"),
        (get("/repos/o/r/pulls/2"), "", "pull-request"),
        (get("/repos/o/r/pulls/3"), "", "pull-request"),
        (
            get("/repos/o/r/pulls?state=all"),
            "*",
            "pull-request-simple",
        ),
        (
            post("/repos/o/r/pulls", open.clone(), 201),
            "",
            "pull-request",
        ),
        (post("/repos/o/r/pulls", open, 422), "", "validation-error"),
        (
            get("/repos/o/r/pulls/1/reviews"),
            "*",
            "pull-request-review",
        ),
        (commits("check-runs"), "check_runs*", "check-run"),
        (commits("status"), "", "combined-commit-status"),
        (commits("statuses"), "*", "status"),
        (
            get("/repos/o/r/branches/main"),
            "",
            "branch-with-protection",
        ),
        (
            get("/repos/o/r/branches/work"),
            "",
            "branch-with-protection",
        ),
        (
            get("/repos/o/r/rules/branches/main"),
            "*",
            "repository-rule-detailed",
        ),
        (get("/repos/o/r/git/ref/heads/main"), "", "git-ref"),
        (
            post(
                "/repos/o/r/git/refs",
                json!({"ref": "refs/heads/a/b", "sha": head}),
                201,
            ),
            "",
            "git-ref",
        ),
        (
            post("/repos/o/r/issues/1/comments", json!({"body": "x"}), 201),
            "",
            "issue-comment",
        ),
        (get("/repos/o/r/installation"), "", "installation"),
        (
            post("/app/installations/7/access_tokens", json!({}), 201),
            "",
            "installation-token",
        ),
        (get("/rate_limit"), "", "rate-limit-overview"),
        (
            ("GET", "/repos/o/missing".to_owned(), Value::Null, 404),
            "",
            "basic-error",
        ),
        (
            (
                "PUT",
                "/repos/o/r/pulls/4/merge-async".to_owned(),
                json!({}),
                200,
            ),
            "",
            "pull-request-merge-async-result",
        ),
    ] {
        let (found, answer) = send(&fake, method, &path, &body);
        assert_eq!(found, status, "{path}: {answer}");
        let (inside, many) = match at.strip_suffix('*') {
            Some("") => (&answer, true),
            Some(key) => (&answer[key], true),
            None => (&answer, false),
        };
        let objects = if many {
            inside.as_array().unwrap().clone()
        } else {
            vec![inside.clone()]
        };
        assert!(!objects.is_empty(), "{path} shows nothing");
        for object in objects {
            let faults = description.faults(name, &object);
            assert!(faults.is_empty(), "{method} {path}: {faults:#?}");
        }
    }
}

#[test]
fn a_merge_answers_as_described() {
    let Some(description) = Description::load() else {
        return;
    };
    let double = double();
    let (status, answer) = send(&double.fake, "PUT", "/repos/o/r/pulls/1/merge", &json!({}));
    assert_eq!(status, 200, "{answer}");
    let faults = description.faults("pull-request-merge-result", &answer);
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn the_description_is_really_looked_at() {
    let Some(description) = Description::load() else {
        return;
    };
    let (fake, _) = busy();
    let (_, pull) = send(&fake, "GET", "/repos/o/r/pulls/1", &Value::Null);
    for (pointer, value) in [
        ("/number", json!("1")),
        ("/head/sha", Value::Null),
        ("/author_association", json!("FRIEND")),
        ("/user", json!({})),
    ] {
        let mut damaged = pull.clone();
        *damaged.pointer_mut(pointer).unwrap() = value;
        let faults = description.faults("pull-request", &damaged);
        assert!(!faults.is_empty(), "{pointer}");
    }
}

#[test]
fn the_schema_of_the_fake_is_a_part_of_githubs() {
    let Some(whole) = data::text("graphql/github.graphql") else {
        return;
    };
    let whole = Schema::parse_and_validate(whole, "github.graphql").unwrap();
    let part = Schema::parse_and_validate(schema_text(), "schema.graphql").unwrap();
    let mut compared = 0;
    for (name, ours) in &part.types {
        if name.starts_with("__") {
            continue;
        }
        let theirs = whole
            .types
            .get(name)
            .unwrap_or_else(|| panic!("{name} is not there"));
        match (ours, theirs) {
            (ExtendedType::Object(ours), ExtendedType::Object(theirs)) => {
                for (field, ours) in &ours.fields {
                    let theirs = theirs.fields.get(field);
                    let theirs = theirs.unwrap_or_else(|| panic!("{name}.{field} is not there"));
                    assert_eq!(ours.ty.to_string(), theirs.ty.to_string(), "{name}.{field}");
                    for argument in &ours.arguments {
                        let found = theirs.arguments.iter().find(|it| it.name == argument.name);
                        let found = found.unwrap().ty.to_string();
                        assert_eq!(argument.ty.to_string(), found, "{name}.{field}");
                    }
                    compared += 1;
                }
            }
            (ExtendedType::Enum(ours), ExtendedType::Enum(theirs)) => {
                for word in ours.values.keys() {
                    assert!(theirs.values.contains_key(word), "{name}.{word}");
                }
            }
            (ours, theirs) => assert_eq!(
                std::mem::discriminant(ours),
                std::mem::discriminant(theirs),
                "{name}"
            ),
        }
    }
    assert!(compared > 80, "{compared}");
}

#[test]
fn graphql_of_the_fake_refuses_what_github_refuses() {
    let double = double();
    let ask = |fields: &str| {
        let query = format!(
            "query {{ repository(owner: \"o\", name: \"r\") {{ pullRequest(number: 1) {{ {fields} }} }} }}"
        );
        send(&double.fake, "POST", "/graphql", &json!({"query": query})).1
    };
    let missing = ask("invented");
    let errors = missing["errors"].as_array().unwrap();
    let is_undefined = |it: &Value| it["extensions"]["code"] == "undefinedField";
    assert!(errors.iter().any(is_undefined), "{missing}");
    let unbounded = ask("reviewThreads { totalCount }");
    let kind = &unbounded["errors"][0]["type"];
    assert_eq!(kind, "MISSING_PAGINATION_BOUNDARIES", "{unbounded}");
    let long = ask("reviewThreads(first: 101) { totalCount }");
    assert_eq!(long["errors"][0]["type"], "EXCESSIVE_PAGINATION", "{long}");
    let empty = ask("reviewThreads(first: 1) { totalCount }");
    assert_eq!(empty.get("errors"), None, "{empty}");
}
