//! Every document against GitHub's own schema, and the rule about pages that no schema holds.

use apollo_compiler::executable::{Selection, SelectionSet};
use apollo_compiler::validation::Valid;
use apollo_compiler::{ExecutableDocument, Schema};
use gastown_github::graphql::Document;

use crate::data;

fn schema() -> Option<Valid<Schema>> {
    let text = data::text("graphql/github.graphql")?;
    Some(Schema::parse_and_validate(text, "github.graphql").unwrap())
}

/// What GitHub would refuse about a document.
fn faults(schema: &Valid<Schema>, text: &str) -> Vec<String> {
    let document = match ExecutableDocument::parse_and_validate(schema, text, "document") {
        Ok(document) => document,
        Err(error) => return vec![error.errors.to_string()],
    };
    let mut found = Vec::new();
    for operation in document.operations.iter() {
        unpaged(&operation.selection_set, &mut found);
    }
    for fragment in document.fragments.values() {
        unpaged(&fragment.selection_set, &mut found);
    }
    found
}

/// Connections without `first` or `last` of 1 to 100.
fn unpaged(selected: &SelectionSet, found: &mut Vec<String>) {
    for selection in &selected.selections {
        match selection {
            Selection::Field(field) => {
                let connection = field.ty().inner_named_type().ends_with("Connection");
                let bounded = field.arguments.iter().any(|it| {
                    matches!(it.name.as_str(), "first" | "last")
                        && it.value.to_i32().is_some_and(|it| (1..=100).contains(&it))
                });
                if connection && !bounded {
                    found.push(format!("{} has no page size", field.name));
                }
                unpaged(&field.selection_set, found);
            }
            Selection::InlineFragment(fragment) => unpaged(&fragment.selection_set, found),
            Selection::FragmentSpread(_) => {}
        }
    }
}

#[test]
fn every_document_is_valid_and_every_connection_has_a_page_size() {
    let Some(schema) = schema() else { return };
    for document in Document::ALL {
        assert_eq!(
            faults(&schema, &document.text()),
            Vec::<String>::new(),
            "{document:?}"
        );
    }
}

#[test]
fn the_checks_find_what_they_are_for() {
    let Some(schema) = schema() else { return };
    let inside = |fields: &str| {
        let text = format!(
            "query {{ repository(owner: \"o\", name: \"r\") {{ pullRequest(number: 1) {{ {fields} }} }} }}"
        );
        faults(&schema, &text).len()
    };
    assert_eq!(inside("id"), 0);
    assert_eq!(inside("invented"), 1);
    assert_eq!(inside("reviewThreads { totalCount }"), 1);
    assert_eq!(inside("reviewThreads(first: 101) { totalCount }"), 1);
    assert_eq!(inside("reviewThreads(last: 100) { totalCount }"), 0);
}
