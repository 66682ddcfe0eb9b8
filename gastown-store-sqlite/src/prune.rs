//! Pruning: consumed events and finished effects of long ago, and what a replay no longer needs.

use gastown_core::{Timestamp, TownId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::sql;
use crate::town::{known, write};

/// Returns how many events, effects and history entries were removed.
pub(crate) fn prune(
    connection: &mut Connection,
    town: &TownId,
    before: Timestamp,
) -> Result<usize, Failure> {
    write(connection, |transaction| {
        known(transaction, town)?;
        let mut pruned: usize = 0;
        for sql in [sql::PRUNE_EVENTS, sql::PRUNE_EFFECTS] {
            let mut statement = transaction.prepare_cached(sql)?;
            let removed = statement.execute(params![town.as_str(), before.as_millis()])?;
            pruned = pruned.saturating_add(removed);
        }
        // Replay begins at a snapshot; everything since the newest that is old enough stays.
        let mut statement = transaction.prepare_cached(sql::BASE)?;
        let base: Option<i64> = statement
            .query_row(params![town.as_str(), before.as_millis()], |row| row.get(0))
            .optional()?;
        if let Some(base) = base {
            let mut statement = transaction.prepare_cached(sql::PRUNE_HISTORY)?;
            let removed = statement.execute(params![town.as_str(), base])?;
            pruned = pruned.saturating_add(removed);
        }
        Ok(pruned)
    })
}
