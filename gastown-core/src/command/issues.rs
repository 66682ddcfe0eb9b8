//! `sling`: one issue (spec 2.1).

use alloc::format;
use alloc::string::String;

use serde_json::{Map, Value, json};

use super::check::{self, limits};
use super::data::Sling;
use super::{Actor, CommandError, Did, Executed};
use crate::bead::{Bead, BeadKind, BeadType};
use crate::edge::EdgeKind;
use crate::ids::{BeadId, IdKind, RigId};
use crate::rig::Rig;
use crate::town::Town;
use crate::work::{PrFixup, Work, label};

impl Town {
    pub(super) fn sling(&mut self, mut sling: Sling, actor: &Actor) -> Executed {
        let rig = self.rig_for("rig_id", &sling.rig_id, actor)?;
        check::title("title", &sling.title)?;
        check::optional_text("body", sling.body.as_deref())?;
        check::labels(&sling.labels, &[label::PR_FIXUP, label::HELD])?;
        check::metadata(&sling.metadata.0)?;
        self.check_depends_on(&sling.depends_on, actor)?;
        let is = |name: &str| sling.labels.iter().any(|label| label == name);
        let (is_fixup, held) = (is(label::PR_FIXUP), is(label::HELD));
        let work = if is_fixup {
            Work::PrFixup(self.fixup(&mut sling.metadata.0, rig)?)
        } else {
            Work::Plain
        };

        let id = self.next_bead_id(IdKind::Bead);
        let mut bead = Bead::new(id.clone(), BeadKind::Issue(work), sling.title, actor.now);
        bead.body = sling.body;
        bead.rig_id = Some(sling.rig_id);
        bead.priority = sling.priority.unwrap_or_default();
        bead.labels = sling.labels.into_iter().collect();
        bead.labels.remove(label::PR_FIXUP);
        bead.labels.remove(label::HELD);
        bead.held = held;
        bead.metadata = sling.metadata.0;
        self.add_bead(bead, actor);
        for blocker in &sling.depends_on {
            self.insert_edge(&id, blocker, EdgeKind::Blocks);
        }
        Ok(Did::made(&id, format!("made issue {id}")))
    }

