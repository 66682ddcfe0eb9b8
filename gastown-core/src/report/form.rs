//! Reports as text, and back.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use super::hide::{Hider, secrets_of};
use super::{REPORT_FORMAT, Report, check, names};
use crate::ids::shown;
use crate::store::{HistoryKind, Row, StoredHistory};
use crate::tick::{SnapshotRowsRecord, to_json};
use crate::wire::{self, WireError};

/// How much of an unknown word an error shows.
const SHOWN_CHARACTERS_MAX: usize = 80;

impl Report {
    /// The report as text (see [the module](crate::report)).
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let mut lines: usize = 0;
        let mut line = |value: Value| {
            text.push_str(&value.to_string());
            text.push('\n');
            lines = lines.saturating_add(1);
        };
        line(json!({"format": REPORT_FORMAT, "town": self.town, "version": self.version}));
        self.rows.iter().for_each(|row| line(json!({ "row": row })));
        self.events
            .iter()
            .for_each(|event| line(json!({ "event": event })));
        self.effects
            .iter()
            .for_each(|effect| line(json!({ "effect": effect })));
        self.history
            .iter()
            .for_each(|kept| line(json!({ "history": kept })));
        let end = json!({ "end": lines });
        text.push_str(&end.to_string());
        text.push('\n');
        text
    }

    /// Reads a report.
    ///
    /// # Errors
    /// [`WireError`] names the line, the path within it and what was expected: another format, an
    /// unknown field, a missing end.
    pub fn from_text(text: &str) -> Result<Self, WireError> {
        let mut lines = (1_usize..).zip(text.lines());
        let Some((_, head)) = lines.next() else {
            return Err(WireError::new("line 1", "the text is empty"));
        };
        let mut report = head_of(head).map_err(|error| error.under("line 1"))?;
        let mut ended = false;
        for (number, line) in lines {
            let at = format!("line {number}");
            if ended {
                return Err(WireError::new(at, "nothing may follow the end"));
            }
            ended = report
                .take_line(line, number.saturating_sub(1))
                .map_err(|error| error.under(&at))?;
        }
        if ended {
            return Ok(report);
        }
        Err(WireError::new(".", "the last line, `end`, is missing"))
    }

    /// Takes one line; says whether it was the last.
    fn take_line(&mut self, line: &str, before: usize) -> Result<bool, WireError> {
        let mut object: Map<String, Value> = wire::read_value(wire::parse(line)?)?;
        let mut names = object.keys().cloned();
        let (Some(name), None) = (names.next(), names.next()) else {
            return Err(WireError::new(".", "expected one field"));
        };
        drop(names);
        match name.as_str() {
            "row" => self.rows.push(read_row(&mut object)?),
            "event" => self.events.push(wire::take(&mut object, "event")?),
            "effect" => self.effects.push(wire::take(&mut object, "effect")?),
            "history" => self.history.push(wire::take(&mut object, "history")?),
            "end" => {
                let lines: usize = wire::take(&mut object, "end")?;
                if lines != before {
                    let problem = format!("{lines} lines were written, {before} are here");
                    return Err(WireError::new("end", problem));
                }
                return Ok(true);
            }
            other => {
                let other = shown(other, SHOWN_CHARACTERS_MAX);
                let problem = "expected `row`, `event`, `effect`, `history` or `end`";
                return Err(WireError::new(other, problem));
            }
        }
        Ok(false)
    }
}

fn head_of(line: &str) -> Result<Report, WireError> {
    let mut object: Map<String, Value> = wire::read_value(wire::parse(line)?)?;
    let found: String = wire::take(&mut object, "format")?;
    if found != REPORT_FORMAT {
        let found = shown(&found, SHOWN_CHARACTERS_MAX);
        let problem = format!("unknown format \"{found}\", expected \"{REPORT_FORMAT}\"");
        return Err(WireError::new("format", problem));
    }
    let report = Report {
        town: wire::take(&mut object, "town")?,
        version: wire::take(&mut object, "version")?,
        rows: Vec::new(),
        events: Vec::new(),
        effects: Vec::new(),
        history: Vec::new(),
    };
    match object.keys().next() {
        None => Ok(report),
        Some(name) => Err(WireError::new(name.to_string(), "unknown field")),
    }
}

