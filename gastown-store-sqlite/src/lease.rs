//! Leases: who may drive a town.

use std::time::Duration;

use gastown_core::{Lease, StoreError, Timestamp, TownId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::failure::Failure;
use crate::sql;
use crate::town::{known, time, unsigned, write};

/// Takes or extends the lease.
pub(crate) fn take(
    connection: &mut Connection,
    town: &TownId,
    holder: &str,
    ttl: Duration,
    now: Timestamp,
) -> Result<Lease, Failure> {
    write(connection, |transaction| {
        let (last_token, held) = held(transaction, town)?;
        let token = match held.filter(|(_, expires_at)| now < *expires_at) {
            Some((current, until)) if current != holder => {
                return Err(StoreError::Leased {
                    town: town.clone(),
                    holder: current,
                    until,
                }
                .into());
            }
            Some(_) => last_token,
            None => last_token.saturating_add(1),
        };
        let expires_at = now.plus(ttl);
        let mut statement = transaction.prepare_cached(sql::TAKE_LEASE)?;
        statement.execute(params![
            town.as_str(),
            token,
            holder,
            expires_at.as_millis()
        ])?;
        Ok(Lease {
            holder: holder.to_string(),
            token: unsigned(token),
            expires_at,
        })
    })
}

/// Gives the lease back, if `holder` has it.
pub(crate) fn release(
    connection: &mut Connection,
    town: &TownId,
    holder: &str,
) -> Result<(), Failure> {
    write(connection, |transaction| {
        known(transaction, town)?;
        let mut statement = transaction.prepare_cached(sql::RELEASE_LEASE)?;
        statement.execute([town.as_str(), holder])?;
        Ok(())
    })
}

type Held = Option<(String, Timestamp)>;

/// The last token that was given, and who has the lease until when.
fn held(connection: &Connection, town: &TownId) -> Result<(i64, Held), Failure> {
    let mut statement = connection.prepare_cached(sql::LEASE)?;
    let found = statement.query_row([town.as_str()], |row| {
        let token: i64 = row.get(0)?;
        let holder: Option<String> = row.get(1)?;
        let expires_at: Option<i64> = row.get(2)?;
        Ok((token, holder.zip(expires_at.map(time))))
    });
    found
        .optional()?
        .ok_or_else(|| StoreError::UnknownTown { town: town.clone() }.into())
}
