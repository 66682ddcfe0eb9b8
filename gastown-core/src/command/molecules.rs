//! Molecules: ordered steps for one bead (spec 1.4, 2.1).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::check::{self, limits};
use super::data::{AdvanceStep, CreateMolecule};
use super::{Actor, CommandError, Did, Executed, Party};
use crate::bead::{Bead, BeadKind, BeadStatus};
use crate::edge::EdgeKind;
use crate::ids::{BeadId, IdKind};
use crate::reason::{Reason, ReasonCode};
use crate::town::Town;
use crate::work::Work;

impl Town {
    pub(super) fn create_molecule(&mut self, create: CreateMolecule, actor: &Actor) -> Executed {
        let bead = self.live_bead_for("bead_id", &create.bead_id, actor)?;
        match bead.work() {
            Some(Work::Plain | Work::PrFixup(_) | Work::Rework(_)) => {}
            Some(
                Work::PrFeedback(_)
                | Work::PrConflict(_)
                | Work::TriageRequest(_)
                | Work::TriageBatch
                | Work::MoleculeStep,
            )
            | None => {
                return Err(CommandError::invalid("bead_id", "expected an issue"));
            }
        }
        if matches!(actor.party, Party::Polecat | Party::Refinery) {
            let hook = self
                .agent(actor.agent()?)
                .and_then(|agent| agent.hook.as_ref());
            if hook != Some(&create.bead_id) {
                return Err(CommandError::forbidden("the bead is not the agent's own"));
            }
        }
        if let Some(molecule) = self.molecule_of(&create.bead_id) {
            return Err(CommandError::conflict(
                "bead_id",
                format!("has molecule \"{}\" already", molecule.id),
            ));
        }
        if create.steps.is_empty() {
            return Err(CommandError::invalid("steps", "expected one at least"));
        }
        check::count("steps", create.steps.len(), limits::STEPS_MAX)?;
        for (at, step) in create.steps.iter().enumerate() {
            check::title(&format!("steps[{at}].title"), &step.title)?;
            check::optional_text(&format!("steps[{at}].body"), step.body.as_deref())?;
        }
        Ok(self.add_molecule(create, actor))
    }

    fn add_molecule(&mut self, create: CreateMolecule, actor: &Actor) -> Did {
        let bead = self.bead(&create.bead_id);
        let title = bead.map_or("", |bead| &bead.title);
        let title = format!("Molecule: {title}");
        let rig = bead.and_then(|bead| bead.rig_id.clone());
        let root = bead.map(|bead| bead.lineage().clone());
        let molecule_id = self.next_bead_id(IdKind::Molecule);
        let mut molecule = Bead::new(molecule_id.clone(), BeadKind::Molecule, title, actor.now);
        molecule.rig_id.clone_from(&rig);
        molecule.parent_id = Some(create.bead_id.clone());
        molecule.root.clone_from(&root);
        self.add_bead(molecule, actor);
        self.insert_edge(&molecule_id, &create.bead_id, EdgeKind::ParentChild);

        let mut did = Did::made(&molecule_id, format!("made molecule {molecule_id}"));
        let mut before: Option<BeadId> = None;
        for step in create.steps {
            let id = self.next_bead_id(IdKind::Bead);
            let kind = BeadKind::Issue(Work::MoleculeStep);
            let mut bead = Bead::new(id.clone(), kind, step.title, actor.now);
            bead.body = step.body;
            bead.rig_id.clone_from(&rig);
            bead.parent_id = Some(molecule_id.clone());
            bead.root.clone_from(&root);
            self.add_bead(bead, actor);
            self.insert_edge(&id, &molecule_id, EdgeKind::ParentChild);
            if let Some(before) = &before {
                self.insert_edge(&id, before, EdgeKind::Blocks);
            }
            did.made.push(id.to_string());
            before = Some(id);
        }
        did
    }

