//! A town as stored rows, and what a commit has to write (spec 6.1).

use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::Serialize;
use serde_json::Value;

use super::secrets::SecretsForm;
use super::{Lineage, Town};
use crate::agent::Agent;
use crate::bead::Bead;
use crate::edge::{Edge, EdgeKind};
use crate::ids::BeadId;
use crate::nudge::Nudge;
use crate::rig::Rig;
use crate::store::{ChangeSet, Row, RowKey};
use crate::wire::{self, WireError, snapshot::TownForm};

const TOWN: &str = "town";
const SECRETS: &str = "secrets";
const LINEAGE: &str = "lineage";
const RIG: &str = "rig";
const AGENT: &str = "agent";
pub(crate) const BEAD_ROW: &str = "bead";
pub(crate) const EDGE_ROW: &str = "edge";
const NUDGE: &str = "nudge";

fn key(kind: &str, id: &str) -> RowKey {
    RowKey {
        kind: kind.to_string(),
        id: id.to_string(),
    }
}

/// The row of an entity that is there, or the key of one that is gone.
fn put_or_delete<T: Serialize>(
    changes: &mut ChangeSet,
    key: RowKey,
    entity: Option<&T>,
    working: bool,
) {
    match entity.map(serde_json::to_string) {
        // Every entity has text keys and plain values only, so writing it can't fail.
        Some(Ok(body)) => changes.put.push(Row { key, working, body }),
        Some(Err(_)) => {}
        None => changes.delete.push(key),
    }
}

/// An edge's name; the lengths keep two edges apart whatever their ids hold.
pub(crate) fn edge_key(edge: &Edge) -> RowKey {
    let prefix = edges_prefix(edge.kind, &edge.bead_id);
    key(EDGE_ROW, &format!("{prefix}{}", edge.depends_on))
}

/// What the names of all edges of one kind from a bead begin with.
pub(crate) fn edges_prefix(kind: EdgeKind, from: &BeadId) -> String {
    let from = from.as_str();
    format!("{}.{}.{from}.", kind.as_str(), from.len())
}

impl Town {
    /// Everything that changed since the last call, for [`crate::Store::commit`].
    ///
    /// Terminal beads that no live bead refers to any more leave the working set.
    ///
    /// ```
    /// use gastown_core::{Policy, Town, TownConfig, TownId};
    /// let mut town = Town::new(TownId::new("t1")?, TownConfig::seed(), Policy::default());
    /// let rows = town.take_changes().put;
    /// assert_eq!(Town::from_rows(rows).unwrap(), town);
    /// assert!(town.take_changes().is_empty());
    /// # Ok::<(), gastown_core::IdError>(())
    /// ```
    #[must_use = "changes that are taken and not committed are lost"]
    pub fn take_changes(&mut self) -> ChangeSet {
        let working = self.referred_terminal_beads();
        let mut changes = core::mem::take(&mut self.changes);
        let mut out = ChangeSet {
            history: core::mem::take(&mut changes.audit).into_history(),
            ..ChangeSet::default()
        };
        if changes.town {
            let mut form = TownForm::of(self);
            // Lineages have rows of their own, so that a dispatch rewrites one and not all.
            form.lineages.clear();
            put_or_delete(&mut out, key(TOWN, TOWN), Some(&form), true);
            let secrets = SecretsForm::of(&self.state.config);
            put_or_delete(&mut out, key(SECRETS, TOWN), secrets.as_ref(), true);
        }
        // A bead whose place in the working set changed is written again.
        changes
            .beads
            .extend(working.symmetric_difference(&changes.working).cloned());
        // So are the edges and the lineage of a bead that no longer is live.
        for id in &changes.beads {
            if let Some(bead) = self.bead(id).filter(|bead| !bead.is_live()) {
                changes.edges.extend(self.edges_at(id));
                if self.lineages.contains_key(bead.lineage()) {
                    changes.lineages.insert(bead.lineage().clone());
                }
            }
        }
        let live_lines: BTreeSet<&BeadId> = self.live_beads().map(Bead::lineage).collect();
        for id in &changes.beads {
            let bead = self.bead(id);
            let stays = bead.is_some_and(Bead::is_live) || working.contains(id);
            put_or_delete(&mut out, key(BEAD_ROW, id.as_str()), bead, stays);
        }
        for id in &changes.agents {
            put_or_delete(&mut out, key(AGENT, id.as_str()), self.agents.get(id), true);
        }
        for id in &changes.rigs {
            put_or_delete(&mut out, key(RIG, id.as_str()), self.rigs.get(id), true);
        }
        for id in &changes.nudges {
            put_or_delete(&mut out, key(NUDGE, id.as_str()), self.nudges.get(id), true);
        }
        for root in &changes.lineages {
            let stays = live_lines.contains(root);
            put_or_delete(
                &mut out,
                key(LINEAGE, root.as_str()),
                self.lineages.get(root),
                stays,
            );
        }
        for edge in &changes.edges {
            let ends = [&edge.bead_id, &edge.depends_on];
            let live = |id: &BeadId| self.bead(id).is_some_and(Bead::is_live);
            let stays =
                ends.iter().any(|id| live(id)) || ends.iter().all(|id| working.contains(id));
            put_or_delete(&mut out, edge_key(edge), self.edges.get(edge), stays);
        }
        self.changes.working = working;
        out
    }

