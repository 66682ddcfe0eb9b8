//! Commits: all of the parts in one transaction.

use std::collections::BTreeSet;

use gastown_core::{Commit, Committed, StoreError, TownId};
use rusqlite::{Connection, params};

use crate::failure::Failure;
use crate::sql;
use crate::town::{TownRecord, clamped, find, refused, unsigned, write};
use crate::{history, inbox, outbox, rows};

/// Writes all of `commit`, which was validated before.
pub(crate) fn commit(
    connection: &mut Connection,
    town: &TownId,
    commit: Commit,
) -> Result<Committed, Failure> {
    write(connection, |transaction| {
        let found = find(transaction, town)?;
        check(town, &commit, found)?;
        let version = match found {
            Some(record) => {
                let next = record.version.saturating_add(1);
                let mut raise = transaction.prepare_cached(sql::RAISE_VERSION)?;
                raise.execute(params![town.as_str(), next])?;
                next
            }
            None => {
                let mut create = transaction.prepare_cached(sql::CREATE_TOWN)?;
                create.execute([town.as_str()])?;
                1
            }
        };
        let consumed: BTreeSet<_> = commit.consumed.into_iter().collect();
        inbox::consume(transaction, town, &consumed, commit.at)?;
        rows::change(
            transaction,
            town,
            &commit.changes.put,
            &commit.changes.delete,
        )?;
        history::tell(transaction, town, &commit.changes.history)?;
        let effects = outbox::ask(transaction, town, version, commit.effects)?;
        Ok(Committed::new(unsigned(version), effects))
    })
}

/// The lease first: to a fenced driver its version means nothing any more.
fn check(town: &TownId, commit: &Commit, found: Option<TownRecord>) -> Result<(), Failure> {
    if found.is_none() && commit.expected_version > 0 {
        return Err(StoreError::UnknownTown { town: town.clone() }.into());
    }
    let given = found.map_or(0, |record| unsigned(record.lease_token));
    match commit.lease_token {
        Some(token) if token < given => {
            return Err(StoreError::Fenced {
                town: town.clone(),
                token,
                current: given,
            }
            .into());
        }
        Some(token) if token > given => {
            let reason = format!("lease token {token} was never given, the last is {given}");
            return Err(refused("commit", reason));
        }
        Some(_) | None => {}
    }
    let actual = found.map_or(0, |record| unsigned(record.version));
    if commit.expected_version == actual {
        return Ok(());
    }
    Err(StoreError::Conflict {
        town: town.clone(),
        expected: commit.expected_version,
        actual,
    }
    .into())
}

/// The place of the `n`-th part of a commit.
pub(crate) fn place(n: usize) -> i64 {
    clamped(n)
}
