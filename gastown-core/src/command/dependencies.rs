//! What a bead waits for, as people set it.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use serde_json::json;

use super::convoys::cycle_error;
use super::data::SetDependencies;
use super::{Actor, CommandError, Did, Executed};
use crate::bead::Bead;
use crate::edge::{Edge, EdgeKind};
use crate::ids::BeadId;
use crate::town::Town;
use crate::work::Work;

impl Town {
    pub(super) fn set_dependencies(&mut self, set: &SetDependencies, actor: &Actor) -> Executed {
        let id = &set.bead_id;
        if Self::is_patrol_batch(self.live_bead_for("bead_id", id, actor)?) {
            return Err(CommandError::invalid(
                "bead_id",
                "is a batch for the triage agent, which waits for nothing",
            ));
        }
        self.check_depends_on(&set.depends_on, actor)?;
        for blocker in &set.depends_on {
            if let Some(cycle) = self.cycle_through(id, blocker) {
                return Err(cycle_error("depends_on", &cycle));
            }
        }
        let engine_made = self.engine_made_blockers(id);
        let old: Vec<BeadId> = self
            .depends_on(id, EdgeKind::Blocks)
            .filter(|blocker| !engine_made.contains(blocker) && !set.depends_on.contains(blocker))
            .cloned()
            .collect();
        for depends_on in old {
            self.remove_edge(&Edge {
                bead_id: id.clone(),
                depends_on,
                kind: EdgeKind::Blocks,
            });
        }
        for blocker in &set.depends_on {
            self.insert_edge(id, blocker, EdgeKind::Blocks);
        }
        self.look_again_at(id);
        let detail = json!({"depends_on": set.depends_on});
        self.note(id, actor, "dependencies", detail);
        Ok(Did::text(format!(
            "{id} waits for {} beads",
            set.depends_on.len()
        )))
    }

    /// What a bead waits for by the engine's own doing: a review for its live repairs, a step of a
    /// molecule for the steps before it.
    fn engine_made_blockers(&self, id: &BeadId) -> BTreeSet<BeadId> {
        let repairs = self.repairs_of(id).into_iter();
        let repairs = repairs.filter(|repair| repair.is_live());
        let is_step = |bead: &&Bead| bead.work() == Some(&Work::MoleculeStep);
        let molecule = self.bead(id).filter(is_step);
        let molecule = molecule.and_then(|step| self.parent_of(step));
        let steps = molecule.map_or_else(Vec::new, |molecule| self.children_of(molecule));
        let steps = steps.into_iter().filter(is_step);
        repairs.chain(steps).map(|bead| bead.id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use crate::command::beads::tests::TOWN;
    use crate::testing::executes;

    #[test]
    fn dependencies_are_replaced_but_for_repairs() {
        let edges = alloc::format!("{TOWN}\nedge m1 blocks b1\nedge b1 blocks b2");
        insta::assert_snapshot!(executes(&edges, r#"
            {"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "m1", "depends_on": ["b2"]}
            {"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "b2", "depends_on": ["b1"]}
            {"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "b2", "depends_on": ["b2"]}
            {"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "b1", "depends_on": []}
        "#), @r#"
        set_dependencies []: m1 waits for 1 beads
          m1 blocks b1.type: "blocks" → -
          m1 blocks b2.type: - → "blocks"
          m1.review.poll.due_now: false → true
        refused Invalid: depends_on: these beads would wait for each other: b2, b1
        refused Invalid: depends_on: these beads would wait for each other: b2
        set_dependencies []: b1 waits for 0 beads
          b1 blocks b2.type: "blocks" → -
        "#);
    }

    #[test]
    fn dependencies_of_a_triage_batch_are_refused() {
        let town = alloc::format!(
            r#"{TOWN}
            bead t1 issue open rig_id=r1 created_by=patrol labels=["gt:triage"]"#
        );
        insta::assert_snapshot!(executes(&town, r#"
            {"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "t1", "depends_on": ["b1"]}
        "#), @"refused Invalid: bead_id: is a batch for the triage agent, which waits for nothing");
    }

    /// A step is worked on through its molecule's bead.
    #[test]
    fn dependencies_may_not_close_a_cycle_through_a_molecule() {
        let town = alloc::format!(
            r#"{TOWN}
            bead f1 molecule open parent_id=b5
            bead s1 issue open labels=["gt:molecule-step"] parent_id=f1"#
        );
        insta::assert_snapshot!(executes(&town, r#"
            {"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "b5", "depends_on": ["s1"]}
        "#), @"refused Invalid: depends_on: these beads would wait for each other: b5, s1, f1");
    }

    #[test]
    fn dependencies_may_not_close_a_cycle_through_a_review() {
        insta::assert_snapshot!(executes(TOWN, r#"
            {"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "b5", "depends_on": ["b3"]}
        "#), @"refused Invalid: depends_on: these beads would wait for each other: b5, b3, m1");
    }

    #[test]
    fn dependencies_of_a_step_keep_its_place_in_the_molecule() {
        let town = r#"
            rig r1
            bead b1 issue open rig_id=r1
            bead b8 issue open rig_id=r1
            bead b9 issue open rig_id=r1
            bead f1 molecule open rig_id=r1 parent_id=b1
            bead s1 issue open rig_id=r1 labels=["gt:molecule-step"] parent_id=f1
            bead s2 issue open rig_id=r1 labels=["gt:molecule-step"] parent_id=f1
            edge s2 blocks s1
            edge s2 blocks b9
        "#;
        insta::assert_snapshot!(executes(town, r#"{"type": "set_dependencies", "caller": {"kind": "mayor"}, "bead_id": "s2", "depends_on": ["b8"]}"#), @r#"
        set_dependencies []: s2 waits for 1 beads
          s2 blocks b8.type: - → "blocks"
          s2 blocks b9.type: "blocks" → -
        "#);
    }
}