    /// The repair that metadata describe: a pull request of the rig's repository, and a branch of
    /// its own.
    fn fixup(&self, metadata: &mut Map<String, Value>, rig: &Rig) -> Result<PrFixup, CommandError> {
        let pr_url = required_text(metadata, "pr_url")?;
        let branch = required_text(metadata, "branch")?;
        check::pr_url("metadata.pr_url", &pr_url, rig.repository().as_ref())?;
        check::branch("metadata.branch", &branch)?;
        let target_branch = match metadata.remove("target_branch") {
            None | Some(Value::Null) => rig.default_branch.clone(),
            Some(Value::String(target)) => {
                check::branch("metadata.target_branch", &target)?;
                target
            }
            Some(Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_)) => {
                return Err(CommandError::invalid(
                    "metadata.target_branch",
                    "expected a text",
                ));
            }
        };
        if let Some(why) = self.why_shared(Some(rig), &branch) {
            return Err(CommandError::invalid("metadata.branch", why));
        }
        Ok(PrFixup {
            pr_url: Some(pr_url),
            branch: Some(branch),
            target_branch: Some(target_branch),
        })
    }

    /// The rig, if it is there and the caller may act on it.
    pub(super) fn rig_for(
        &self,
        field: &str,
        id: &RigId,
        actor: &Actor,
    ) -> Result<&Rig, CommandError> {
        let rig = self
            .rig(id)
            .ok_or_else(|| CommandError::missing(field, "rig", id))?;
        actor.may_touch(field, Some(id))?;
        Ok(rig)
    }

    /// The bead, if it is there and the caller may act on it.
    pub(super) fn bead_for(
        &self,
        field: &str,
        id: &BeadId,
        actor: &Actor,
    ) -> Result<&Bead, CommandError> {
        let bead = self
            .bead(id)
            .ok_or_else(|| CommandError::missing(field, "bead", id))?;
        actor.may_touch(field, self.rig_of_bead(bead))?;
        Ok(bead)
    }

    /// The rig that a bead counts to: its own, for a review without one the inferred one.
    pub(super) fn rig_of_bead<'a>(&'a self, bead: &'a Bead) -> Option<&'a RigId> {
        bead.rig_id
            .as_ref()
            .or_else(|| self.rig_of_review(bead).map(|rig| &rig.id))
    }

    /// The bead, if it is there, not terminal, and the caller may act on it.
    pub(super) fn live_bead_for(
        &self,
        field: &str,
        id: &BeadId,
        actor: &Actor,
    ) -> Result<&Bead, CommandError> {
        let bead = self.bead_for(field, id, actor)?;
        if !bead.is_live() {
            return Err(CommandError::conflict(
                field,
                format!("bead \"{id}\" is {}, which is final", bead.status.as_str()),
            ));
        }
        Ok(bead)
    }

    /// Beads that something may wait for.
    pub(super) fn check_depends_on(
        &self,
        depends_on: &[BeadId],
        actor: &Actor,
    ) -> Result<(), CommandError> {
        check::count("depends_on", depends_on.len(), limits::DEPENDS_ON_MAX)?;
        for (at, id) in depends_on.iter().enumerate() {
            let field = format!("depends_on[{at}]");
            let Some(bead) = self.bead(id) else {
                return Err(CommandError::missing(field, "bead", id));
            };
            // Whoever is bound to a rig lets nothing wait for another (spec 2.1).
            if let Some(rig) = self.rig_of_bead(bead) {
                actor.may_touch(&field, Some(rig))?;
            }
            if bead.kind.bead_type() == BeadType::Message {
                return Err(CommandError::invalid(field, "is a message, not work"));
            }
            if depends_on.iter().take(at).any(|other| other == id) {
                return Err(CommandError::invalid(
                    field,
                    format!("names \"{id}\" twice"),
                ));
            }
        }
        Ok(())
    }

    /// Takes a new bead in and writes its first line of history.
    pub(super) fn add_bead(&mut self, bead: Bead, actor: &Actor) {
        let mut bead = bead;
        bead.created_by = Some(actor.created_by());
        let (id, title) = (bead.id.clone(), bead.title.clone());
        self.insert_bead(bead);
        self.note(&id, actor, "created", json!({ "title": title }));
    }

    /// Adds a line to a bead's history.
    pub(super) fn note(&mut self, id: &BeadId, actor: &Actor, what: &str, detail: Value) {
        self.log(id, actor.now, what, detail);
    }
}

