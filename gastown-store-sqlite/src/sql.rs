//! Every statement that runs while a town runs, in one place, so that a test can ask SQLite how it
//! would run each of them.

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:literal;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*

        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

statements! {
    TOWNS = "SELECT id FROM towns ORDER BY id";
    TOWN = "SELECT version, lease_token FROM towns WHERE id = ?1";
    CREATE_TOWN = "INSERT INTO towns (id, version) VALUES (?1, 1)";
    RAISE_VERSION = "UPDATE towns SET version = ?2 WHERE id = ?1";

    LEASE = "SELECT lease_token, lease_holder, lease_expires_at FROM towns WHERE id = ?1";
    TAKE_LEASE = "UPDATE towns SET lease_token = ?2, lease_holder = ?3, lease_expires_at = ?4
        WHERE id = ?1";
    RELEASE_LEASE = "UPDATE towns SET lease_holder = NULL, lease_expires_at = NULL
        WHERE id = ?1 AND lease_holder = ?2";

    /// The index is named because without statistics the primary key looks as good, and would
    /// step over all finished rows.
    LOAD = "SELECT kind, id, body FROM rows INDEXED BY rows_working
        WHERE town = ?1 AND working = 1 ORDER BY kind, id";
    ROW = "SELECT working, body FROM rows WHERE town = ?1 AND kind = ?2 AND id = ?3";
    /// What load leaves behind has an index of its own, too.
    PAST = "SELECT kind, id, body FROM rows INDEXED BY rows_past
        WHERE town = ?1 AND working = 0 AND (kind, id) > (?2, ?3) ORDER BY kind, id LIMIT ?4";
    PAST_OF_KIND = "SELECT kind, id, body FROM rows INDEXED BY rows_past
        WHERE town = ?1 AND working = 0 AND kind = ?2 AND id > ?3 ORDER BY id LIMIT ?4";
    PAST_TO = "SELECT kind, id, body FROM rows INDEXED BY rows_past_depends_on
        WHERE town = ?1 AND working = 0 AND depends_on = ?5 AND (kind, id) > (?2, ?3)
        ORDER BY kind, id LIMIT ?4";
    PAST_OF_KIND_TO = "SELECT kind, id, body FROM rows INDEXED BY rows_past_depends_on
        WHERE town = ?1 AND working = 0 AND depends_on = ?5 AND kind = ?2 AND id > ?3
        ORDER BY id LIMIT ?4";
    PUT = "INSERT INTO rows (town, kind, id, working, body) VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (town, kind, id) DO UPDATE SET working = excluded.working, body = excluded.body";
    DELETE = "DELETE FROM rows WHERE town = ?1 AND kind = ?2 AND id = ?3";

    APPEND = "INSERT INTO events (town, id, at, body) VALUES (?1, ?2, ?3, ?4)
        ON CONFLICT (town, id) DO NOTHING";
    PENDING_EVENTS = "SELECT body FROM events
        WHERE town = ?1 AND consumed_at IS NULL ORDER BY at, id LIMIT ?2";
    CONSUME = "UPDATE events SET consumed_at = ?3
        WHERE town = ?1 AND id = ?2 AND consumed_at IS NULL";
    PRUNE_EVENTS = "DELETE FROM events WHERE town = ?1 AND consumed_at < ?2";

    ASK = "INSERT INTO effects (town, kind, subject, attempt, version, place, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (town, kind, subject, attempt) DO NOTHING";
    PENDING_EFFECTS = "SELECT body FROM effects
        WHERE town = ?1 AND finished_at IS NULL ORDER BY version, place";
    EFFECT = "SELECT finished_at IS NULL FROM effects
        WHERE town = ?1 AND kind = ?2 AND subject = ?3 AND attempt = ?4";
    FINISH = "UPDATE effects SET finished_at = ?5, finish = ?6
        WHERE town = ?1 AND kind = ?2 AND subject = ?3 AND attempt = ?4";
    PRUNE_EFFECTS = "DELETE FROM effects WHERE town = ?1 AND finished_at < ?2";

    /// The end of the history as it was ever written: pruning gives no sequence back.
    HISTORY_END = "SELECT history_sequence FROM towns WHERE id = ?1";
    SET_HISTORY_END = "UPDATE towns SET history_sequence = ?2 WHERE id = ?1";
    TELL = "INSERT INTO history (town, sequence, kind, subject, at, body)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    HISTORY = "SELECT sequence, kind, subject, at, body FROM history
        WHERE town = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3";
    HISTORY_BY_KIND = "SELECT sequence, kind, subject, at, body FROM history
        INDEXED BY history_by_kind
        WHERE town = ?1 AND sequence > ?2 AND kind = ?4 ORDER BY sequence LIMIT ?3";
    HISTORY_BY_SUBJECT = "SELECT sequence, kind, subject, at, body FROM history
        INDEXED BY history_by_subject
        WHERE town = ?1 AND sequence > ?2 AND subject = ?4 ORDER BY sequence LIMIT ?3";
    HISTORY_BY_BOTH = "SELECT sequence, kind, subject, at, body FROM history
        INDEXED BY history_by_subject
        WHERE town = ?1 AND sequence > ?2 AND subject = ?4 AND kind = ?5
        ORDER BY sequence LIMIT ?3";
    NEWEST = "SELECT sequence, kind, subject, at, body FROM history
        WHERE town = ?1 AND sequence < ?2 ORDER BY sequence DESC LIMIT ?3";
    NEWEST_BY_KIND = "SELECT sequence, kind, subject, at, body FROM history
        INDEXED BY history_by_kind
        WHERE town = ?1 AND sequence < ?2 AND kind = ?4 ORDER BY sequence DESC LIMIT ?3";
    NEWEST_BY_SUBJECT = "SELECT sequence, kind, subject, at, body FROM history
        INDEXED BY history_by_subject
        WHERE town = ?1 AND sequence < ?2 AND subject = ?4 ORDER BY sequence DESC LIMIT ?3";
    NEWEST_BY_BOTH = "SELECT sequence, kind, subject, at, body FROM history
        INDEXED BY history_by_subject
        WHERE town = ?1 AND sequence < ?2 AND subject = ?4 AND kind = ?5
        ORDER BY sequence DESC LIMIT ?3";
    BASE = "SELECT sequence FROM history INDEXED BY history_by_kind
        WHERE town = ?1 AND kind = 'snapshot' AND at < ?2 ORDER BY sequence DESC LIMIT 1";
    /// The kinds are those of `HistoryKind::is_for_replay`.
    PRUNE_HISTORY = "DELETE FROM history INDEXED BY history_by_kind WHERE town = ?1 AND sequence < ?2
        AND kind IN ('tick', 'command', 'event', 'snapshot', 'snapshot_rows')";

    /// For the check of a whole file: the first column names the row, quoted, whatever it holds.
    CHECK_TOWNS = "SELECT 'town ' || quote(id), id, lease_holder, history_sequence,
        (SELECT max(sequence) FROM history WHERE town = towns.id) FROM towns";
    CHECK_ROWS = "SELECT 'town ' || quote(town) || ': row ' || quote(kind) || '/' || quote(id),
        kind, id, body FROM rows";
    CHECK_EVENTS = "SELECT 'town ' || quote(town) || ': event ' || quote(id), id, body, at FROM events";
    CHECK_EFFECTS = "SELECT 'town ' || quote(town) || ': effect ' || quote(kind) || ' of ' || quote(subject)
        || ' #' || attempt, kind, subject, attempt, body FROM effects";
    CHECK_HISTORY = "SELECT 'town ' || quote(town) || ': history ' || sequence, subject, body FROM history";
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;
    use crate::migrate::migrate;

    fn plan(connection: &Connection, sql: &str) -> Vec<String> {
        let mut statement = connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .unwrap();
        let lines = statement.raw_query().mapped(|row| row.get("detail"));
        lines.collect::<Result<_, _>>().unwrap()
    }

    /// Reading all towns reads all of `towns`, which has one row per town, and a check reads everything;
    /// nothing else scans, and nothing sorts.
    #[test]
    fn no_statement_scans_or_sorts() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        for (name, sql) in ALL {
            let plan = plan(&connection, sql);
            let bad = |line: &String| line.contains("SCAN") || line.contains("TEMP B-TREE");
            let reads_all = *name == "TOWNS" || name.starts_with("CHECK_");
            assert_eq!(plan.iter().any(bad), reads_all, "{name}: {plan:#?}");
        }
    }

    /// How each statement finds its rows: by every column that it can be found by, and in order. One
    /// that is new or goes another way has to be looked at, and written here. (A new town may be what
    /// orphans of this transaction wait for, so SQLite is ready to look for them.)
    #[test]
    fn each_statement_finds_its_rows_by_its_index() {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate(&mut connection).unwrap();
        let shown = |plan: Vec<String>| match plan.as_slice() {
            [] => "looks for nothing".into(),
            steps => steps.join("; "),
        };
        let plans: Vec<String> = ALL
            .iter()
            .map(|(name, sql)| format!("{name}: {}", shown(plan(&connection, sql))))
            .collect();
        assert_eq!(plans.join("\n"), PLANS.trim());
    }

    const PLANS: &str = "
