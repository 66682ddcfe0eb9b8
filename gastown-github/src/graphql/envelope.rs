//! The outside of a GraphQL answer: data *and* errors (facts 0.10, 1.10; trap 10).
//!
//! An answer can hold both. Which parts of the data an error spoils is told by its path; a part
//! that is null because of an error is unknown, a part that is null without one is absent.

use serde_json::Value;

use crate::credentials::redact;
use crate::json::Json;
use crate::observation::ForgeError;

/// One entry of `errors`. GitHub's `type` is outside of the GraphQL specification and decides
/// more than the text does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GraphqlError {
    /// `type`, for example `FORBIDDEN`; empty if it has none.
    pub kind: String,
    /// The place in the data that it spoils; none for all of it.
    pub path: Option<Vec<String>>,
    /// The text, credentials removed.
    pub message: String,
    /// `extensions.code` or `code`; empty if it has none.
    pub code: String,
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Envelope {
    data: Value,
    errors: Vec<GraphqlError>,
}

impl Envelope {
    /// Reads an answer.
    ///
    /// # Errors
    /// [`ForgeError::InvalidResponse`] if it has neither data nor errors.
    pub fn read(body: &[u8]) -> Result<Self, ForgeError> {
        let invalid = |why: String| ForgeError::InvalidResponse {
            why: format!("graphql: {why}"),
        };
        let mut value: Value =
            serde_json::from_slice(body).map_err(|it| invalid(it.to_string()))?;
        let errors = value.get("errors").and_then(Value::as_array);
        let errors: Vec<_> = errors.into_iter().flatten().map(error).collect();
        let data = value.get_mut("data").map(Value::take).unwrap_or_default();
        if data.is_null() && errors.is_empty() {
            return Err(invalid("neither data nor errors".to_owned()));
        }
        Ok(Self { data, errors })
    }

    /// The errors.
    #[must_use]
    pub fn errors(&self) -> &[GraphqlError] {
        &self.errors
    }

    /// Whether the answer is a rate limit, which comes with status 200 and in two spellings.
    #[must_use]
    pub fn is_limited(&self) -> bool {
        let limited = |it: &GraphqlError| {
            matches!(it.kind.as_str(), "RATE_LIMITED" | "RATE_LIMIT")
                || it.code == "graphql_rate_limit"
                || it
                    .message
                    .to_ascii_lowercase()
                    .contains("secondary rate limit")
        };
        self.errors.iter().any(limited)
    }

    /// Whether the server does not know a field, a type or a word that was asked for.
    #[must_use]
    pub fn misses_a_field(&self) -> bool {
        self.errors.iter().any(is_about_a_missing_field)
    }

    /// Whether this very field, type or word is what the server does not know.
    #[must_use]
    pub fn misses(&self, word: &str) -> bool {
        let names = |it: &GraphqlError| {
            // What it proposes instead is what it knows.
            let known = it.message.find("(Did you mean");
            let text = known.and_then(|end| it.message.get(..end));
            let text = text.unwrap_or(&it.message);
            text.split(|it: char| !it.is_ascii_alphanumeric() && it != '_')
                .any(|it| it == word)
        };
        let missing = self.errors.iter().filter(|it| is_about_a_missing_field(it));
        missing.into_iter().any(names)
    }

