//! What a town has forgotten and a command names: beads that ended long ago.
//!
//! A town that is loaded knows its working set. A person, or the mayor, may still name any bead that
//! ever was: to retry it, to build on it, to delete it. [`recall`] reads what the store has of such
//! a bead and of what it belonged to, so that a command gives the same whether or not the town
//! had forgotten it.

use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::bead::Bead;
use crate::command::{Command, CommandKind};
use crate::edge::{Edge, EdgeKind};
use crate::ids::BeadId;
use crate::store::{PastFilter, Row, RowKey, Store, StoreError};
use crate::town::{BEAD_ROW, EDGE_ROW, Town, edges_prefix};
use crate::wire::{self, WireError};

/// How many beads are recalled for one tick; what lies further away stays behind.
const BEADS_MAX: usize = 10_000;
/// How many edges are read at once.
const PAGE: usize = 1_000;

/// Why what a command names could not be recalled.
#[derive(Debug, thiserror::Error)]
pub enum RecallError {
    /// The store could not be read.
    #[error("what a command names could not be read")]
    Store(#[from] StoreError),
    /// What is stored can't be read.
    #[error("what a command names can't be read")]
    Unreadable(#[source] WireError),
}

/// The rows of beads that `commands` name and `town` has forgotten, and of what they belonged to,
/// for [`crate::TickInput::recalled`]. `town` is as it was committed last.
///
/// - Of each such bead: its row and its edges, the beads at their other ends, its parent and its
///   source, and what reviews these or belongs to them. Of beads that are to be deleted also all
///   that was made for them.
/// - A town that knows all that is named costs nothing: the store is not asked.
/// - At most 10,000 beads are recalled at once.
///
/// # Errors
/// [`RecallError`]; the commands have to wait.
pub async fn recall(
    store: &dyn Store,
    town: &Town,
    commands: &[Command],
) -> Result<Vec<Row>, RecallError> {
    let mut named = BTreeSet::new();
    let mut doomed = BTreeSet::new();
    for command in commands {
        let beads = command.kind.beads().into_iter().cloned();
        if matches!(command.kind, CommandKind::DeleteBeads(_)) {
            doomed.extend(beads);
        } else {
            named.extend(beads);
        }
    }
    // Of a live bead the town knows all that it belongs to.
    named.retain(|id| !town.bead(id).is_some_and(|bead| bead.is_live()));
    let mut search = Search {
        store,
        town,
        rows: BTreeMap::new(),
        looked_for: BTreeSet::new(),
        parents: BTreeMap::new(),
    };
    let found = search.beads(&named).await?;
    let mut around = search.around(&found).await?;
    around.extend(search.with_all_made_for(&doomed).await?);
    // Of what they belonged to: what reviews it, and what else belongs to it.
    let found = search.beads(&around).await?;
    let mut further = BTreeSet::new();
    for id in &found {
        for edge in search.edges(id, &[EdgeKind::Tracks]).await? {
            further.extend([edge.bead_id, edge.depends_on]);
        }
    }
    search.beads(&further).await?;
    Ok(search.into_rows())
}

/// What a bead names as that which it was made for: its parent and its source.
fn made_for(bead: &Bead) -> Vec<BeadId> {
    let source = bead.review().map(|review| review.source.clone());
    bead.parent_id.clone().into_iter().chain(source).collect()
}

/// What was found so far.
struct Search<'a> {
    store: &'a dyn Store,
    town: &'a Town,
    rows: BTreeMap<RowKey, Row>,
    looked_for: BTreeSet<BeadId>,
    /// What each bead that was found names as its parent and its source.
    parents: BTreeMap<BeadId, Vec<BeadId>>,
}

impl Search<'_> {
    /// Reads those of these beads that the town does not know; returns the terminal ones that are
    /// there, known before or not.
    async fn beads(&mut self, ids: &BTreeSet<BeadId>) -> Result<BTreeSet<BeadId>, RecallError> {
        let mut found = BTreeSet::new();
        let mut keys = Vec::new();
        for id in ids {
            match self.town.bead(id) {
                Some(bead) if bead.is_live() => {}
                Some(bead) => {
                    self.parents.insert(id.clone(), made_for(bead));
                    found.insert(id.clone());
                }
                None if self.parents.contains_key(id) => drop(found.insert(id.clone())),
                None if self.looked_for.len() >= BEADS_MAX => {}
                None if self.looked_for.insert(id.clone()) => keys.push(RowKey {
                    kind: BEAD_ROW.to_string(),
                    id: id.as_str().to_string(),
                }),
                None => {}
            }
        }
        if keys.is_empty() {
            return Ok(found);
        }
        for row in self.store.rows(self.town.id(), &keys).await? {
            let bead = wire::parse(&row.body).and_then(wire::bead_from_value);
            let bead = bead.map_err(|problem| unreadable(&row, problem))?;
            self.parents.insert(bead.id.clone(), made_for(&bead));
            found.insert(bead.id);
            self.rows.insert(row.key.clone(), row);
        }
        Ok(found)
    }