TOWNS: SCAN towns
TOWN: SEARCH towns USING PRIMARY KEY (id=?)
CREATE_TOWN: SEARCH history USING PRIMARY KEY (town=?); SEARCH effects USING PRIMARY KEY (town=?); SEARCH events USING PRIMARY KEY (town=?); SEARCH rows USING PRIMARY KEY (town=?)
RAISE_VERSION: SEARCH towns USING PRIMARY KEY (id=?)
LEASE: SEARCH towns USING PRIMARY KEY (id=?)
TAKE_LEASE: SEARCH towns USING PRIMARY KEY (id=?)
RELEASE_LEASE: SEARCH towns USING PRIMARY KEY (id=?)
LOAD: SEARCH rows USING INDEX rows_working (town=?)
ROW: SEARCH rows USING PRIMARY KEY (town=? AND kind=? AND id=?)
PAST: SEARCH rows USING INDEX rows_past (town=? AND (kind,id)>(?,?))
PAST_OF_KIND: SEARCH rows USING INDEX rows_past (town=? AND kind=? AND id>?)
PAST_TO: SEARCH rows USING INDEX rows_past_depends_on (town=? AND depends_on=? AND (kind,id)>(?,?))
PAST_OF_KIND_TO: SEARCH rows USING INDEX rows_past_depends_on (town=? AND depends_on=? AND kind=? AND id>?)
PUT: looks for nothing
DELETE: SEARCH rows USING PRIMARY KEY (town=? AND kind=? AND id=?)
APPEND: looks for nothing
PENDING_EVENTS: SEARCH events USING INDEX events_pending (town=?)
CONSUME: SEARCH events USING PRIMARY KEY (town=? AND id=?)
PRUNE_EVENTS: SEARCH events USING INDEX events_consumed (town=? AND consumed_at<?)
ASK: looks for nothing
PENDING_EFFECTS: SEARCH effects USING INDEX effects_pending (town=?)
EFFECT: SEARCH effects USING PRIMARY KEY (town=? AND kind=? AND subject=? AND attempt=?)
FINISH: SEARCH effects USING PRIMARY KEY (town=? AND kind=? AND subject=? AND attempt=?)
PRUNE_EFFECTS: SEARCH effects USING INDEX effects_finished (town=? AND finished_at<?)
HISTORY_END: SEARCH towns USING PRIMARY KEY (id=?)
SET_HISTORY_END: SEARCH towns USING PRIMARY KEY (id=?)
TELL: looks for nothing
HISTORY: SEARCH history USING PRIMARY KEY (town=? AND sequence>?)
HISTORY_BY_KIND: SEARCH history USING INDEX history_by_kind (town=? AND kind=? AND sequence>?)
HISTORY_BY_SUBJECT: SEARCH history USING INDEX history_by_subject (town=? AND subject=? AND sequence>?)
HISTORY_BY_BOTH: SEARCH history USING INDEX history_by_subject (town=? AND subject=? AND sequence>?)
NEWEST: SEARCH history USING PRIMARY KEY (town=? AND sequence<?)
NEWEST_BY_KIND: SEARCH history USING INDEX history_by_kind (town=? AND kind=? AND sequence<?)
NEWEST_BY_SUBJECT: SEARCH history USING INDEX history_by_subject (town=? AND subject=? AND sequence<?)
NEWEST_BY_BOTH: SEARCH history USING INDEX history_by_subject (town=? AND subject=? AND sequence<?)
BASE: SEARCH history USING INDEX history_by_kind (town=? AND kind=?)
PRUNE_HISTORY: SEARCH history USING INDEX history_by_kind (town=? AND kind=? AND sequence<?)
CHECK_TOWNS: SCAN towns; CORRELATED SCALAR SUBQUERY 1; SEARCH history USING PRIMARY KEY (town=?)
CHECK_ROWS: SCAN rows
CHECK_EVENTS: SCAN events
CHECK_EFFECTS: SCAN effects
CHECK_HISTORY: SCAN history
";
}
