//! The edges of a town, and what keeps `blocks` acyclic (spec 1.7).

use alloc::collections::BTreeSet;
use alloc::vec::Vec;

use super::Town;
use crate::edge::{Edge, EdgeKind};
use crate::ids::BeadId;

impl Town {
    /// All edges, by bead.
    pub fn edges(&self) -> impl Iterator<Item = &Edge> {
        self.edges.iter()
    }

    /// The beads that `bead` has an edge of this kind to, by id.
    pub fn depends_on(&self, bead: &BeadId, kind: EdgeKind) -> impl Iterator<Item = &BeadId> {
        self.index.outgoing(bead, kind)
    }

    /// The beads that have an edge of this kind to `bead`, by id.
    pub fn dependents(&self, bead: &BeadId, kind: EdgeKind) -> impl Iterator<Item = &BeadId> {
        self.index.incoming(bead, kind)
    }

    /// Adds an edge; one that is there already, or would lead to itself, changes nothing.
    pub(crate) fn insert_edge(&mut self, bead: &BeadId, depends_on: &BeadId, kind: EdgeKind) {
        if bead == depends_on {
            return;
        }
        let edge = Edge {
            bead_id: bead.clone(),
            depends_on: depends_on.clone(),
            kind,
        };
        self.index.insert_edge(&edge);
        self.changes.touch_edge(&edge);
        self.edges.insert(edge);
    }

    pub(crate) fn remove_edge(&mut self, edge: &Edge) {
        if self.edges.remove(edge) {
            self.index.remove_edge(edge);
            self.changes.touch_edge(edge);
        }
    }

    /// Every edge from or to `bead`.
    pub(crate) fn edges_at(&self, bead: &BeadId) -> Vec<Edge> {
        let mut out = Vec::new();
        for kind in [EdgeKind::Blocks, EdgeKind::Tracks, EdgeKind::ParentChild] {
            out.extend(self.depends_on(bead, kind).map(|other| Edge {
                bead_id: bead.clone(),
                depends_on: other.clone(),
                kind,
            }));
            out.extend(self.dependents(bead, kind).map(|other| Edge {
                bead_id: other.clone(),
                depends_on: bead.clone(),
                kind,
            }));
        }
        out
    }

    /// What `bead` waits for before it can be settled, in the sense in which `blocks` must stay
    /// acyclic: its blockers, a source's live MR beads, and a convoy's issues.
    fn waits_on(&self, bead: &BeadId) -> BTreeSet<&BeadId> {
        let mut out: BTreeSet<&BeadId> = self.depends_on(bead, EdgeKind::Blocks).collect();
        let is_convoy = self.bead(bead).is_some_and(|b| b.convoy().is_some());
        for other in self.dependents(bead, EdgeKind::Tracks) {
            let Some(tracker) = self.bead(other) else {
                continue;
            };
            let live_review = tracker.review().is_some() && tracker.is_live();
            if live_review || (is_convoy && tracker.work().is_some()) {
                out.insert(other);
            }
        }
        out
    }

    /// A cycle of `blocks` edges, if there is one: depth first, each bead visited once.
    pub(crate) fn blocks_cycle(&self) -> Option<Vec<BeadId>> {
        let mut done: BTreeSet<&BeadId> = BTreeSet::new();
        for start in self
            .edges
            .iter()
            .filter(|edge| edge.kind == EdgeKind::Blocks)
        {
            // The way from the start to the bead on top, each with what is left to visit.
            let mut way: Vec<(&BeadId, Vec<&BeadId>)> = Vec::new();
            let mut next = Some(&start.bead_id);
            while let Some(bead) = next.take() {
                if let Some(at) = way.iter().position(|(on_way, _)| *on_way == bead) {
                    return Some(way.iter().skip(at).map(|(id, _)| (*id).clone()).collect());
                }
                if done.insert(bead) {
                    way.push((bead, self.depends_on(bead, EdgeKind::Blocks).collect()));
                }
                while let Some((_, left)) = way.last_mut() {
                    next = left.pop();
                    if next.is_some() {
                        break;
                    }
                    way.pop();
                }
            }
        }
        None
    }

    /// The beads on a cycle that a new `blocks` edge from `bead` to `depends_on` would close,
    /// beginning with `bead`; none when it closes none.
    pub(crate) fn cycle_through(&self, bead: &BeadId, depends_on: &BeadId) -> Option<Vec<BeadId>> {
        if bead == depends_on {
            return Some([bead.clone()].into());
        }
        // Depth first from the new end; `path` is the way that led to the bead on top.
        let mut seen: BTreeSet<&BeadId> = BTreeSet::new();
        let mut stack: Vec<Vec<&BeadId>> = [[depends_on].into()].into();
        while let Some(path) = stack.pop() {
            let Some(&last) = path.last() else { continue };
            if last == bead {
                let mut cycle = alloc::vec![bead.clone()];
                cycle.extend(path.into_iter().filter(|id| *id != bead).cloned());
                return Some(cycle);
            }
            if !seen.insert(last) {
                continue;
            }
            for next in self.waits_on(last) {
                let mut longer = path.clone();
                longer.push(next);
                stack.push(longer);
            }
        }
        None
    }
}
