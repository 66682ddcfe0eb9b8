-- What leads to a bead, of what load leaves behind: whoever names a bead of long ago needs the edges
-- at both of its ends. A record whose `depends_on` is no text leads nowhere.

ALTER TABLE rows ADD COLUMN depends_on TEXT GENERATED ALWAYS AS (
    CASE WHEN json_type(body, '$.depends_on') = 'text' THEN json_extract(body, '$.depends_on') END
) VIRTUAL;

CREATE INDEX rows_past_depends_on ON rows (town, depends_on, kind, id)
    WHERE working = 0 AND depends_on IS NOT NULL;