    /// The data as a place to walk from.
    pub(crate) fn root(&self) -> Place<'_> {
        Place {
            envelope: self,
            json: Json::of(&self.data),
            path: Vec::new(),
        }
    }

    /// What it means that the one thing asked for is not there.
    pub(crate) fn why_nothing(&self) -> ForgeError {
        let kind = |name: &str| self.errors.iter().find(|it| it.kind == name);
        let forbidden = kind("FORBIDDEN").or_else(|| kind("INSUFFICIENT_SCOPES"));
        if let Some(error) = forbidden {
            return ForgeError::Forbidden {
                message: error.message.clone(),
                needs: None,
            };
        }
        if self.errors.is_empty() || kind("NOT_FOUND").is_some() {
            return ForgeError::NotFound {
                repository_readable: false,
            };
        }
        if self.misses_a_field() {
            let why = self.messages();
            return ForgeError::InvalidResponse {
                why: format!("graphql: {why}"),
            };
        }
        // Time-outs and faults of the server come with status 200 and without a type.
        ForgeError::Server { status: 500 }
    }

    /// All error texts in one.
    pub(crate) fn messages(&self) -> String {
        let texts: Vec<_> = self.errors.iter().map(|it| it.message.as_str()).collect();
        texts.join("; ")
    }
}

/// A place in the data that knows which errors spoil it.
#[derive(Clone, Debug)]
pub(crate) struct Place<'a> {
    envelope: &'a Envelope,
    json: Json<'a>,
    path: Vec<String>,
}

impl<'a> Place<'a> {
    pub(crate) fn at(&self, key: &str) -> Self {
        let mut path = self.path.clone();
        path.push(key.to_owned());
        Self {
            envelope: self.envelope,
            json: self.json.at(key),
            path,
        }
    }

    pub(crate) fn along(&self, keys: &[&str]) -> Self {
        keys.iter().fold(self.clone(), |it, key| it.at(key))
    }

    pub(crate) fn json(&self) -> Json<'a> {
        self.json
    }

    /// The items of a list, or none if it is none.
    pub(crate) fn items(&self) -> Option<Vec<Self>> {
        let list = self.json.list()?;
        let item = |(index, value): (usize, &'a Value)| {
            let mut path = self.path.clone();
            path.push(index.to_string());
            Self {
                envelope: self.envelope,
                json: Json::of(value),
                path,
            }
        };
        Some(list.iter().enumerate().map(item).collect())
    }

    /// Whether an error spoils this place: it is here, above, or somewhere below.
    pub(crate) fn is_spoilt(&self) -> bool {
        self.is_spoilt_beyond(None)
    }

    /// The same, without errors at members of this name, which the caller looks at itself.
    pub(crate) fn is_spoilt_beyond(&self, tolerated: Option<&str>) -> bool {
        let spoils = |error: &GraphqlError| match &error.path {
            None => true,
            Some(path) => {
                let here = self.path.iter().zip(path).all(|(a, b)| a == b);
                let below = path.get(self.path.len()..).unwrap_or_default();
                here && !tolerated.is_some_and(|it| below.iter().any(|part| part == it))
            }
        };
        self.envelope.errors.iter().any(spoils)
    }
}

fn is_about_a_missing_field(error: &GraphqlError) -> bool {
    let codes = [
        "undefinedField",
        "undefinedType",
        "argumentLiteralsIncompatible",
    ];
    codes.contains(&error.code.as_str())
        || error.message.contains("doesn't exist on type")
        || error.message.starts_with("No such type ")
}

