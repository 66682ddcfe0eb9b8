//! What rules look up often, kept in step with the entities.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::sync::Arc;
use core::cmp::Reverse;

use crate::agent::Agent;
use crate::bead::{Bead, Priority};
use crate::edge::{Edge, EdgeKind};
use crate::ids::{AgentId, BeadId};
use crate::time::Timestamp;

/// Private indexes of a town.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    /// The live beads themselves: every rule and invariant walks over them.
    live: BTreeMap<(Reverse<Priority>, Timestamp, BeadId), Arc<Bead>>,
    agents: BTreeSet<(Timestamp, AgentId)>,
    holders: BTreeMap<BeadId, BTreeSet<AgentId>>,
    children: BTreeMap<BeadId, BTreeSet<BeadId>>,
    reviews: BTreeMap<BeadId, BTreeSet<BeadId>>,
    pull_requests: BTreeMap<String, BTreeSet<BeadId>>,
    outgoing: ByKind,
    incoming: ByKind,
}

/// The other ends of a bead's edges. Each kind has a map of its own, so that nothing is made for a
/// look into it.
#[derive(Debug, Clone, Default)]
struct ByKind {
    blocks: BTreeMap<BeadId, BTreeSet<BeadId>>,
    tracks: BTreeMap<BeadId, BTreeSet<BeadId>>,
    parent_child: BTreeMap<BeadId, BTreeSet<BeadId>>,
}

impl ByKind {
    fn of(&self, kind: EdgeKind) -> &BTreeMap<BeadId, BTreeSet<BeadId>> {
        match kind {
            EdgeKind::Blocks => &self.blocks,
            EdgeKind::Tracks => &self.tracks,
            EdgeKind::ParentChild => &self.parent_child,
        }
    }

    fn of_mut(&mut self, kind: EdgeKind) -> &mut BTreeMap<BeadId, BTreeSet<BeadId>> {
        match kind {
            EdgeKind::Blocks => &mut self.blocks,
            EdgeKind::Tracks => &mut self.tracks,
            EdgeKind::ParentChild => &mut self.parent_child,
        }
    }
}

fn remove_from<K: Ord, V: Ord>(map: &mut BTreeMap<K, BTreeSet<V>>, key: &K, value: &V) {
    if let Some(set) = map.get_mut(key) {
        set.remove(value);
        if set.is_empty() {
            map.remove(key);
        }
    }
}

impl Index {
    pub(super) fn live(&self) -> impl Iterator<Item = &Bead> {
        self.live.values().map(|bead| &**bead)
    }

    pub(super) fn agents(&self) -> impl Iterator<Item = &AgentId> {
        self.agents.iter().map(|(_, id)| id)
    }

    pub(super) fn holders(&self, bead: &BeadId) -> impl Iterator<Item = &AgentId> {
        self.holders.get(bead).into_iter().flatten()
    }

    /// Beads whose `parent_id` names this one.
    pub(super) fn children(&self, bead: &BeadId) -> impl Iterator<Item = &BeadId> {
        self.children.get(bead).into_iter().flatten()
    }

    /// MR beads whose `review.source` names this one.
    pub(super) fn reviews(&self, source: &BeadId) -> impl Iterator<Item = &BeadId> {
        self.reviews.get(source).into_iter().flatten()
    }

    /// Live MR beads with this pull request.
    pub(super) fn pull_requests(&self, url: &str) -> impl Iterator<Item = &BeadId> {
        self.pull_requests.get(url).into_iter().flatten()
    }

    /// Every pull request of a live MR bead.
    pub(super) fn all_pull_requests(&self) -> impl Iterator<Item = (&str, &BTreeSet<BeadId>)> {
        self.pull_requests
            .iter()
            .map(|(url, ids)| (url.as_str(), ids))
    }

    pub(super) fn outgoing(&self, bead: &BeadId, kind: EdgeKind) -> impl Iterator<Item = &BeadId> {
        self.outgoing.of(kind).get(bead).into_iter().flatten()
    }

    pub(super) fn incoming(&self, bead: &BeadId, kind: EdgeKind) -> impl Iterator<Item = &BeadId> {
        self.incoming.of(kind).get(bead).into_iter().flatten()
    }

    pub(super) fn insert_bead(&mut self, bead: &Arc<Bead>) {
        let id = bead.id.clone();
        if let Some(parent) = &bead.parent_id {
            self.children
                .entry(parent.clone())
                .or_default()
                .insert(id.clone());
        }
        if let Some(review) = bead.review() {
            self.reviews
                .entry(review.source.clone())
                .or_default()
                .insert(id.clone());
            if let (true, Some(url)) = (bead.is_live(), &review.pr_url) {
                self.pull_requests
                    .entry(pr_key(url))
                    .or_default()
                    .insert(id.clone());
            }
        }
        if bead.is_live() {
            let place = (Reverse(bead.priority), bead.created_at, id);
            self.live.insert(place, bead.clone());
        }
    }

    pub(super) fn remove_bead(&mut self, bead: &Bead) {
        if let Some(parent) = &bead.parent_id {
            remove_from(&mut self.children, parent, &bead.id);
        }
        if let Some(review) = bead.review() {
            remove_from(&mut self.reviews, &review.source, &bead.id);
            if let Some(url) = &review.pr_url {
                remove_from(&mut self.pull_requests, &pr_key(url), &bead.id);
            }
        }
        self.live
            .remove(&(Reverse(bead.priority), bead.created_at, bead.id.clone()));
    }

    pub(super) fn insert_agent(&mut self, agent: &Agent) {
        self.agents.insert((agent.created_at, agent.id.clone()));
        if let Some(hook) = &agent.hook {
            self.holders
                .entry(hook.clone())
                .or_default()
                .insert(agent.id.clone());
        }
    }

    pub(super) fn remove_agent(&mut self, agent: &Agent) {
        self.agents.remove(&(agent.created_at, agent.id.clone()));
        if let Some(hook) = &agent.hook {
            remove_from(&mut self.holders, hook, &agent.id);
        }
    }

    pub(super) fn insert_edge(&mut self, edge: &Edge) {
        let (from, to) = (&edge.bead_id, &edge.depends_on);
        let insert = |map: &mut ByKind, at: &BeadId, end: &BeadId| {
            let ends = map.of_mut(edge.kind).entry(at.clone()).or_default();
            ends.insert(end.clone());
        };
        insert(&mut self.outgoing, from, to);
        insert(&mut self.incoming, to, from);
    }

    pub(super) fn remove_edge(&mut self, edge: &Edge) {
        let (from, to) = (&edge.bead_id, &edge.depends_on);
        remove_from(self.outgoing.of_mut(edge.kind), from, to);
        remove_from(self.incoming.of_mut(edge.kind), to, from);
    }
}

/// Pull requests are compared without regard to case and a trailing slash.
pub(super) fn pr_key(url: &str) -> String {
    url.trim_end_matches('/').to_ascii_lowercase()
}

/// Whether two URLs name one pull request.
pub(crate) fn same_pull_request(one: &str, other: &str) -> bool {
    pr_key(one) == pr_key(other)
}