    /// The live molecule of a bead.
    pub(crate) fn molecule_of(&self, bead: &BeadId) -> Option<&Bead> {
        self.children_of(bead)
            .into_iter()
            .find(|child| child.is_live() && matches!(child.kind, BeadKind::Molecule))
    }

    /// The steps of a molecule in their order: each after those that block it.
    pub(crate) fn steps_of(&self, molecule: &BeadId) -> Vec<&Bead> {
        let mut left = self.children_of(molecule);
        left.retain(|child| matches!(child.work(), Some(Work::MoleculeStep)));
        let mut waiting: BTreeSet<&BeadId> = left.iter().map(|step| &step.id).collect();
        let mut ordered = Vec::new();
        // Each round takes one step at least; a loaded chain that is a circle is taken as it is.
        while !left.is_empty() {
            let is_free = |step: &&Bead| {
                let mut blockers = self.depends_on(&step.id, EdgeKind::Blocks);
                !blockers.any(|blocker| waiting.contains(blocker))
            };
            let at = left.iter().position(is_free).unwrap_or(0);
            let step = left.remove(at);
            waiting.remove(&step.id);
            ordered.push(step);
        }
        ordered
    }

    /// The current step of a molecule: the first that is not closed.
    pub(crate) fn current_step_of(&self, molecule: &BeadId) -> Option<&Bead> {
        self.steps_of(molecule)
            .into_iter()
            .find(|step| step.status != BeadStatus::Closed)
    }