fn error(value: &Value) -> GraphqlError {
    let json = Json::of(value);
    let text = |json: Json<'_>| json.text().unwrap_or_default().to_owned();
    let part = |it: &Value| match it.as_str() {
        Some(text) => text.to_owned(),
        None => it.to_string(),
    };
    let code = json
        .along(&["extensions", "code"])
        .text()
        .or(json.at("code").text());
    GraphqlError {
        kind: text(json.at("type")),
        path: json
            .at("path")
            .list()
            .map(|it| it.iter().map(part).collect()),
        message: redact(json.at("message").text().unwrap_or_default()),
        code: code.unwrap_or_default().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn envelope(value: &Value) -> Envelope {
        Envelope::read(value.to_string().as_bytes()).unwrap()
    }

    #[test]
    fn trap_10_an_error_spoils_what_is_on_its_path_and_nothing_else() {
        let partial = envelope(&json!({
            "data": {"a": {"b": null, "c": 1, "list": [{"d": null}, {"d": 2}]}},
            "errors": [
                {"type": "FORBIDDEN", "path": ["a", "b"], "message": "no"},
                {"type": "FORBIDDEN", "path": ["a", "list", 0, "d"], "message": "no"},
            ],
        }));
        let spoilt = |path: &[&str]| partial.root().along(path).is_spoilt();
        assert!(spoilt(&["a"]) && spoilt(&["a", "b"]) && spoilt(&["a", "b", "deeper"]));
        assert!(!spoilt(&["a", "c"]));
        let items = partial.root().along(&["a", "list"]).items().unwrap();
        assert_eq!((items[0].is_spoilt(), items[1].is_spoilt()), (true, false));
        let list = partial.root().along(&["a", "list"]);
        assert_eq!(
            (list.is_spoilt(), list.is_spoilt_beyond(Some("d"))),
            (true, false)
        );
    }

    #[test]
    fn trap_10_an_error_without_a_path_spoils_everything() {
        let error = json!({"type": "RESOURCE_LIMITS_EXCEEDED", "message": "too much"});
        let partial = envelope(&json!({"data": {"a": 1}, "errors": [error]}));
        assert!(partial.root().at("a").is_spoilt());
        assert_eq!(partial.root().at("a").json().natural(), Some(1));
    }

    #[test]
    fn both_spellings_of_the_limit_are_known() {
        for error in [
            json!({"type": "RATE_LIMITED", "message": "m"}),
            json!({"type": "RATE_LIMIT", "code": "graphql_rate_limit", "message": "m"}),
            json!({"message": "You have exceeded a secondary rate limit."}),
        ] {
            assert!(envelope(&json!({"errors": [error]})).is_limited());
        }
        assert!(!envelope(&json!({"errors": [{"type": "FORBIDDEN"}]})).is_limited());
    }

    #[test]
    fn nothing_at_all_is_told_apart_by_type() {
        let why =
            |errors: Value| envelope(&json!({"data": {"x": null}, "errors": errors})).why_nothing();
        let missing = ForgeError::NotFound {
            repository_readable: false,
        };
        assert_eq!(why(json!([])), missing);
        assert_eq!(why(json!([{"type": "NOT_FOUND"}])), missing);
        assert!(matches!(
            why(json!([{"type": "FORBIDDEN"}])),
            ForgeError::Forbidden { .. }
        ));
        let server = why(json!([{"message": "Something went wrong while executing your query."}]));
        assert_eq!(server, ForgeError::Server { status: 500 });
    }

    #[test]
    fn trap_22_a_field_that_an_old_server_lacks_is_noticed() {
        let text = "Field 'isInMergeQueue' doesn't exist on type 'PullRequest'";
        let by_text = json!({"errors": [{"message": text}]});
        let by_code = json!({"errors": [{"extensions": {"code": "undefinedField"}}]});
        assert!(envelope(&by_text).misses_a_field() && envelope(&by_code).misses_a_field());
        assert!(envelope(&by_text).misses("isInMergeQueue"));
        assert!(!envelope(&by_text).misses("isMergeQueueEnabled"));
        let near = "Field 'isInQueue' doesn't exist on type 'PullRequest' (Did you mean \
                    `isInMergeQueue`?)";
        let near = envelope(&json!({"errors": [{"message": near}]}));
        assert!(near.misses("isInQueue") && !near.misses("isInMergeQueue"));
        let other = json!({"errors": [{"type": "FORBIDDEN", "message": "isInMergeQueue"}]});
        assert!(!envelope(&other).misses("isInMergeQueue"));
    }

    #[test]
    fn what_is_no_answer_is_refused() {
        for body in [
            "",
            "{}",
            "[]",
            "7",
            r#"{"data": null}"#,
            r#"{"data": null, "errors": 7}"#,
        ] {
            assert!(Envelope::read(body.as_bytes()).is_err(), "{body}");
        }
    }
}
