-- A file of schema 4 that holds the same as the sample of schema 1. Never edited: it stands for the
-- files that people have.

PRAGMA application_id = 1197568852;
PRAGMA user_version = 4;

CREATE TABLE towns (
    id TEXT NOT NULL PRIMARY KEY
        CHECK (length(id) BETWEEN 1 AND 128 AND NOT (id GLOB '__*' AND id GLOB '*__')),
    version INTEGER NOT NULL CHECK (version >= 1),
    -- The last fencing token that was given; 0 before the first.
    lease_token INTEGER NOT NULL DEFAULT 0 CHECK (lease_token >= 0),
    lease_holder TEXT CHECK (length(lease_holder) BETWEEN 1 AND 1024
        AND NOT (lease_holder GLOB '__*' AND lease_holder GLOB '*__')),
    lease_expires_at INTEGER, history_sequence INTEGER NOT NULL DEFAULT 0
    CHECK (history_sequence >= 0),
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
            AND NOT (rig_id GLOB '__*' AND rig_id GLOB '*__')), depends_on TEXT GENERATED ALWAYS AS (
    CASE WHEN json_type(body, '$.depends_on') = 'text' THEN json_extract(body, '$.depends_on') END
) VIRTUAL,
    CHECK (json_type(body, '$.rig_id') IN ('text', 'null')),
    PRIMARY KEY (town, kind, id)
) STRICT, WITHOUT ROWID;

CREATE INDEX rows_working ON rows (town, kind, id) WHERE working = 1;

CREATE INDEX rows_past ON rows (town, kind, id) WHERE working = 0;

CREATE INDEX rows_past_depends_on ON rows (town, depends_on, kind, id)
    WHERE working = 0 AND depends_on IS NOT NULL;

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

