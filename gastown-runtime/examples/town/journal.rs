//! What has happened in the town, read from its store as any onlooker can.

use std::collections::{BTreeMap, BTreeSet};

use gastown_core::{
    Agent, Bead, BeadId, BeadStatus, HistoryFilter, HistoryKind, Reason, Row, RowKey, Store,
    StoredHistory, Town, TownId, wire,
};
use gastown_store_sqlite::SqliteStore;
use serde::Deserialize;

use crate::failure::Failure;

/// How many lines of history are read at once.
const PAGE: usize = 500;

/// A bead went from one status to another.
pub(crate) struct Step {
    pub(crate) bead: BeadId,
    pub(crate) from: BeadStatus,
    pub(crate) to: BeadStatus,
    pub(crate) reason: Reason,
}

/// The details of a bead's change of status, as the town records them.
#[derive(Deserialize)]
struct StatusDetail {
    from: BeadStatus,
    to: BeadStatus,
    reason: Reason,
}

#[derive(Deserialize)]
struct BeadEvent {
    what: String,
    detail: serde_json::Value,
}

/// The part of a tick's record that is counted here.
#[derive(Deserialize)]
struct TickRecord {
    #[serde(default)]
    actions: Vec<ActionRecord>,
}

#[derive(Deserialize)]
struct ActionRecord {
    rule: String,
}

/// What has happened so far, and what there is now.
pub(crate) struct Journal {
    store: SqliteStore,
    town_id: TownId,
    /// The last line of history that was read.
    read_up_to: Option<u64>,
    /// Beads that history speaks of.
    known: BTreeSet<BeadId>,
    pub(crate) beads: BTreeMap<BeadId, Bead>,
    pub(crate) agents: Vec<Agent>,
    pub(crate) steps: Vec<Step>,
    pub(crate) ticks: u64,
    pub(crate) actions: BTreeMap<String, u64>,
}

impl Journal {
    pub(crate) fn new(store: SqliteStore, town_id: TownId) -> Self {
        Self {
            store,
            town_id,
            read_up_to: None,
            known: BTreeSet::new(),
            beads: BTreeMap::new(),
            agents: Vec::new(),
            steps: Vec::new(),
            ticks: 0,
            actions: BTreeMap::new(),
        }
    }

    /// Reads what is new.
    pub(crate) async fn catch_up(&mut self) -> Result<(), Failure> {
        loop {
            let filter = HistoryFilter {
                after: self.read_up_to,
                limit: PAGE,
                ..HistoryFilter::default()
            };
            let page = self.store.history(&self.town_id, filter).await?;
            let is_last = page.len() < PAGE;
            for line in page {
                self.take(line);
            }
            if is_last {
                break;
            }
        }
        self.look().await
    }

    /// The working set as a town.
    pub(crate) async fn town(&self) -> Result<Town, Failure> {
        let rows = self.store.load(&self.town_id).await?.rows;
        Town::from_rows(rows).map_err(|error| Failure::Stopped(format!("the database: {error}")))
    }

    fn take(&mut self, line: StoredHistory) {
        self.read_up_to = Some(line.sequence);
        let entry = line.entry;
        match entry.kind {
            HistoryKind::BeadEvent => {
                let Some(Ok(bead)) = entry.subject.map(BeadId::new) else {
                    return;
                };
                self.known.insert(bead.clone());
                let Ok(event) = serde_json::from_str::<BeadEvent>(&entry.body) else {
                    return;
                };
                if event.what != "status" {
                    return;
                }
                if let Ok(detail) = serde_json::from_value::<StatusDetail>(event.detail) {
                    self.steps.push(Step {
                        bead,
                        from: detail.from,
                        to: detail.to,
                        reason: detail.reason,
                    });
                }
            }
            HistoryKind::Tick => {
                self.ticks = self.ticks.saturating_add(1);
                let record = serde_json::from_str::<TickRecord>(&entry.body);
                for action in record.into_iter().flat_map(|record| record.actions) {
                    let count = self.actions.entry(action.rule).or_default();
                    *count = count.saturating_add(1);
                }
            }
            HistoryKind::Command
            | HistoryKind::Event
            | HistoryKind::Snapshot
            | HistoryKind::SnapshotRows => {}
        }
    }

    /// Takes what there is now: the working set, and the ended beads beside it.
    async fn look(&mut self) -> Result<(), Failure> {
        let town = self.town().await?;
        self.agents = town.agents_by_age().cloned().collect();
        for bead in town.beads() {
            self.beads.insert(bead.id.clone(), bead.clone());
        }
        let beside: Vec<RowKey> = self
            .known
            .iter()
            .filter(|id| town.bead(id).is_none())
            .filter(|id| self.beads.get(*id).is_none_or(Bead::is_live))
            .map(|id| RowKey {
                kind: "bead".into(),
                id: id.to_string(),
            })
            .collect();
        if beside.is_empty() {
            return Ok(());
        }
        for row in self.store.rows(&self.town_id, &beside).await? {
            let bead = read_bead(&row)?;
            self.beads.insert(bead.id.clone(), bead);
        }
        Ok(())
    }
}

fn read_bead(row: &Row) -> Result<Bead, Failure> {
    let wrong = |why: String| Failure::Stopped(format!("the database: {}: {why}", row.key.id));
    let value = serde_json::from_str(&row.body).map_err(|error| wrong(error.to_string()))?;
    wire::bead_from_value(value).map_err(|error| wrong(error.to_string()))
}
