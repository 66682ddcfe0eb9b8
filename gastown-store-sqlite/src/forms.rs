//! Stored rows that no engine wrote: the triggers of schema 4 keep new ones out, those of before are found
//! here. Every one is read and held against what a commit would be held against.

use gastown_core::{Effect, HistoryEntry, HistoryKind, Row, RowKey, Timestamp, TownId, wire};
use rusqlite::Connection;

use crate::failure::Failure;
use crate::sql;

/// As many as SQLite's own check names.
const PROBLEMS_MAX: usize = 100;

/// What is wrong with a row, if anything is, or why it can't be read.
type Problem = Result<Option<String>, rusqlite::Error>;

/// Looks at a row of one table.
type Check = fn(&rusqlite::Row<'_>) -> Problem;

/// The first rows that the engine would never have written, each named with what is wrong with it.
pub(crate) fn bad_rows(connection: &Connection) -> Result<Vec<String>, Failure> {
    let checks: [(&str, Check); 5] = [
        (sql::CHECK_TOWNS, town_problem),
        (sql::CHECK_ROWS, row_problem),
        (sql::CHECK_EVENTS, event_problem),
        (sql::CHECK_EFFECTS, effect_problem),
        (sql::CHECK_HISTORY, entry_problem),
    ];
    let mut problems = Vec::new();
    for (sql, problem) in checks {
        let mut statement = connection.prepare(sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            if problems.len() >= PROBLEMS_MAX {
                return Ok(problems);
            }
            // The first column says which row it is; a text that is none (UTF-8) is a problem as well.
            let found = problem(row).unwrap_or_else(|error| Some(error.to_string()));
            if let Some(found) = found {
                // `quote` gives the bytes of a text as they are, UTF-8 or not.
                let name = match row.get_ref(0)?.as_bytes() {
                    Ok(bytes) => String::from_utf8_lossy(bytes),
                    Err(_) => "a row without a name".into(),
                };
                // What is wrong may be a line break, and a problem is one line.
                let name = name.replace(char::is_control, "\u{fffd}");
                problems.push(format!("{name}: {found}"));
            }
        }
    }
    Ok(problems)
}

fn town_problem(row: &rusqlite::Row<'_>) -> Problem {
    let id = TownId::new(row.get::<_, String>(1)?).err();
    let holder = row.get::<_, Option<String>>(2)?;
    let holder = holder.and_then(|holder| gastown_core::Lease::validate_holder(&holder).err());
    let (end, last): (i64, Option<i64>) = (row.get(3)?, row.get(4)?);
    let beyond = last.filter(|last| *last > end).map(|last| {
        format!("its history goes to {last}, and is to end at {end} (history_sequence): no entry can follow")
    });
    Ok(id
        .map(|error| error.to_string())
        .or_else(|| holder.map(|error| error.to_string()))
        .or(beyond))
}

fn row_problem(row: &rusqlite::Row<'_>) -> Problem {
    let row = Row {
        key: RowKey {
            kind: row.get(1)?,
            id: row.get(2)?,
        },
        working: true,
        body: row.get(3)?,
    };
    Ok(row.problem())
}

fn event_problem(row: &rusqlite::Row<'_>) -> Problem {
    let (id, body, at): (String, String, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
    Ok(match wire::event_from_str(&body) {
        Ok(event) if event.id.as_str() != id => {
            Some(format!("its record is that of event {}", event.id))
        }
        Ok(event) if event.at.as_millis() != at => {
            Some(format!("its record says {}, the row {at} ms", event.at))
        }
        Ok(_) => None,
        Err(error) => Some(error.to_string()),
    })
}

fn effect_problem(row: &rusqlite::Row<'_>) -> Problem {
    let (kind, subject, attempt): (String, String, i64) = (row.get(1)?, row.get(2)?, row.get(3)?);
    let body: String = row.get(4)?;
    let is_own = |effect: &Effect| {
        let key = &effect.key;
        key.kind == kind && key.subject == subject && key.attempt.cast_signed() == attempt
    };
    Ok(match wire::effect_from_str(&body) {
        Ok(effect) if is_own(&effect) => None,
        Ok(effect) => Some(format!("its record is that of effect {}", effect.key)),
        Err(error) => Some(error.to_string()),
    })
}

fn entry_problem(row: &rusqlite::Row<'_>) -> Problem {
    // The kinds are the schema's: its CHECK knows no others.
    let entry = HistoryEntry {
        kind: HistoryKind::BeadEvent,
        subject: row.get(1)?,
        at: Timestamp::MIN,
        body: row.get(2)?,
    };
    Ok(entry.problem())
}