CREATE TABLE "history" (
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

CREATE INDEX history_by_kind ON history (town, kind, sequence);

CREATE INDEX history_by_subject ON history (town, subject, sequence) WHERE subject IS NOT NULL;

CREATE VIEW forms AS SELECT
    char(0) AS nul,
    '*[' || char(1, 45, 31, 127, 45, 159) || ']*' AS control,
    '*[' || char(1, 45, 32, 127, 45, 160, 0x1680, 0x2000, 45, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f, 0x3000)
        || ']*' AS blank;

CREATE TRIGGER towns_insert AFTER INSERT ON towns BEGIN
    SELECT RAISE(ABORT, 'towns.id is no identifier') FROM forms
        WHERE instr(NEW.id, nul) OR NEW.id GLOB blank OR length(CAST(NEW.id AS BLOB)) > 128;
    SELECT RAISE(ABORT, 'towns.lease_holder is no name') FROM forms
        WHERE instr(NEW.lease_holder, nul) OR NEW.lease_holder GLOB control
            OR length(CAST(NEW.lease_holder AS BLOB)) > 1024;
END;

CREATE TRIGGER towns_update_lease_holder BEFORE UPDATE OF lease_holder ON towns BEGIN
    SELECT RAISE(ABORT, 'towns.lease_holder is no name') FROM forms
        WHERE instr(NEW.lease_holder, nul) OR NEW.lease_holder GLOB control
            OR length(CAST(NEW.lease_holder AS BLOB)) > 1024;
END;

CREATE TRIGGER rows_insert AFTER INSERT ON rows BEGIN
    SELECT RAISE(ABORT, 'rows.town is not there')
        WHERE NOT EXISTS (SELECT 1 FROM towns WHERE id = NEW.town);
    SELECT RAISE(ABORT, 'rows.kind is no name') FROM forms
        WHERE instr(NEW.kind, nul) OR NEW.kind GLOB control OR length(CAST(NEW.kind AS BLOB)) > 1024;
    SELECT RAISE(ABORT, 'rows.id is no name') FROM forms
        WHERE instr(NEW.id, nul) OR NEW.id GLOB control OR length(CAST(NEW.id AS BLOB)) > 1024;
    SELECT RAISE(ABORT, 'rows.body is longer than 7 MiB') WHERE length(CAST(NEW.body AS BLOB)) > 7340032;
    SELECT RAISE(ABORT, 'rows.rig_id is no identifier') FROM forms
        WHERE instr(NEW.rig_id, nul) OR NEW.rig_id GLOB blank OR length(CAST(NEW.rig_id AS BLOB)) > 128;
    SELECT RAISE(ABORT, 'rows.body has id or rig_id twice')
        WHERE (SELECT max(sum(key = 'id'), sum(key = 'rig_id')) > 1 FROM json_each(NEW.body));
    SELECT RAISE(ABORT, 'rows.body has another id than its row')
        WHERE NEW.kind IN ('agent', 'bead', 'nudge', 'rig')
            AND coalesce(json_extract(NEW.body, '$.id'), NEW.id) <> +NEW.id;
END;

CREATE TRIGGER rows_update_body BEFORE UPDATE OF body ON rows BEGIN
    SELECT RAISE(ABORT, 'rows.body is longer than 7 MiB') WHERE length(CAST(NEW.body AS BLOB)) > 7340032;
    SELECT RAISE(ABORT, 'rows.rig_id is no identifier') FROM forms
        WHERE instr(NEW.rig_id, nul) OR NEW.rig_id GLOB blank OR length(CAST(NEW.rig_id AS BLOB)) > 128;
    SELECT RAISE(ABORT, 'rows.body has id or rig_id twice')
        WHERE (SELECT max(sum(key = 'id'), sum(key = 'rig_id')) > 1 FROM json_each(NEW.body));
    SELECT RAISE(ABORT, 'rows.body has another id than its row')
        WHERE NEW.kind IN ('agent', 'bead', 'nudge', 'rig')
            AND coalesce(json_extract(NEW.body, '$.id'), NEW.id) <> +NEW.id;
END;

CREATE TRIGGER events_insert AFTER INSERT ON events BEGIN
    SELECT RAISE(ABORT, 'events.town is not there')
        WHERE NOT EXISTS (SELECT 1 FROM towns WHERE id = NEW.town);
    SELECT RAISE(ABORT, 'events.id is no identifier') FROM forms
        WHERE instr(NEW.id, nul) OR NEW.id GLOB blank OR length(CAST(NEW.id AS BLOB)) > 128;
    SELECT RAISE(ABORT, 'events.body is longer than 1 MiB') WHERE length(CAST(NEW.body AS BLOB)) > 1048576;
    SELECT RAISE(ABORT, 'events.body has another id than its row')
        WHERE json_extract(NEW.body, '$.id') IS NOT +NEW.id;
    SELECT RAISE(ABORT, 'events.body has id, at or type twice')
        WHERE (SELECT max(sum(key = 'id'), sum(key = 'at'), sum(key = 'type')) > 1 FROM json_each(NEW.body));
    -- As the engine writes it, to the millisecond.
    SELECT RAISE(ABORT, 'events.body has another time than its row')
        WHERE json_extract(NEW.body, '$.at') IS NOT strftime('%Y-%m-%dT%H:%M:%fZ', NEW.at / 1000.0, 'unixepoch');
    SELECT RAISE(ABORT, 'events.body has no type') WHERE json_type(NEW.body, '$.type') IS NOT 'text';
END;

CREATE TRIGGER effects_insert AFTER INSERT ON effects BEGIN
    SELECT RAISE(ABORT, 'effects.town is not there')
        WHERE NOT EXISTS (SELECT 1 FROM towns WHERE id = NEW.town);
    SELECT RAISE(ABORT, 'effects.kind is no name') FROM forms
        WHERE instr(NEW.kind, nul) OR NEW.kind GLOB control OR length(CAST(NEW.kind AS BLOB)) > 1024;
    SELECT RAISE(ABORT, 'effects.subject is no name') FROM forms
        WHERE instr(NEW.subject, nul) OR NEW.subject GLOB control
            OR length(CAST(NEW.subject AS BLOB)) > 1024;
    -- Beyond 2^63 the column has the attempt as a negative number and JSON functions have it rounded: the texts
    -- are compared.
    SELECT RAISE(ABORT, 'effects.body has another key than its row')
        WHERE json_extract(NEW.body, '$.key.kind') IS NOT +NEW.kind
            OR json_extract(NEW.body, '$.key.subject') IS NOT +NEW.subject
            OR NEW.body -> '$.key.attempt' IS NOT printf('%u', NEW.attempt);
    SELECT RAISE(ABORT, 'effects.body has its key or a part of it twice')
        WHERE (SELECT sum(key = 'key') > 1 FROM json_each(NEW.body))
            OR (SELECT max(sum(key = 'kind'), sum(key = 'subject'), sum(key = 'attempt')) > 1
                FROM json_each(NEW.body, '$.key'));
END;

CREATE TRIGGER history_insert AFTER INSERT ON history BEGIN
    SELECT RAISE(ABORT, 'history.town is not there, or history.sequence is beyond its history_sequence')
        WHERE (SELECT history_sequence >= NEW.sequence FROM towns WHERE id = NEW.town) IS NOT 1;
    SELECT RAISE(ABORT, 'history.subject is no name') FROM forms
        WHERE instr(NEW.subject, nul) OR NEW.subject GLOB control
            OR length(CAST(NEW.subject AS BLOB)) > 1024;
    SELECT RAISE(ABORT, 'history.body is longer than 16 MiB')
        WHERE length(CAST(NEW.body AS BLOB)) > 16777216;
    SELECT RAISE(ABORT, 'history.body: rig_id is neither an identifier nor null') FROM forms,
        (SELECT type, atom AS rig_id FROM json_each(NEW.body) WHERE key = 'rig_id')
        WHERE type NOT IN ('text', 'null') OR instr(rig_id, nul) OR rig_id GLOB blank
            OR length(CAST(rig_id AS BLOB)) NOT BETWEEN 1 AND 128
            OR (rig_id GLOB '__*' AND rig_id GLOB '*__');
    SELECT RAISE(ABORT, 'history.body has rig_id twice')
        WHERE (SELECT count(*) > 1 FROM json_each(NEW.body) WHERE key = 'rig_id');
END;

CREATE TRIGGER towns_again BEFORE INSERT ON towns WHEN EXISTS (SELECT 1 FROM towns WHERE id = NEW.id) BEGIN
    SELECT RAISE(ABORT, 'the town is there already');
END;

CREATE TRIGGER events_again BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE town = NEW.town AND id = NEW.id) BEGIN
    SELECT RAISE(IGNORE);
