-- What only the engine's own validation held so far, held by the file. Impossible from now on, whoever writes:
-- a name or an identifier of another form or length; a key, an event, an effect or an entry that changes; a
-- record that is too long, that says its id, key or rig twice or otherwise than its columns, and an event without
-- a time or a type. Not looked at: whether a text is UTF-8, and what else a record holds. `integrity_check` names
-- a text that is not UTF-8, and an event or an effect that can't be read; the rest is found where it is used.
--
-- Triggers, not CHECKs: no table is made anew, and rows of before stay as they are and can be read.
-- `Commit::validate` and `Event::to_stored` of the core are as strict as this, and never less.

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
    SELECT RAISE(ABORT, 'events.id is no identifier') FROM forms
        WHERE instr(NEW.id, nul) OR NEW.id GLOB blank OR length(CAST(NEW.id AS BLOB)) > 128;
    SELECT RAISE(ABORT, 'events.body is longer than 1 MiB') WHERE length(CAST(NEW.body AS BLOB)) > 1048576;
    SELECT RAISE(ABORT, 'events.body has another id than its row')
        WHERE json_extract(NEW.body, '$.id') IS NOT +NEW.id
            OR (SELECT count(*) > 1 FROM json_each(NEW.body) WHERE key = 'id');
    SELECT RAISE(ABORT, 'events.body has no time or no type')
        WHERE json_type(NEW.body, '$.at') IS NOT 'text' OR json_type(NEW.body, '$.type') IS NOT 'text';
END;

CREATE TRIGGER effects_insert AFTER INSERT ON effects BEGIN
    SELECT RAISE(ABORT, 'effects.kind is no name') FROM forms
        WHERE instr(NEW.kind, nul) OR NEW.kind GLOB control OR length(CAST(NEW.kind AS BLOB)) > 1024;
    SELECT RAISE(ABORT, 'effects.subject is no name') FROM forms
        WHERE instr(NEW.subject, nul) OR NEW.subject GLOB control
            OR length(CAST(NEW.subject AS BLOB)) > 1024;
    -- Beyond 2^63 the column has the attempt as a negative number and JSON functions have it rounded.
    SELECT RAISE(ABORT, 'effects.body has another key than its row')
        WHERE json_extract(NEW.body, '$.key.kind') IS NOT +NEW.kind
            OR json_extract(NEW.body, '$.key.subject') IS NOT +NEW.subject
            OR json_type(NEW.body, '$.key.attempt') IS NOT 'integer'
            OR (NEW.attempt >= 0 AND json_extract(NEW.body, '$.key.attempt') IS NOT NEW.attempt);
END;

CREATE TRIGGER history_insert AFTER INSERT ON history BEGIN
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

-- What is written once and for all. Whoever has to mend such a row deletes it and inserts another.
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
