-- What only the engine's own validation held so far, held by the file. Impossible from now on, whoever writes:
-- a name or an identifier of another form or length; a key, an event, an effect or an entry that changes or is
-- replaced; a record that is too long, that says its id, key, time or rig twice or otherwise than its columns, and
-- an event without a time or a type; a town that goes, or goes back; a row of no town; an entry beyond the end of
-- its history. Not looked at: whether a text is UTF-8, and what else a record holds. `integrity_check` names
-- a text that is not UTF-8, and an event or an effect that can't be read; the rest is found where it is used.
--
-- Triggers, not CHECKs: no table is made anew, and rows of before stay as they are and can be read. Triggers hold
-- also where another program leaves foreign keys off.
-- `Commit::validate` and `Event::to_stored` of the core are as strict as this, and never less.

-- An entry that another program put beyond the end: the next one of the town would get its sequence.
UPDATE towns SET history_sequence =
    max(history_sequence, (SELECT coalesce(max(sequence), 0) FROM history WHERE history.town = towns.id));

-- Names hold no control characters, identifiers no white space either. A NUL ends what GLOB sees, so it is
-- looked for by itself.
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

-- After the insert, because a put of a row that is there is an update and nothing else.
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

-- What is written once and for all. Whoever has to mend such a row deletes it and inserts another; to replace it
-- by an insert (`OR REPLACE`) fires no trigger of a deletion. An event or effect that is there already is ignored.
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

-- What is over stays over, and what was given once is not given again.
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
