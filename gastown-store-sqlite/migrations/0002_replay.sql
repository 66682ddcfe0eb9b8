-- Replay: events and snapshots in the history, what is past by page, and sequences that pruning
-- does not give back.

ALTER TABLE towns ADD COLUMN history_sequence INTEGER NOT NULL DEFAULT 0
    CHECK (history_sequence >= 0);
UPDATE towns SET history_sequence =
    (SELECT coalesce(max(sequence), 0) FROM history WHERE history.town = towns.id);

CREATE INDEX rows_past ON rows (town, kind, id) WHERE working = 0;

-- A CHECK can't be changed: the table is made anew.
CREATE TABLE history_2 (
    town TEXT NOT NULL REFERENCES towns (id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    kind TEXT NOT NULL
        CHECK (kind IN ('bead_event', 'tick', 'command', 'event', 'snapshot', 'snapshot_rows')),
    subject TEXT
        CHECK (length(subject) BETWEEN 1 AND 1024
            AND NOT (subject GLOB '__*' AND subject GLOB '*__')),
    at INTEGER NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body) AND json_type(body) = 'object'),
    PRIMARY KEY (town, sequence)
) STRICT, WITHOUT ROWID;
INSERT INTO history_2 (town, sequence, kind, subject, at, body)
    SELECT town, sequence, kind, subject, at, body FROM history;
DROP TABLE history;
ALTER TABLE history_2 RENAME TO history;

CREATE INDEX history_by_kind ON history (town, kind, sequence);
CREATE INDEX history_by_subject ON history (town, subject, sequence) WHERE subject IS NOT NULL;
