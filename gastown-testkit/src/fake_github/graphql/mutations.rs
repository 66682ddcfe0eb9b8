//! What GraphQL can change.

use std::cell::RefCell;

use apollo_compiler::resolvers::{FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::JsonValue;
use serde_json::json;

use super::tree::{Node, TYPE_MARK, failure};
use crate::fake_github::repository::Repository;
use crate::fake_github::world::{Grant, Permission, World};

/// The root of mutations.
pub(super) struct Mutations<'w> {
    world: RefCell<&'w mut World>,
    grant: &'w Grant,
}

impl<'w> Mutations<'w> {
    pub(super) fn new(world: &'w mut World, grant: &'w Grant) -> Self {
        Self {
            world: RefCell::new(world),
            grant,
        }
    }

    fn with_pull(
        &self,
        node: &str,
        change: impl FnOnce(&mut Repository, u64) -> Result<(), FieldError>,
    ) -> Result<(), FieldError> {
        let missing = || {
            typed(
                "NOT_FOUND",
                &format!("Could not resolve to a node with the global id of '{node}'"),
            )
        };
        let parts = node.strip_prefix("PR_").and_then(|it| it.split_once('_'));
        let (id, number) = parts.ok_or_else(missing)?;
        let (Ok(id), Ok(number)) = (id.parse(), number.parse()) else {
            return Err(missing());
        };
        let mut world = self.world.borrow_mut();
        let found = world.find_by_id(id).filter(|it| self.grant.sees(it));
        change(found.ok_or_else(missing)?, number)
    }

    fn with_thread(
        &self,
        node: &str,
        change: impl FnOnce(&mut Repository, u64) -> Result<(), FieldError>,
    ) -> Result<(), FieldError> {
        let missing = || {
            typed(
                "NOT_FOUND",
                &format!("Could not resolve to a node with the global id of '{node}'"),
            )
        };
        let id = node.strip_prefix("PRRT_").and_then(|it| it.parse().ok());
        let id: u64 = id.ok_or_else(missing)?;
        let mut world = self.world.borrow_mut();
        let found = world
            .repositories_mut()
            .find_map(|it| it.has_thread(id).then_some(it));
        change(found.ok_or_else(missing)?, id)
    }

    fn needs(&self, permission: Permission) -> Result<(), FieldError> {
        if self.grant.may(permission) {
            Ok(())
        } else {
            Err(typed("FORBIDDEN", "Resource not accessible by integration"))
        }
    }

    fn run(&self, name: &str, input: &JsonValue) -> Result<(), FieldError> {
        let text = |key: &str| input.get(key).and_then(JsonValue::as_str);
        let need = |key: &str| text(key).unwrap_or_default();
        match name {
            "enqueuePullRequest" => {
                self.needs(Permission::WriteContents)?;
                let login = &self.grant.login;
                self.with_pull(need("pullRequestId"), |repository, number| {
                    let queued = repository.enqueue(number, text("expectedHeadOid"), login);
                    match queued.map_err(|it| failure(it.to_string()))? {
                        Ok(()) => Ok(()),
                        Err(refusal) => Err(typed("UNPROCESSABLE", &refusal.message)),
                    }
                })
            }
            "dequeuePullRequest" => {
                self.needs(Permission::WriteContents)?;
                self.with_pull(need("id"), |repository, number| {
                    let left = repository.dequeue(number, "MANUAL");
                    left.map_err(|it| failure(it.to_string()))
                })
            }
            // Not pull_requests: settling a thread needs contents.
            "resolveReviewThread" | "unresolveReviewThread" => {
                self.needs(Permission::WriteContents)?;
                let resolved = name == "resolveReviewThread";
                self.with_thread(need("threadId"), |repository, id| {
                    let settled = repository.resolve_thread(id, resolved);
                    settled.map_err(|it| failure(it.to_string()))
                })
            }
            "addPullRequestReviewThreadReply" => {
                self.needs(Permission::WritePullRequests)?;
                let (login, body) = (&self.grant.login, need("body"));
                self.with_thread(need("pullRequestReviewThreadId"), |repository, id| {
                    let said = repository.reply(id, login, body);
                    said.map_err(|it| failure(it.to_string()))
                })
            }
            "markPullRequestReadyForReview" | "convertPullRequestToDraft" => {
                self.needs(Permission::WritePullRequests)?;
                let draft = name == "convertPullRequestToDraft";
                self.with_pull(need("pullRequestId"), |repository, number| {
                    let set = repository.set_draft(number, draft);
                    set.map_err(|it| failure(it.to_string()))
                })
            }
            _ => Err(failure(format!("the fake has no mutation {name}"))),
        }
    }
}

fn typed(kind: &str, message: &str) -> FieldError {
    failure(format!("{kind}{TYPE_MARK}{message}"))
}

impl ObjectValue for Mutations<'_> {
    fn type_name(&self) -> &str {
        "Mutation"
    }

    fn resolve_field<'a>(
        &'a self,
        info: &'a ResolveInfo<'a>,
    ) -> Result<ResolvedValue<'a>, FieldError> {
        let input = info.arguments().get("input").cloned().unwrap_or_default();
        self.run(info.field_name(), &input)?;
        let payload = info.field_definition().ty.inner_named_type().to_string();
        let id = input.get("clientMutationId").and_then(JsonValue::as_str);
        let node = Node::of(json!({"__typename": payload, "clientMutationId": id}));
        Ok(ResolvedValue::nullable_object(node))
    }
}