    pub(super) fn advance_step(&mut self, advance: AdvanceStep, actor: &Actor) -> Executed {
        check::optional_text("summary", advance.summary.as_deref())?;
        let hook = self
            .agent(actor.agent()?)
            .and_then(|agent| agent.hook.as_ref());
        let Some(hook) = hook else {
            return Err(CommandError::conflict(".", "the agent has no hook"));
        };
        let Some(molecule) = self.molecule_of(hook) else {
            return Err(CommandError::conflict(
                ".",
                format!("bead \"{hook}\" has no molecule under way"),
            ));
        };
        let molecule_id = molecule.id.clone();
        let step = self
            .current_step_of(&molecule_id)
            .filter(|step| step.is_live());
        let Some(step) = step.map(|step| step.id.clone()) else {
            return Err(CommandError::conflict(".", "no step is left to close"));
        };
        if let Some(summary) = advance.summary.filter(|text| !text.trim().is_empty()) {
            self.append_to_body(&step, "summary", &summary, actor)?;
        }
        let reason = Reason::new(ReasonCode::Done, "the step is done");
        self.set_status(
            &step,
            BeadStatus::Closed,
            &reason,
            "advance_step",
            actor.now,
        );
        let text = match self.current_step_of(&molecule_id) {
            Some(next) => format!("step {step} is closed, next is {}: {}", next.id, next.title),
            None => format!("step {step} is closed, it was the last"),
        };
        Ok(Did::text(text))
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::executes;

    const TOWN: &str = r#"
        rig r1
        agent a1 polecat working rig_id=r1 hook=b1 session=1
        bead b1 issue in_progress title="Fix it" rig_id=r1
        bead b2 issue open rig_id=r1
    "#;

    #[test]
    fn a_molecule_is_made_and_advanced_step_by_step() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "create_molecule", "caller": {"kind": "mayor"}, "bead_id": "b1", "steps": [{"title": "read"}, {"title": "write", "body": "With tests."}]}
            {"type": "advance_step", "caller": {"kind": "agent", "id": "a1"}, "summary": "read it"}
            {"type": "advance_step", "caller": {"kind": "agent", "id": "a1"}}
            {"type": "advance_step", "caller": {"kind": "agent", "id": "a1"}}
        "#), @r#"
        create_molecule [t1-f1 t1-b2 t1-b3]: made molecule t1-f1
          t1-b2 parent-child t1-f1.type: - → "parent-child"
          t1-b2.created_by: - → "mayor"
          t1-b2.labels: - → ["gt:molecule-step"]
          t1-b2.parent_id: - → "t1-f1"
          t1-b2.priority: - → "medium"
          t1-b2.rig_id: - → "r1"
          t1-b2.root: - → "b1"
          t1-b2.status: - → "open"
          t1-b2.title: - → "read"
          t1-b2.type: - → "issue"
          t1-b3 blocks t1-b2.type: - → "blocks"
          t1-b3 parent-child t1-f1.type: - → "parent-child"
          t1-b3.body: - → "With tests."
          t1-b3.created_by: - → "mayor"
          t1-b3.labels: - → ["gt:molecule-step"]
          t1-b3.parent_id: - → "t1-f1"
          t1-b3.priority: - → "medium"
          t1-b3.rig_id: - → "r1"
          t1-b3.root: - → "b1"
          t1-b3.status: - → "open"
          t1-b3.title: - → "write"
          t1-b3.type: - → "issue"
          t1-f1 parent-child b1.type: - → "parent-child"
          t1-f1.created_by: - → "mayor"
          t1-f1.labels: - → ["gt:molecule"]
          t1-f1.parent_id: - → "b1"
          t1-f1.priority: - → "medium"
          t1-f1.rig_id: - → "r1"
          t1-f1.root: - → "b1"
          t1-f1.status: - → "open"
          t1-f1.title: - → "Molecule: Fix it"
          t1-f1.type: - → "molecule"
        advance_step []: step t1-b2 is closed, next is t1-b3: write
          t1-b2.body: - → "read it"
          t1-b2.status: "open" → "closed"
        advance_step []: step t1-b3 is closed, it was the last
          t1-b3.status: "open" → "closed"
        refused Conflict: .: no step is left to close
        "#);
    }

    #[test]
    fn a_molecule_is_refused_where_there_is_one_or_the_bead_is_not_the_agent_s() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "create_molecule", "caller": {"kind": "agent", "id": "a1"}, "bead_id": "b2", "steps": [{"title": "x"}]}
            {"type": "create_molecule", "caller": {"kind": "agent", "id": "a1"}, "bead_id": "b1", "steps": []}
            {"type": "advance_step", "caller": {"kind": "agent", "id": "a1"}}
            {"type": "create_molecule", "caller": {"kind": "mayor"}, "bead_id": "b9", "steps": [{"title": "x"}]}
        "#), @r#"
        refused Forbidden: caller: the bead is not the agent's own
        refused Invalid: steps: expected one at least
        refused Conflict: .: bead "b1" has no molecule under way
        refused NotFound: bead_id: there is no bead "b9"
        "#);
        let twice = executes(
            TOWN,
            r#"
            {"type": "create_molecule", "caller": {"kind": "agent", "id": "a1"}, "bead_id": "b1", "steps": [{"title": "x"}]}
            {"type": "create_molecule", "caller": {"kind": "mayor"}, "bead_id": "b1", "steps": [{"title": "x"}]}
        "#,
        );
        insta::assert_snapshot!(twice.lines().last().unwrap(), @r#"refused Conflict: bead_id: has molecule "t1-f1" already"#);
    }

    #[test]
    fn steps_keep_their_order_beyond_ten() {
        let steps = (0..12).map(|at| alloc::format!(r#"{{"title": "s{at}"}}"#));
        let steps = steps.collect::<alloc::vec::Vec<_>>().join(",");
        let mut town = crate::testing::town(TOWN);
        let command = alloc::format!(
            r#"{{"type": "create_molecule", "caller": {{"kind": "mayor"}}, "bead_id": "b1", "steps": [{steps}]}}"#
        );
        let command = crate::wire::command_from_str(&command).unwrap();
        let receipt = town.execute(command, crate::testing::at("0s")).unwrap();
        let molecule = receipt.made[0].parse().unwrap();
        let ordered: alloc::vec::Vec<&str> = town
            .steps_of(&molecule)
            .iter()
            .map(|s| s.id.as_str())
            .collect();
        assert_eq!(ordered, receipt.made[1..]);
    }
}