/// Takes a text out of metadata.
fn required_text(metadata: &mut Map<String, Value>, key: &str) -> Result<String, CommandError> {
    match metadata.remove(key) {
        Some(Value::String(text)) => Ok(text),
        None
        | Some(
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_),
        ) => Err(CommandError::invalid(
            format!("metadata.{key}"),
            format!("{} needs a text here", label::PR_FIXUP),
        )),
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::executes;

    const TOWN: &str = r#"
        rig r1
        bead b0 issue open rig_id=r1
        bead c1 convoy open convoy.feature_branch=convoy/x/c1/head
        bead s1 message open
    "#;

    #[test]
    fn sling_makes_one_issue() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "sling", "caller": {"kind": "user", "id": "ann"}, "rig_id": "r1", "title": "Fix it", "body": "All of it.", "priority": "high", "labels": ["ui", "gt:held"], "metadata": {"ticket": 7}, "depends_on": ["b0"]}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "Plain"}
        "#), @r#"
        sling [t1-b1]: made issue t1-b1
          t1-b1 blocks b0.type: - → "blocks"
          t1-b1.body: - → "All of it."
          t1-b1.created_by: - → "ann"
          t1-b1.labels: - → ["gt:held","ui"]
          t1-b1.metadata.ticket: - → 7
          t1-b1.priority: - → "high"
          t1-b1.rig_id: - → "r1"
          t1-b1.status: - → "open"
          t1-b1.title: - → "Fix it"
          t1-b1.type: - → "issue"
        sling [t1-b2]: made issue t1-b2
          t1-b2.created_by: - → "mayor"
          t1-b2.priority: - → "medium"
          t1-b2.rig_id: - → "r1"
          t1-b2.status: - → "open"
          t1-b2.title: - → "Plain"
          t1-b2.type: - → "issue"
        "#);
    }

    #[test]
    fn sling_of_a_fixup_names_pull_request_and_branch() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "Repair", "labels": ["gt:pr-fixup"], "metadata": {"pr_url": "https://github.com/acme/r1/pull/7", "branch": "fix", "x": 1}}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "Repair", "labels": ["gt:pr-fixup"], "metadata": {"branch": "fix"}}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "Repair", "labels": ["gt:pr-fixup"], "metadata": {"pr_url": "https://github.com/acme/r2/pull/7", "branch": "fix"}}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "Repair", "labels": ["gt:pr-fixup"], "metadata": {"pr_url": "https://github.com/acme/r1/pull/7", "branch": "main"}}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "Repair", "labels": ["gt:pr-fixup"], "metadata": {"pr_url": "https://github.com/acme/r1/pull/7", "branch": "convoy/x/c1/head"}}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "Repair", "labels": ["gt:pr-fixup"], "metadata": {"pr_url": "https://github.com/acme/r1/pull/7", "branch": "a..b"}}
        "#), @r#"
        sling [t1-b1]: made issue t1-b1
          t1-b1.created_by: - → "mayor"
          t1-b1.labels: - → ["gt:pr-fixup"]
          t1-b1.metadata.branch: - → "fix"
          t1-b1.metadata.pr_url: - → "https://github.com/acme/r1/pull/7"
          t1-b1.metadata.target_branch: - → "main"
          t1-b1.metadata.x: - → 1
          t1-b1.priority: - → "medium"
          t1-b1.rig_id: - → "r1"
          t1-b1.status: - → "open"
          t1-b1.title: - → "Repair"
          t1-b1.type: - → "issue"
        refused Invalid: metadata.pr_url: gt:pr-fixup needs a text here
        refused Invalid: metadata.pr_url: names another repository than the rig's
        refused Invalid: metadata.branch: is the rig's default branch
        refused Invalid: metadata.branch: is the feature branch of a convoy
        refused Invalid: metadata.branch: "a..b" is no name of a branch
        "#);
    }

    #[test]
    fn sling_refuses_the_rest() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r2", "title": "x"}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "  "}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "a\nb"}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "labels": ["gt:triage"]}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "labels": ["severity:low"]}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "depends_on": ["b7"]}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "depends_on": ["b0", "b0"]}
            {"type": "sling", "caller": {"kind": "mayor"}, "rig_id": "r1", "title": "x", "depends_on": ["s1"]}
        "#), @r#"
        refused NotFound: rig_id: there is no rig "r2"
        refused Invalid: title: is empty
        refused Invalid: title: holds a control character
        refused Invalid: labels[0]: "gt:triage" belongs to the engine
        refused Invalid: labels[0]: "severity:low" belongs to the engine
        refused NotFound: depends_on[0]: there is no bead "b7"
        refused Invalid: depends_on[1]: names "b0" twice
        refused Invalid: depends_on[0]: is a message, not work
        "#);
    }

    #[test]
    fn sling_at_and_over_the_limit_of_a_title() {
        let command = |length: usize| {
            alloc::format!(
                r#"{{"type": "sling", "caller": {{"kind": "mayor"}}, "rig_id": "r1", "title": "{}"}}"#,
                "x".repeat(length)
            )
        };
        assert!(executes(TOWN, &command(500)).starts_with("sling [t1-b1]"));
        insta::assert_snapshot!(executes(TOWN, &command(501)), @"refused Limit: title: expected 500 characters at most");
    }
}
