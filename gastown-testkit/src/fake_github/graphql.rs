//! GraphQL, executed against the part of GitHub's schema that the fake knows.
//!
//! Fields that are not in it are refused as GitHub refuses them, variables are coerced, partial
//! errors have their paths, and null spreads through fields that can't be null.

mod mutations;
mod tree;

use apollo_compiler::resolvers::Execution;
use apollo_compiler::response::{ExecutionResponse, JsonMap};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use serde_json::{Value, json};

use self::mutations::Mutations;
use self::tree::{Node, Queries};
use super::FakeError;
use super::world::{Grant, World};

const SCHEMA: &str = include_str!("graphql/schema.graphql");
/// Fields that an old Enterprise Server lacks.
const NEW_FIELDS: [&str; 2] = ["isInMergeQueue", "isMergeQueueEnabled"];

/// The schema of a server.
#[derive(Debug)]
pub(super) struct GraphQl {
    schema: Valid<Schema>,
    enterprise: bool,
}

/// The documents of GraphQL that this fake answers, for those who want to validate their own
/// against it.
#[must_use]
pub fn schema_text() -> &'static str {
    SCHEMA
}

impl GraphQl {
    pub(super) fn new(enterprise: bool) -> Result<Self, FakeError> {
        let is_known = |line: &&str| {
            !enterprise
                || !NEW_FIELDS
                    .iter()
                    .any(|it| line.trim_start().starts_with(it))
        };
        let text: Vec<&str> = SCHEMA.lines().filter(is_known).collect();
        let schema = Schema::parse_and_validate(text.join("\n"), "schema.graphql")
            .map_err(|it| FakeError::new(format!("the schema of the fake: {}", it.errors)))?;
        Ok(Self { schema, enterprise })
    }

    /// Whether a document only reads.
    pub(super) fn is_mutation(document: &str) -> bool {
        document
            .lines()
            .any(|line| line.trim_start().starts_with("mutation"))
    }

    /// The name of the operation of a document.
    pub(super) fn operation(document: &str) -> Option<&str> {
        let mut lines = document.lines().map(str::trim_start);
        let line = lines.find(|it| it.starts_with("query") || it.starts_with("mutation"))?;
        let name = line.split(['(', ' ', '{']).nth(1)?;
        (!name.is_empty()).then_some(name)
    }

    /// Answers a request: the body of status 200.
    pub(super) fn answer(&self, world: &mut World, grant: &Grant, body: &Value) -> Value {
        let text = body
            .get("query")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let document = match ExecutableDocument::parse_and_validate(&self.schema, text, "document")
        {
            Ok(document) => document,
            Err(error) => {
                let errors = error.errors.iter().map(|it| refused(&it.error.to_string()));
                return json!({"errors": errors.collect::<Vec<_>>()});
            }
        };
        let variables = body.get("variables").cloned().unwrap_or_else(|| json!({}));
        let variables: JsonMap = match serde_json::from_value(variables) {
            Ok(variables) => variables,
            Err(error) => return json!({"errors": [{"message": error.to_string()}]}),
        };
        let execution = Execution::new(&self.schema, &document).raw_variable_values(&variables);
        let answer = if Self::is_mutation(text) {
            execution.execute_sync(&Mutations::new(world, grant))
        } else {
            execution.execute_sync(&Queries::new(world, grant, self.enterprise))
        };
        match answer {
            Ok(answer) => outgoing(&answer),
            Err(error) => json!({"errors": [{"message": error.message().to_string()}]}),
        }
    }
}

/// A document that can't be executed, in GitHub's words where they matter.
fn refused(why: &str) -> Value {
    // Apollo says: type `T` does not have a field `f`.
    let quoted: Vec<&str> = why.split('`').skip(1).step_by(2).collect();
    match quoted.as_slice() {
        [of, field, ..] if why.contains("does not have a field") => {
            let message = format!("Field '{field}' doesn't exist on type '{of}'");
            json!({"message": message, "extensions": {"code": "undefinedField", "typeName": of,
                                                      "fieldName": field}})
        }
        _ => json!({"message": why}),
    }
}

/// The answer, with GitHub's own `type` beside each message.
fn outgoing(answer: &ExecutionResponse) -> Value {
    let mut value = serde_json::to_value(answer).unwrap_or_default();
    let errors = value.get_mut("errors").and_then(Value::as_array_mut);
    for error in errors.into_iter().flatten() {
        let message = error
            .get("message")
            .and_then(Value::as_str)
            .unwrap_or_default();
        // Apollo says so of every message of a field; GitHub has no such words.
        let message = message.strip_prefix("resolver error: ").unwrap_or(message);
        if let Some((kind, message)) = message.split_once(tree::TYPE_MARK) {
            let (kind, message) = (kind.to_owned(), message.to_owned());
            if let Some(members) = error.as_object_mut() {
                members.insert("type".to_owned(), kind.into());
                members.insert("message".to_owned(), message.into());
            }
        }
    }
    value
}

/// Makes what is at this path of names unreadable, as for a token that may not see it.
pub(super) fn spoil(answer: &mut Value, path: &[String], kind: &str) {
    let Some(data) = answer.get_mut("data") else {
        return;
    };
    let mut places = Vec::new();
    spoil_below(data, path, &mut Vec::new(), &mut places);
    let message = "Resource not accessible by integration";
    let made = places
        .into_iter()
        .map(|path| json!({"type": kind, "path": path, "message": message}));
    let made: Vec<Value> = made.collect();
    match answer.get_mut("errors").and_then(Value::as_array_mut) {
        Some(errors) => errors.extend(made),
        None => {
            if let Some(members) = answer.as_object_mut() {
                members.insert("errors".to_owned(), made.into());
            }
        }
    }
}

fn spoil_below(
    value: &mut Value,
    path: &[String],
    at: &mut Vec<Value>,
    found: &mut Vec<Vec<Value>>,
) {
    match (value, path) {
        (Value::Array(items), _) => {
            for (index, item) in items.iter_mut().enumerate() {
                at.push(index.into());
                spoil_below(item, path, at, found);
                at.pop();
            }
        }
        (Value::Object(members), [name, rest @ ..]) => {
            if let Some(member) = members.get_mut(name) {
                at.push(name.as_str().into());
                if rest.is_empty() {
                    *member = Value::Null;
                    found.push(at.clone());
                } else {
                    spoil_below(member, rest, at, found);
                }
                at.pop();
            }
        }
        _ => {}
    }
}

impl Node {
    /// A failure of one field, with GitHub's `type`.
    fn failure(kind: &str, message: &str) -> Value {
        json!({"__error": format!("{kind}{}{message}", tree::TYPE_MARK)})
    }
}