    /// Forgets what changed since the last [`Self::take_changes`], for towns that nobody stores: a
    /// simulation, a look ahead.
    pub fn discard_changes(&mut self) {
        self.changes = super::Changes {
            working: core::mem::take(&mut self.changes.working),
            ..super::Changes::default()
        };
    }

    /// Builds a town from the rows of its working set.
    ///
    /// # Errors
    /// [`WireError`] names the row and what is wrong with it.
    pub fn from_rows(rows: Vec<Row>) -> Result<Self, WireError> {
        let named = |row: &Row| format!("{}/{}", row.key.kind, row.key.id);
        let at = rows.iter().position(|row| row.key.kind == TOWN);
        let Some(first) = at.and_then(|at| rows.get(at)) else {
            return Err(WireError::new(TOWN, "the town's own row is missing"));
        };
        let form: TownForm = read(first).map_err(|error| error.under(&named(first)))?;
        let mut town = form
            .into_town()
            .map_err(|error| error.under(&named(first)))?;
        let mut working = BTreeSet::new();
        for row in &rows {
            town.insert_row(row, &mut working)
                .map_err(|error| error.under(&named(row)))?;
        }
        town.changes = super::Changes {
            working,
            ..super::Changes::default()
        };
        Ok(town)
    }

    /// Takes beads and edges in that load left behind. What the town knows already stays as it is;
    /// nothing counts as changed.
    ///
    /// A row that can't be read is left out: [`crate::recall`] gives none.
    pub(crate) fn remember(&mut self, rows: &[Row]) {
        if rows.is_empty() {
            return;
        }
        let mut changes = core::mem::take(&mut self.changes);
        for row in rows {
            let is_known = match row.key.kind.as_str() {
                BEAD_ROW => BeadId::new(&row.key.id).is_ok_and(|id| self.beads.contains_key(&id)),
                EDGE_ROW => false,
                _ => true,
            };
            let mut in_working_set = BTreeSet::new();
            if !is_known && self.insert_row(row, &mut in_working_set).is_ok() && row.working {
                changes.working.append(&mut in_working_set);
            }
        }
        self.changes = changes;
    }

    fn insert_row(&mut self, row: &Row, working: &mut BTreeSet<BeadId>) -> Result<(), WireError> {
        match row.key.kind.as_str() {
            TOWN => {}
            SECRETS => SecretsForm::read(&row.body)?.restore(&mut self.state.config),
            LINEAGE => {
                let root = wire::read_value::<BeadId>(Value::String(row.key.id.clone()))?;
                self.insert_lineage(root, read::<Lineage>(row)?);
            }
            RIG => self.insert_rig(read::<Rig>(row)?),
            AGENT => self.insert_agent(read::<Agent>(row)?),
            BEAD_ROW => {
                let bead = wire::bead_from_value(wire::parse(&row.body)?)?;
                if !bead.is_live() {
                    working.insert(bead.id.clone());
                }
                self.insert_bead(bead);
            }
            EDGE_ROW => {
                let edge = read::<Edge>(row)?;
                self.insert_edge(&edge.bead_id, &edge.depends_on, edge.kind);
            }
            NUDGE => self.insert_nudge(read::<Nudge>(row)?),
            other => {
                return Err(WireError::new(
                    "kind",
                    format!("unknown kind of row \"{other}\""),
                ));
            }
        }
        Ok(())
    }

