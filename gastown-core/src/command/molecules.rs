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
