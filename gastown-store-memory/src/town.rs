//! One town's rows and history, and the commit over all of its parts.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use gastown_core::{
    ChangeSet, Commit, Committed, HistoryEntry, HistoryFilter, HistoryKind, HistoryOrder, Loaded,
    PastFilter, Row, RowKey, StoreError, StoredHistory, Timestamp, TownId,
};

use crate::inbox::Inbox;
use crate::lease::Leases;
use crate::outbox::Outbox;

/// One town. `version` is 0 only before its first commit.
#[derive(Debug, Default)]
pub(crate) struct MemoryTown {
    version: u64,
    rows: BTreeMap<RowKey, StoredRow>,
    history: BTreeMap<u64, HistoryEntry>,
    /// The last sequence that was given; pruning gives none back.
    last_sequence: u64,
    pub(crate) inbox: Inbox,
    pub(crate) outbox: Outbox,
    pub(crate) leases: Leases,
}

#[derive(Debug)]
struct StoredRow {
    working: bool,
    body: String,
}

impl MemoryTown {
    /// Everything is checked before anything is changed.
    pub(crate) fn commit(&mut self, id: &TownId, commit: Commit) -> Result<Committed, StoreError> {
        self.leases.check(id, commit.lease_token)?;
        if commit.expected_version != self.version {
            return Err(StoreError::Conflict {
                town: id.clone(),
                expected: commit.expected_version,
                actual: self.version,
            });
        }
        let consumed: BTreeSet<_> = commit.consumed.into_iter().collect();
        self.inbox.check_pending(&consumed)?;

        self.version = self.version.saturating_add(1);
        self.apply(commit.changes);
        self.inbox.consume(&consumed, commit.at);
        let effects = self.outbox.add(commit.effects);
        Ok(Committed::new(self.version, effects))
    }

    fn apply(&mut self, changes: ChangeSet) {
        for Row { key, working, body } in changes.put {
            self.rows.insert(key, StoredRow { working, body });
        }
        for key in changes.delete {
            self.rows.remove(&key);
        }
        for entry in changes.history {
            self.last_sequence = self.last_sequence.saturating_add(1);
            self.history.insert(self.last_sequence, entry);
        }
    }

    pub(crate) fn load(&self) -> Loaded {
        let rows = self.rows.iter().filter(|(_, row)| row.working);
        Loaded {
            rows: rows.map(|(key, row)| row.named(key)).collect(),
            version: self.version,
        }
    }

    pub(crate) fn rows(&self, keys: &[RowKey]) -> Vec<Row> {
        let keys: BTreeSet<&RowKey> = keys.iter().collect();
        keys.into_iter()
            .filter_map(|key| self.rows.get(key).map(|row| row.named(key)))
            .collect()
    }

    pub(crate) fn past_rows(&self, filter: &PastFilter) -> Vec<Row> {
        let after = filter
            .after
            .clone()
            .map_or(Bound::Unbounded, Bound::Excluded);
        self.rows
            .range((after, Bound::Unbounded))
            .filter(|(_, row)| !row.working)
            .filter(|(key, _)| filter.kind.as_ref().is_none_or(|kind| *kind == key.kind))
            .filter(|(_, row)| {
                let wanted = filter.depends_on.as_deref();
                wanted.is_none_or(|wanted| depends_on(&row.body).as_deref() == Some(wanted))
            })
            .take(filter.limit)
            .map(|(key, row)| row.named(key))
            .collect()
    }

    pub(crate) fn history(&self, filter: &HistoryFilter) -> Vec<StoredHistory> {
        let after = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        match filter.order {
            HistoryOrder::OldestFirst => {
                page(self.history.range((after, Bound::Unbounded)), filter)
            }
            HistoryOrder::NewestFirst => {
                page(self.history.range((Bound::Unbounded, after)).rev(), filter)
            }
        }
    }

    /// Removes what is only for replay and lies before the newest snapshot of before `before`.
    pub(crate) fn prune_history(&mut self, before: Timestamp) -> usize {
        let is_base =
            |entry: &HistoryEntry| entry.kind == HistoryKind::Snapshot && entry.at < before;
        let base = self.history.iter().rev().find(|(_, entry)| is_base(entry));
        let Some(base) = base.map(|(sequence, _)| *sequence) else {
            return 0;
        };
        let all = self.history.len();
        self.history
            .retain(|sequence, entry| *sequence >= base || !entry.kind.is_for_replay());
        all.saturating_sub(self.history.len())
    }
}

/// What a record says in its `depends_on`.
fn depends_on(body: &str) -> Option<String> {
    let record: serde_json::Value = serde_json::from_str(body).ok()?;
    record.get("depends_on")?.as_str().map(Into::into)
}

/// The first entries that the filter wants.
fn page<'a>(
    entries: impl Iterator<Item = (&'a u64, &'a HistoryEntry)>,
    filter: &HistoryFilter,
) -> Vec<StoredHistory> {
    entries
        .filter(|(_, entry)| filter.kind.is_none_or(|kind| kind == entry.kind))
        .filter(|(_, entry)| filter.subject.is_none() || filter.subject == entry.subject)
        .take(filter.limit)
        .map(|(sequence, entry)| StoredHistory {
            sequence: *sequence,
            entry: entry.clone(),
        })
        .collect()
}

impl StoredRow {
    fn named(&self, key: &RowKey) -> Row {
        Row {
            key: key.clone(),
            working: self.working,
            body: self.body.clone(),
        }
    }
}