    /// Terminal beads that a rule may still look at: neighbours of live beads, the reviews of such
    /// neighbours, what agents are hooked to, and what they may still say done of.
    fn referred_terminal_beads(&self) -> BTreeSet<BeadId> {
        let mut near: Vec<&BeadId> = Vec::new();
        for bead in self.live_beads() {
            self.add_neighbours(bead, &mut near);
        }
        near.extend(self.agents.values().filter_map(|agent| agent.hook.as_ref()));
        // What may still be said done, however late (spec 4.1, case 1).
        let unsaid = |agent: &&Agent| agent.done_session != Some(agent.session);
        let unsaid = self.agents.values().filter(unsaid);
        near.extend(unsaid.filter_map(|agent| agent.last_bead.as_ref()));
        near.sort_unstable();
        near.dedup();
        let ended = |id: &&BeadId| self.bead(id).is_some_and(|bead| !bead.is_live());
        let reviews = near
            .iter()
            .flat_map(|id| self.reviews_of(id))
            .map(|mr| &mr.id);
        let reviews: Vec<&BeadId> = reviews.collect();
        near.into_iter()
            .chain(reviews)
            .filter(ended)
            .cloned()
            .collect()
    }

    fn add_neighbours<'a>(&'a self, bead: &'a Bead, out: &mut Vec<&'a BeadId>) {
        for kind in [EdgeKind::Blocks, EdgeKind::Tracks, EdgeKind::ParentChild] {
            out.extend(self.depends_on(&bead.id, kind));
            out.extend(self.dependents(&bead.id, kind));
        }
        out.extend(bead.parent_id.as_ref());
        out.extend(self.index.children(&bead.id));
        out.extend(bead.review().map(|review| &review.source));
        out.extend(
            bead.escalation()
                .and_then(|escalation| escalation.bead_id.as_ref()),
        );
    }
}

fn read<T: serde::de::DeserializeOwned>(row: &Row) -> Result<T, WireError> {
    wire::read_value(wire::parse(&row.body)?)
}

/// The rows that hold a town's secrets, which an export leaves out.
#[must_use]
pub fn is_secret_row(key: &RowKey) -> bool {
    key.kind == SECRETS
}

/// Whether the record of such a row, too, says its id.
pub(crate) fn is_named_by_its_id(key: &RowKey) -> bool {
    [AGENT, BEAD_ROW, NUDGE, RIG].contains(&key.kind.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edge_keys_never_collide() {
        let edge = |from: &str, to: &str| Edge {
            bead_id: BeadId::new(from).unwrap(),
            depends_on: BeadId::new(to).unwrap(),
            kind: EdgeKind::Blocks,
        };
        assert_ne!(edge_key(&edge("a.b", "c")), edge_key(&edge("a", "b.c")));
    }

    /// P13: what a host or an agent keeps in JSON is read as it was written, to the last digit.
    #[test]
    fn p13_floats_are_read_as_they_were_written() {
        for float in [
            0.945_270_695_553_922_3,
            8.686_110_238_232_949e-41,
            1.016_244_102_842_024_6e74,
        ] {
            let written = serde_json::Value::from(float).to_string();
            let read: serde_json::Value = serde_json::from_str(&written).unwrap();
            assert_eq!(read.to_string(), written);
            assert_eq!(read.as_f64(), Some(float));
        }
    }

    /// Spec 4.1, 1: finished work is not lost, however late a session says so.
    #[test]
    fn what_a_session_may_still_say_done_of_is_read_again() {
        let text = "
            rig r1
            agent a1 polecat idle rig_id=r1 session=2 last_bead=b1
            bead b1 issue closed rig_id=r1
            bead b2 issue closed rig_id=r1
        ";
        let read_again = |text: &str| {
            let mut town = crate::testing::town(text);
            let rows = town.take_changes().put;
            let working = rows.into_iter().filter(|row| row.working);
            Town::from_rows(working.collect::<Vec<_>>()).unwrap()
        };
        let holds = |town: &Town, id: &str| town.bead(&id.parse().unwrap()).is_some();
        let town = read_again(text);
        assert!(holds(&town, "b1") && !holds(&town, "b2"));
        let done = text.replace("session=2", "session=2 done_session=2");
        assert!(!holds(&read_again(&done), "b1"));
    }
}
