//! The edges of a town, and what keeps `blocks` acyclic (spec 1.7).

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

use super::Town;
use crate::bead::{Bead, BeadStatus};
use crate::edge::{Edge, EdgeKind};
use crate::ids::BeadId;

/// How convoys count when it is asked what waits for what (spec 1.7): the text says "issue →
/// convoy", and a convoy is not settled before its issues are. No cycle may close either way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Convoys {
    /// An issue counts as waiting for its convoy.
    HoldIssues,
    /// A convoy counts as waiting for its issues.
    WaitForIssues,
}

impl Convoys {
    const BOTH: [Convoys; 2] = [Self::WaitForIssues, Self::HoldIssues];
}

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
        self.changes.touch_edge(&edge, self.edges.contains(&edge));
        self.index.insert_edge(&edge);
        self.edges.insert(edge);
    }

    pub(crate) fn remove_edge(&mut self, edge: &Edge) {
        if self.edges.remove(edge) {
            self.index.remove_edge(edge);
            self.changes.touch_edge(edge, true);
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
    /// acyclic: its blockers, a source's live MR beads (a closed review's, too), what its convoy stands
    /// for, and, of a molecule and its steps, the bead through which they are worked on.
    fn waits_on(&self, bead: &BeadId, convoys: Convoys) -> BTreeSet<&BeadId> {
        let mut out: BTreeSet<&BeadId> = self.depends_on(bead, EdgeKind::Blocks).collect();
        let live = self.bead(bead).filter(|bead| bead.is_live());
        out.extend(live.and_then(|bead| self.worked_on_through(bead)));
        let is_convoy = |id: &BeadId| self.bead(id).is_some_and(|b| b.convoy().is_some());
        let waits_for_issues = convoys == Convoys::WaitForIssues && is_convoy(bead);
        for other in self.dependents(bead, EdgeKind::Tracks) {
            let Some(tracker) = self.bead(other) else {
                continue;
            };
            let live_review = tracker.review().is_some() && tracker.is_live();
            if live_review || (waits_for_issues && tracker.work().is_some()) {
                out.insert(other);
            }
        }
        // A review that has closed is settled as the work is that it is of: by a review that goes on.
        let closed = self
            .bead(bead)
            .filter(|bead| bead.review().is_some() && bead.status == BeadStatus::Closed);
        if let Some(source) = closed.and_then(|mr| self.source_of(mr)) {
            let live = self
                .reviews_of(source)
                .into_iter()
                .filter(|mr| mr.is_live());
            out.extend(live.map(|mr| &mr.id));
        }
        let is_issue = self.bead(bead).is_some_and(|b| b.work().is_some());
        if convoys == Convoys::HoldIssues && is_issue {
            let tracked = self.depends_on(bead, EdgeKind::Tracks);
            out.extend(tracked.filter(|id| is_convoy(id)));
        }
        out
    }

    /// Whether `bead` waits for a bead of some sort, or for one that does.
    pub(crate) fn waits_behind(&self, bead: &BeadId, sort: impl Fn(&Bead) -> bool) -> bool {
        let mut seen: BTreeSet<&BeadId> = BTreeSet::from([bead]);
        let mut ahead = self.waits_on_now(bead);
        while let Some(next) = ahead.pop_first() {
            if !seen.insert(next) {
                continue;
            }
            if self.bead(next).is_some_and(&sort) {
                return true;
            }
            ahead.extend(self.waits_on_now(next));
        }
        false
    }

    /// What `bead` really waits for: one that has ended no longer does for its own blockers, only for a
    /// review that goes on.
    fn waits_on_now(&self, bead: &BeadId) -> BTreeSet<&BeadId> {
        let mut ahead = self.waits_on(bead, Convoys::WaitForIssues);
        if self.bead(bead).is_some_and(|bead| !bead.is_live()) {
            for blocker in self.depends_on(bead, EdgeKind::Blocks) {
                ahead.remove(blocker);
            }
        }
        ahead
    }

    /// The groups of beads that wait for each other, each by id: of one that is added to or taken
    /// from, the others stay what they are.
    pub(crate) fn circles(&self) -> BTreeSet<Vec<BeadId>> {
        Convoys::BOTH
            .into_iter()
            .filter(|convoys| self.has_cycle(*convoys))
            .flat_map(|convoys| self.circles_of(convoys))
            .collect()
    }

    /// Whether a bead waits for itself in the end.
    pub(crate) fn waits_for_itself(&self, bead: &BeadId) -> bool {
        Convoys::BOTH.into_iter().any(|convoys| {
            let mut ahead = self.waits_on(bead, convoys).into_iter();
            ahead.any(|next| self.way_back(bead, next, convoys).is_some())
        })
    }

    /// Depth first, each bead visited once; cheaper than to find the circles that hardly ever are.
    fn has_cycle(&self, convoys: Convoys) -> bool {
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
                if way.iter().any(|(on_way, _)| *on_way == bead) {
                    return true;
                }
                if done.insert(bead) {
                    way.push((bead, self.waits_on(bead, convoys).into_iter().collect()));
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
        false
    }

    /// The strongly connected components of more than one bead, by Kosaraju's algorithm.
    fn circles_of(&self, convoys: Convoys) -> Vec<Vec<BeadId>> {
        let mut seen: BTreeSet<&BeadId> = BTreeSet::new();
        let mut waited_for_by: BTreeMap<&BeadId, Vec<&BeadId>> = BTreeMap::new();
        // The beads in the order in which all that they wait for was seen.
        let mut finished: Vec<&BeadId> = Vec::new();
        for start in self.edges.iter().map(|edge| &edge.bead_id) {
            let mut way: Vec<(&BeadId, BTreeSet<&BeadId>)> = Vec::new();
            if seen.insert(start) {
                way.push((start, self.waits_on(start, convoys)));
            }
            while let Some((bead, left)) = way.last_mut() {
                let bead = *bead;
                if let Some(next) = left.pop_first() {
                    waited_for_by.entry(next).or_default().push(bead);
                    if seen.insert(next) {
                        way.push((next, self.waits_on(next, convoys)));
                    }
                } else {
                    finished.push(bead);
                    way.pop();
                }
            }
        }
        let mut circles = Vec::new();
        while let Some(root) = finished.pop() {
            let mut near: Vec<&BeadId> = seen.take(root).into_iter().collect();
            let mut circle = Vec::new();
            while let Some(bead) = near.pop() {
                circle.push(bead.clone());
                let before = waited_for_by.get(bead).into_iter().flatten();
                near.extend(before.filter_map(|before| seen.take(before)));
            }
            if circle.len() > 1 {
                circle.sort_unstable();
                circles.push(circle);
            }
        }
        circles
    }

    /// The beads on a cycle that a new `blocks` edge from `bead` to `depends_on` would close,
    /// beginning with `bead`; none when it closes none.
    pub(crate) fn cycle_through(&self, bead: &BeadId, depends_on: &BeadId) -> Option<Vec<BeadId>> {
        Convoys::BOTH
            .into_iter()
            .find_map(|convoys| self.way_back(bead, depends_on, convoys))
    }

    /// The cycle that an issue's joining a convoy would close.
    pub(crate) fn cycle_by_joining(&self, issue: &BeadId, convoy: &BeadId) -> Option<Vec<BeadId>> {
        self.way_back(convoy, issue, Convoys::WaitForIssues)
            .or_else(|| self.way_back(issue, convoy, Convoys::HoldIssues))
    }

    fn way_back(
        &self,
        bead: &BeadId,
        depends_on: &BeadId,
        convoys: Convoys,
    ) -> Option<Vec<BeadId>> {
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
            for next in self.waits_on(last, convoys) {
                let mut longer = path.clone();
                longer.push(next);
                stack.push(longer);
            }
        }
        None
    }
}
