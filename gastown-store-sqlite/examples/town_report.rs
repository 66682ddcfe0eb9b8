//! Takes a town out of a SQLite file as one report, puts it into another file, and replays it.
//!
//! ```text
//! cargo run -p gastown-store-sqlite --example town_report -- towns  town.db
//! cargo run -p gastown-store-sqlite --example town_report -- export town.db t1 > t1.report
//! cargo run -p gastown-store-sqlite --example town_report -- replay t1.report
//! cargo run -p gastown-store-sqlite --example town_report -- import t1.report other.db
//! ```
//!
//! A report has no secrets; exporting does not stop the town. Replaying ends with 0 if what is
//! recorded gives the same bytes, with 1 and the first difference if not.

use std::error::Error;
use std::fs;
use std::process::ExitCode;

use futures_executor::block_on;
use gastown_core::report::Report;
use gastown_core::{Store, Timestamp, TownId};
use gastown_store_sqlite::{Options, SqliteStore};

const USAGE: &str =
    "usage: town_report towns FILE | export FILE TOWN | replay REPORT | import REPORT FILE";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments.as_slice() {
        ["towns", file] => block_on(towns(file)),
        ["export", file, town] => block_on(export(file, town)),
        ["replay", report] => replay(report),
        ["import", report, file] => block_on(import(report, file)),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("town_report: {}", causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

async fn towns(file: &str) -> Result<String, Box<dyn Error>> {
    let store = SqliteStore::open_read_only(file).await?;
    let towns = store.towns().await?;
    Ok(towns.iter().map(|town| format!("{town}\n")).collect())
}

async fn export(file: &str, town: &str) -> Result<String, Box<dyn Error>> {
    let store = SqliteStore::open_read_only(file).await?;
    let report = Report::export(&store, &TownId::new(town)?).await?;
    Ok(report.to_text())
}

fn read(path: &str) -> Result<Report, Box<dyn Error>> {
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    Ok(Report::from_text(&text).map_err(|error| format!("{path}: {error}"))?)
}

fn replay(path: &str) -> Result<String, Box<dyn Error>> {
    let report = read(path)?;
    let replayed = report.replay()?;
    match report.first_difference(&replayed) {
        None => Ok(format!(
            "town {}: {} ticks replayed to version {}, {} rows, the same bytes{}\n",
            report.town,
            replayed.ticks,
            replayed.version,
            replayed.rows.len(),
            match replayed.unrecorded {
                0 => String::new(),
                versions => format!("; {versions} versions were committed without a record"),
            }
        )),
        Some(difference) => Err(difference.into()),
    }
}

async fn import(path: &str, file: &str) -> Result<String, Box<dyn Error>> {
    let report = read(path)?;
    let store = SqliteStore::open(file, Options::safe()).await?;
    // The town goes on when it stopped.
    let last = report.history.iter().map(|kept| kept.entry.at).max();
    let now = last.unwrap_or(Timestamp::MIN);
    report.import(&store, now).await?;
    Ok(format!("town {} is in {file}\n", report.town))
}
