//! Pruning: consumed events and finished effects of long ago.

use gastown_core::{Timestamp, TownId};
use rusqlite::{Connection, params};

use crate::failure::Failure;
use crate::sql;
use crate::town::{known, write};

/// Returns how many events and effects were removed.
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
        Ok(pruned)
    })
}