fn read_row(object: &mut Map<String, Value>) -> Result<Row, WireError> {
    let row: Row = wire::take(object, "row")?;
    if crate::town::is_secret_row(&row.key) {
        return Err(WireError::new("row", "a report holds no secrets"));
    }
    Ok(row)
}

/// The same report without secrets; `secrets` are the rows that hold them.
pub(super) fn hidden(report: &Report, secrets: &[Row]) -> Result<Report, WireError> {
    let texts = texts(report)?;
    let hider = Hider::new(secrets_of(secrets), texts.iter().map(String::as_str));
    let hider = &hider.leaving(check::field_names(&report.rows));
    let mut hidden = report.clone();
    hidden.town = names::hide_town(&report.town, hider)?;
    for row in &mut hidden.rows {
        names::hide_row(row, hider)?;
    }
    for kept in &mut hidden.history {
        hide_entry(kept, hider)?;
    }
    hidden.events = hide_all(&report.events, "event", hider)?;
    hidden.effects = hide_all(&report.effects, "effect", hider)?;
    check::still_reads(report, &hidden)?;
    // In the order in which a store would have them: that of the names that they have now.
    hidden
        .rows
        .sort_by(|a, b| (!a.working, &a.key).cmp(&(!b.working, &b.key)));
    hidden
        .events
        .sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
    names::still_differ(&hidden)?;
    Ok(hidden)
}

/// All in a report that may hold a secret.
fn texts(report: &Report) -> Result<Vec<String>, WireError> {
    let mut texts: Vec<String> = report.rows.iter().map(|row| row.body.clone()).collect();
    for kept in &report.history {
        if kept.entry.kind == HistoryKind::SnapshotRows {
            let record = rows_of(kept)?;
            texts.extend(record.rows.into_iter().map(|row| row.body));
        } else {
            texts.push(kept.entry.body.clone());
        }
    }
    texts.extend(report.events.iter().map(|event| to_json(event).to_string()));
    texts.extend(
        report
            .effects
            .iter()
            .map(|effect| to_json(effect).to_string()),
    );
    Ok(texts)
}

fn hide_entry(kept: &mut StoredHistory, hider: &Hider) -> Result<(), WireError> {
    if let Some(subject) = &mut kept.entry.subject {
        *subject = hider.hide_text(subject);
    }
    kept.entry.body = match kept.entry.kind {
        HistoryKind::SnapshotRows => hidden_rows(kept, hider)?,
        HistoryKind::BeadEvent
        | HistoryKind::Tick
        | HistoryKind::Command
        | HistoryKind::Event
        | HistoryKind::Snapshot => hider.hide(&kept.entry.body),
    };
    Ok(())
}

/// The rows of a snapshot are JSON within JSON: each is taken out first.
fn hidden_rows(kept: &StoredHistory, hider: &Hider) -> Result<String, WireError> {
    let mut record = rows_of(kept)?;
    for row in &mut record.rows {
        names::hide_row(row, hider).map_err(|error| error.under(&check::shown(kept)))?;
    }
    Ok(to_json(&record).to_string())
}

/// The rows that an entry of the history holds. The error shows nothing of them: what in it is a
/// secret nobody could say.
pub(super) fn rows_of(kept: &StoredHistory) -> Result<SnapshotRowsRecord, WireError> {
    let record = wire::parse(&kept.entry.body).and_then(wire::read_value);
    record.map_err(|_| WireError::new(check::shown(kept), "its rows can't be read"))
}

fn hide_all<T: serde::Serialize + DeserializeOwned>(
    list: &[T],
    what: &str,
    hider: &Hider,
) -> Result<Vec<T>, WireError> {
    let hidden = (1_usize..).zip(list).map(|(number, item)| {
        let before = to_json(item).to_string();
        let hidden = hider.hide(&before);
        let read =
            check::members(&before, &hidden).and_then(|()| wire::read_value(wire::parse(&hidden)?));
        read.map_err(|error| error.under(&format!("{what} {number}")))
    });
    hidden.collect()
}
