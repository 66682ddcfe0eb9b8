//! Deleting beads with everything that was made for them.

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

use serde_json::json;

use super::check::{self, limits};
use super::data::DeleteBeads;
use super::{Actor, Did, Executed};
use crate::ids::BeadId;
use crate::town::Town;

impl Town {
    pub(super) fn delete_beads(&mut self, delete: &DeleteBeads, actor: &Actor) -> Executed {
        check::count("bead_ids", delete.bead_ids.len(), limits::DELETED_BEADS_MAX)?;
        let mut named: BTreeSet<&BeadId> = BTreeSet::new();
        let mut skipped = 0usize;
        for id in delete.bead_ids.iter().collect::<BTreeSet<_>>() {
            let may = self.bead_for("bead_ids", id, actor).is_ok();
            if may && !self.reaches_another_rig(id, actor) {
                named.insert(id);
            } else {
                skipped = skipped.saturating_add(1);
            }
        }
        let doomed = self.with_descendants(named.into_iter().cloned().collect());
        let mut convoys: BTreeSet<BeadId> = BTreeSet::new();
        for id in &doomed {
            if let Some(convoy) = self.convoy_of(id) {
                convoys.insert(convoy.id.clone());
            }
            self.unhook_all(id);
            self.note(id, actor, "deleted", json!({}));
            self.remove_bead(id);
        }
        for convoy in convoys.difference(&doomed) {
            self.recount(convoy, actor);
        }
        Ok(Did::text(format!(
            "{} deleted, {skipped} skipped",
            doomed.len()
        )))
    }

    /// Whether something that was made for a bead is of another rig than the one that the caller may
    /// act on.
    fn reaches_another_rig(&self, id: &BeadId, actor: &Actor) -> bool {
        let Some(own) = &actor.rig else {
            return false;
        };
        let all = self.with_descendants([id.clone()].into());
        let mut rigs = all.iter().filter_map(|id| self.rig_of_bead(self.bead(id)?));
        rigs.any(|rig| rig != own)
    }

    /// Beads and all that were made for them.
    fn with_descendants(&self, named: Vec<BeadId>) -> BTreeSet<BeadId> {
        let mut all = BTreeSet::new();
        let mut next = named;
        while let Some(id) = next.pop() {
            if all.contains(&id) {
                continue;
            }
            next.extend(self.children_of(&id).iter().map(|child| child.id.clone()));
            all.insert(id);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use crate::command::beads::tests::TOWN;
    use crate::testing::executes;

    #[test]
    fn delete_takes_descendants_edges_and_hooks_along() {
        let only = |text: alloc::string::String| -> alloc::vec::Vec<alloc::string::String> {
            text.lines()
                .filter(|line| {
                    line.contains("deleted") || line.contains(".hook") || line.contains(".type")
                })
                .map(Into::into)
                .collect()
        };
        let text = executes(
            TOWN,
            r#"
            {"type": "delete_beads", "caller": {"kind": "user", "id": "ann", "rig_id": "r2"}, "bead_ids": ["b2", "b9"]}
            {"type": "delete_beads", "caller": {"kind": "user", "id": "ann", "rig_id": "r1"}, "bead_ids": ["b2", "m1", "b9", "b2"]}
        "#,
        );
        insta::assert_snapshot!(only(text).join("\n"), @r#"
        delete_beads []: 0 deleted, 2 skipped
        delete_beads []: 3 deleted, 1 skipped
          a1.hook: "b2" → -
          b2.type: "issue" → -
          b5.type: "issue" → -
          m1 blocks b5.type: "blocks" → -
          m1 tracks b3.type: "tracks" → -
          m1.type: "merge_request" → -
        "#);
    }

    #[test]
    fn delete_keeps_the_totals_of_convoys_right() {
        let convoy = "
            rig r1
            bead c1 convoy open convoy.total=2
            bead b1 issue open rig_id=r1
            bead b2 issue open rig_id=r1
            edge b1 tracks c1
            edge b2 tracks c1
        ";
        assert!(
            executes(
                convoy,
                r#"{"type": "delete_beads", "caller": {"kind": "host"}, "bead_ids": ["b1"]}"#
            )
            .contains("c1.convoy.total: 2 → 1")
        );
    }

    #[test]
    fn delete_by_a_caller_of_one_rig_spares_what_reaches_into_another() {
        let town = "
            rig r1
            rig r2
            bead b1 issue open rig_id=r1
            bead b2 issue open rig_id=r2 parent_id=b1
            bead b3 issue open rig_id=r1
            edge b2 parent-child b1
        ";
        let done = executes(
            town,
            r#"{"type": "delete_beads", "caller": {"kind": "user", "id": "ann", "rig_id": "r1"}, "bead_ids": ["b1", "b3"]}"#,
        );
        assert!(
            done.starts_with("delete_beads []: 1 deleted, 1 skipped"),
            "{done}"
        );
        let all = executes(
            town,
            r#"{"type": "delete_beads", "caller": {"kind": "host"}, "bead_ids": ["b1", "b3"]}"#,
        );
        assert!(
            all.starts_with("delete_beads []: 3 deleted, 0 skipped"),
            "{all}"
        );
    }
}
