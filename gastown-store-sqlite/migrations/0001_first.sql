-- The first schema. A published migration is never edited; the next change is the next file.
--
-- Names are checked here too, so that the commonest mistakes of other programs are refused: not empty,
-- not reserved (`__x__`). "No rig" is null.

CREATE TABLE towns (
    id TEXT NOT NULL PRIMARY KEY
        CHECK (length(id) BETWEEN 1 AND 128 AND NOT (id GLOB '__*' AND id GLOB '*__')),
    version INTEGER NOT NULL CHECK (version >= 1),
    -- The last fencing token that was given; 0 before the first.
    lease_token INTEGER NOT NULL DEFAULT 0 CHECK (lease_token >= 0),
    lease_holder TEXT CHECK (length(lease_holder) BETWEEN 1 AND 1024
        AND NOT (lease_holder GLOB '__*' AND lease_holder GLOB '*__')),
    lease_expires_at INTEGER,
    CHECK ((lease_holder IS NULL) = (lease_expires_at IS NULL))
) STRICT, WITHOUT ROWID;

CREATE TABLE rows (
    town TEXT NOT NULL REFERENCES towns (id),
    kind TEXT NOT NULL
        CHECK (length(kind) BETWEEN 1 AND 1024 AND NOT (kind GLOB '__*' AND kind GLOB '*__')),
    id TEXT NOT NULL
        CHECK (length(id) BETWEEN 1 AND 1024 AND NOT (id GLOB '__*' AND id GLOB '*__')),
    -- Whether loading the town reads it; 0 is history.
    working INTEGER NOT NULL CHECK (working IN (0, 1)),
    body TEXT NOT NULL CHECK (json_valid(body) AND json_type(body) = 'object'),
    rig_id TEXT GENERATED ALWAYS AS (json_extract(body, '$.rig_id')) VIRTUAL
        CHECK (length(rig_id) BETWEEN 1 AND 128
            AND NOT (rig_id GLOB '__*' AND rig_id GLOB '*__')),
    CHECK (json_type(body, '$.rig_id') IN ('text', 'null')),
    PRIMARY KEY (town, kind, id)
) STRICT, WITHOUT ROWID;

-- Finished rows pile up for ever; loading must not step over them.
CREATE INDEX rows_working ON rows (town, kind, id) WHERE working = 1;

CREATE TABLE events (
    town TEXT NOT NULL REFERENCES towns (id),
    id TEXT NOT NULL
        CHECK (length(id) BETWEEN 1 AND 128 AND NOT (id GLOB '__*' AND id GLOB '*__')),
    -- When it happened, in milliseconds since 1970.
    at INTEGER NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body) AND json_type(body) = 'object'),
    -- The time of the commit that consumed it; null while it is pending.
    consumed_at INTEGER,
    PRIMARY KEY (town, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX events_pending ON events (town, at, id) WHERE consumed_at IS NULL;
CREATE INDEX events_consumed ON events (town, consumed_at) WHERE consumed_at IS NOT NULL;

CREATE TABLE effects (
    town TEXT NOT NULL REFERENCES towns (id),
    kind TEXT NOT NULL
        CHECK (length(kind) BETWEEN 1 AND 1024 AND NOT (kind GLOB '__*' AND kind GLOB '*__')),
    subject TEXT NOT NULL
        CHECK (length(subject) BETWEEN 1 AND 1024
            AND NOT (subject GLOB '__*' AND subject GLOB '*__')),
    -- As a signed number; the body has it as it is.
    attempt INTEGER NOT NULL,
    -- Their order: the version of the commit that asked for it, and its place in that commit.
    version INTEGER NOT NULL CHECK (version >= 1),
    place INTEGER NOT NULL CHECK (place >= 0),
    body TEXT NOT NULL CHECK (json_valid(body) AND json_type(body) = 'object'),
    finished_at INTEGER,
    finish TEXT CHECK (finish IN ('done', 'withdrawn')),
    CHECK ((finished_at IS NULL) = (finish IS NULL)),
    PRIMARY KEY (town, kind, subject, attempt)
) STRICT, WITHOUT ROWID;

CREATE INDEX effects_pending ON effects (town, version, place) WHERE finished_at IS NULL;
CREATE INDEX effects_finished ON effects (town, finished_at) WHERE finished_at IS NOT NULL;

CREATE TABLE history (
    town TEXT NOT NULL REFERENCES towns (id),
    sequence INTEGER NOT NULL CHECK (sequence >= 1),
    kind TEXT NOT NULL CHECK (kind IN ('bead_event', 'tick', 'command')),
    subject TEXT
        CHECK (length(subject) BETWEEN 1 AND 1024
            AND NOT (subject GLOB '__*' AND subject GLOB '*__')),
    at INTEGER NOT NULL,
    body TEXT NOT NULL CHECK (json_valid(body) AND json_type(body) = 'object'),
    PRIMARY KEY (town, sequence)
) STRICT, WITHOUT ROWID;

CREATE INDEX history_by_kind ON history (town, kind, sequence);
CREATE INDEX history_by_subject ON history (town, subject, sequence) WHERE subject IS NOT NULL;