END;

CREATE TRIGGER effects_again BEFORE INSERT ON effects
WHEN EXISTS (
    SELECT 1 FROM effects
        WHERE town = NEW.town AND kind = NEW.kind AND subject = NEW.subject AND attempt = NEW.attempt
) BEGIN
    SELECT RAISE(IGNORE);
END;

CREATE TRIGGER history_again BEFORE INSERT ON history
WHEN EXISTS (SELECT 1 FROM history WHERE town = NEW.town AND sequence = NEW.sequence) BEGIN
    SELECT RAISE(ABORT, 'the history never changes');
END;

CREATE TRIGGER towns_update BEFORE UPDATE OF id ON towns BEGIN
    SELECT RAISE(ABORT, 'a town keeps its id');
END;

CREATE TRIGGER rows_update BEFORE UPDATE OF town, kind, id ON rows BEGIN
    SELECT RAISE(ABORT, 'a row keeps its key');
END;

CREATE TRIGGER events_update BEFORE UPDATE OF town, id, at, body ON events BEGIN
    SELECT RAISE(ABORT, 'an event never changes');
END;

CREATE TRIGGER effects_update
BEFORE UPDATE OF town, kind, subject, attempt, version, place, body ON effects BEGIN
    SELECT RAISE(ABORT, 'an effect never changes');
END;

CREATE TRIGGER history_update BEFORE UPDATE ON history BEGIN
    SELECT RAISE(ABORT, 'the history never changes');
END;

CREATE TRIGGER towns_update_numbers BEFORE UPDATE OF version, lease_token, history_sequence ON towns BEGIN
    SELECT RAISE(ABORT, 'towns.version, lease_token or history_sequence goes back')
        WHERE NEW.version < OLD.version OR NEW.lease_token < OLD.lease_token
            OR NEW.history_sequence < OLD.history_sequence;
END;

CREATE TRIGGER towns_delete BEFORE DELETE ON towns BEGIN
    SELECT RAISE(ABORT, 'a town stays');
END;

CREATE TRIGGER events_update_consumed BEFORE UPDATE OF consumed_at ON events
WHEN OLD.consumed_at IS NOT NULL AND NEW.consumed_at IS NULL BEGIN
    SELECT RAISE(ABORT, 'a consumed event stays consumed');
END;

CREATE TRIGGER effects_update_finished BEFORE UPDATE OF finished_at ON effects
WHEN OLD.finished_at IS NOT NULL AND NEW.finished_at IS NULL BEGIN
    SELECT RAISE(ABORT, 'a finished effect stays finished');
END;

INSERT INTO towns (id, version, lease_token, lease_holder, lease_expires_at, history_sequence) VALUES
    ('t1', 7, 3, 'host 1', 1775304030000, 3),
    ('t2', 1, 0, NULL, NULL, 0);

INSERT INTO rows (town, kind, id, working, body) VALUES
    ('t1', 'agent', 'naïve 🦀', 1, '{}'),
    ('t1', 'bead', 'b1', 1, '{"title":"Fix the roof","rig_id":"r1"}'),
    ('t1', 'bead', 'b2', 0, '{"title":"Done long ago","rig_id":null}');

INSERT INTO events (town, id, at, body, consumed_at) VALUES
    ('t1', 'e1', 1775304000000, '{"id":"e1","at":"2026-04-04T12:00:00.000Z","type":"agent_gone","agent_id":"a1"}', 1775304001000),
    ('t1', 'e2', 1775304000001, '{"id":"e2","at":"2026-04-04T12:00:00.001Z","type":"agent_gone","agent_id":"a1"}', NULL);

INSERT INTO effects (town, kind, subject, attempt, version, place, body, finished_at, finish) VALUES
    ('t1', 'notify_mayor', 'n1', 1, 6, 0, '{"key":{"subject":"n1","kind":"notify_mayor","attempt":1},"type":"notify_mayor","topic":"n1","message":"message 1"}', 1775304001000, 'done'),
    ('t1', 'notify_mayor', 'n1', 2, 7, 0, '{"key":{"subject":"n1","kind":"notify_mayor","attempt":2},"type":"notify_mayor","topic":"n1","message":"message 2"}', NULL, NULL);

INSERT INTO history (town, sequence, kind, subject, at, body) VALUES
    ('t1', 1, 'bead_event', 'b1', 1775304000000, '{"text":"created"}'),
    ('t1', 2, 'tick', NULL, 1775304001000, '{"text":"tick"}'),
    ('t1', 3, 'command', NULL, 1775304002000, '{"text":"command"}');