    /// The beads that these belonged to or that belonged to them, by edge or by field.
    async fn around(&mut self, ids: &BTreeSet<BeadId>) -> Result<BTreeSet<BeadId>, RecallError> {
        let all = [EdgeKind::Blocks, EdgeKind::Tracks, EdgeKind::ParentChild];
        let mut around = BTreeSet::new();
        for id in ids {
            for edge in self.edges(id, &all).await? {
                around.extend([edge.bead_id, edge.depends_on]);
            }
            around.extend(self.parents.get(id).into_iter().flatten().cloned());
        }
        Ok(around)
    }

    /// Beads with all that was made for them, and what is around all of these.
    async fn with_all_made_for(
        &mut self,
        doomed: &BTreeSet<BeadId>,
    ) -> Result<BTreeSet<BeadId>, RecallError> {
        let mut around = BTreeSet::new();
        let mut seen = doomed.clone();
        let mut next = doomed.clone();
        while !next.is_empty() {
            self.beads(&next).await?;
            let mut made = BTreeSet::new();
            for id in &next {
                let one = BTreeSet::from([id.clone()]);
                around.extend(self.around(&one).await?);
                for edge in self.edges(id, &[EdgeKind::ParentChild]).await? {
                    let is_new = edge.depends_on == *id && seen.insert(edge.bead_id.clone());
                    made.extend(is_new.then_some(edge.bead_id));
                }
                for child in self.town.children_of(id) {
                    let is_new = seen.insert(child.id.clone());
                    made.extend(is_new.then(|| child.id.clone()));
                }
            }
            next = made;
        }
        Ok(around)
    }

    /// The edges of these kinds at a bead, those that the town knows and those that it forgot.
    async fn edges(&mut self, id: &BeadId, kinds: &[EdgeKind]) -> Result<Vec<Edge>, RecallError> {
        let mut edges = self.town.edges_at(id);
        edges.retain(|edge| kinds.contains(&edge.kind));
        for kind in kinds {
            let prefix = edges_prefix(*kind, id);
            let is_from = |row: &Row| row.key.id.starts_with(&prefix);
            edges.extend(self.past_edges(None, prefix.clone(), is_from).await?);
        }
        let to = self.past_edges(Some(id), String::new(), |_| true).await?;
        edges.extend(to.into_iter().filter(|edge| kinds.contains(&edge.kind)));
        Ok(edges)
    }

    /// Past edges that lead to a bead, or whose keys come after `after`, as long as `wanted`.
    async fn past_edges(
        &mut self,
        to: Option<&BeadId>,
        after: String,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Vec<Edge>, RecallError> {
        let mut edges = Vec::new();
        let mut last = (!after.is_empty()).then(|| RowKey {
            kind: EDGE_ROW.to_string(),
            id: after,
        });
        loop {
            let filter = PastFilter {
                kind: Some(EDGE_ROW.to_string()),
                depends_on: to.map(|id| id.as_str().to_string()),
                after: last,
                limit: PAGE,
            };
            let page = self.store.past_rows(self.town.id(), filter).await?;
            let is_last = page.len() < PAGE || !page.iter().all(&wanted);
            last = page.last().map(|row| row.key.clone());
            for row in page.into_iter().filter(&wanted) {
                let edge = wire::parse(&row.body).and_then(wire::read_value::<Edge>);
                edges.push(edge.map_err(|problem| unreadable(&row, problem))?);
                self.rows.insert(row.key.clone(), row);
            }
            if is_last {
                return Ok(edges);
            }
        }
    }

    /// What was found, without edges to what was not.
    fn into_rows(self) -> Vec<Row> {
        let Self {
            town,
            rows,
            parents,
            ..
        } = self;
        let is_there = |id: &BeadId| parents.contains_key(id) || town.bead(id).is_some();
        let has_both_ends = |row: &Row| {
            let edge = wire::parse(&row.body).and_then(wire::read_value::<Edge>);
            edge.is_ok_and(|edge| is_there(&edge.bead_id) && is_there(&edge.depends_on))
        };
        rows.into_values()
            .filter(|row| row.key.kind != EDGE_ROW || has_both_ends(row))
            .collect()
    }
}

fn unreadable(row: &Row, problem: WireError) -> RecallError {
    RecallError::Unreadable(problem.under(&alloc::format!("{}/{}", row.key.kind, row.key.id)))
}
