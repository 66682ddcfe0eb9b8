//! Effects: pending, or finished and remembered until they are pruned.

use gastown_core::{Effect, EffectKey, Finish, Timestamp, TownId};
use rusqlite::{Connection, OptionalExtension, params};

use crate::commit::place;
use crate::failure::Failure;
use crate::inbox::{self, EventRecord};
use crate::sql;
use crate::town::{damaged, known, read, refused, write};

/// Adds effects within a transaction; returns those whose keys were new.
pub(crate) fn ask(
    connection: &Connection,
    town: &TownId,
    version: i64,
    effects: Vec<Effect>,
) -> Result<Vec<Effect>, Failure> {
    let mut statement = connection.prepare_cached(sql::ASK)?;
    let mut new = Vec::new();
    for (n, effect) in effects.into_iter().enumerate() {
        let EffectKey {
            subject,
            kind,
            attempt,
        } = &effect.key;
        let body = serde_json::to_string(&effect).map_err(|error| {
            let reason = format!("effect {} can't be written: {error}", effect.key);
            refused("commit", reason)
        })?;
        let attempt = attempt.cast_signed();
        let row = params![
            town.as_str(),
            kind,
            subject,
            attempt,
            version,
            place(n),
            body
        ];
        if statement.execute(row)? > 0 {
            new.push(effect);
        }
    }
    Ok(new)
}

/// The pending effects, in the order of commit.
pub(crate) fn pending(connection: &mut Connection, town: &TownId) -> Result<Vec<Effect>, Failure> {
    read(connection, |transaction| {
        known(transaction, town)?;
        let mut statement = transaction.prepare_cached(sql::PENDING_EFFECTS)?;
        let mut rows = statement.query([town.as_str()])?;
        let mut effects = Vec::new();
        while let Some(row) = rows.next()? {
            let body = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            let effect = gastown_core::wire::effect_from_str(body);
            effects.push(effect.map_err(|error| damaged(town, "effect", error))?);
        }
        Ok(effects)
    })
}

/// Finishes a pending effect and appends its results; leaves a finished one alone.
pub(crate) fn finish(
    connection: &mut Connection,
    town: &TownId,
    key: &EffectKey,
    finish: Finish,
    results: &[EventRecord],
    now: Timestamp,
) -> Result<(), Failure> {
    write(connection, |transaction| {
        known(transaction, town)?;
        let (kind, subject, attempt) = (&key.kind, &key.subject, key.attempt.cast_signed());
        let mut statement = transaction.prepare_cached(sql::EFFECT)?;
        let is_pending = statement
            .query_row(params![town.as_str(), kind, subject, attempt], |row| {
                row.get(0)
            })
            .optional()?;
        match is_pending {
            None => {
                let reason = format!("effect {key} is not in the outbox");
                Err(refused("finish_effect", reason))
            }
            Some(false) => Ok(()),
            Some(true) => {
                let how = match finish {
                    Finish::Done => "done",
                    Finish::Withdrawn => "withdrawn",
                };
                let now = now.as_millis();
                let mut statement = transaction.prepare_cached(sql::FINISH)?;
                statement.execute(params![town.as_str(), kind, subject, attempt, now, how])?;
                inbox::insert(transaction, town, results)?;
                Ok(())
            }
        }
    })
}
