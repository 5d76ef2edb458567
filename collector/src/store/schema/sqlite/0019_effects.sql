-- What people are allowed to do by the agreement of two, what is hidden until then, and what remains of what is too old.

-- Names and contacts of people, kept apart from what everybody reads of an incident.
CREATE TABLE masked_values (
    incident TEXT NOT NULL REFERENCES incidents (id),
    name TEXT NOT NULL,                         -- reporter.name, holder, …
    value TEXT NOT NULL,
    PRIMARY KEY (incident, name)
) STRICT;
INSERT INTO masked_values (incident, name, value)
    SELECT id, 'reporter.name', json_extract(reason_json, '$.inputs.reporter.name') FROM incidents
    WHERE reason_json LIKE '%"intake.manual/1"%' AND json_extract(reason_json, '$.inputs.reporter.name') IS NOT NULL;
UPDATE incidents SET reason_json = json_set(json_remove(reason_json, '$.inputs.reporter.name'), '$.inputs.masked', json('["reporter.name"]'))
    WHERE id IN (SELECT incident FROM masked_values);

-- What was granted: unmask, share, evidence_capture.
CREATE TABLE grants (
    incident TEXT NOT NULL REFERENCES incidents (id),
    n INTEGER NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,                         -- the hidden name; the recipient; hosts and time
    asked_by TEXT NOT NULL,
    granted_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER,                              -- of an unmasking
    reason TEXT NOT NULL,
    tlp TEXT NOT NULL,                          -- of an extract
    to_body TEXT,                               -- its recipient, where that is a body
    digest TEXT UNIQUE,                         -- SHA-256 of the extract, by which it is asked for
    document TEXT,                              -- the extract
    PRIMARY KEY (incident, n)
) STRICT;
CREATE INDEX grants_by_kind ON grants (kind, at);

-- Lessons outlive their incidents.
CREATE TABLE lessons_kept (
    incident TEXT PRIMARY KEY NOT NULL,
    closed_at INTEGER NOT NULL,
    category TEXT NOT NULL,
    body TEXT,
    subject TEXT NOT NULL,
    cause TEXT,
    root_cause TEXT NOT NULL,
    lesson TEXT NOT NULL
) STRICT;
INSERT INTO lessons_kept (incident, closed_at, category, body, subject, cause, root_cause, lesson)
    SELECT incident, closed_at, category, body, subject, cause, root_cause, lesson FROM lessons;
DROP TABLE lessons;
ALTER TABLE lessons_kept RENAME TO lessons;
CREATE INDEX lessons_by_category ON lessons (category, closed_at);

-- That there was an incident, after it is gone.
CREATE TABLE tombstones (
    id TEXT PRIMARY KEY NOT NULL,
    category TEXT NOT NULL,
    severity INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT,
    opened_at INTEGER NOT NULL,
    closed_at INTEGER NOT NULL,
    removed_at INTEGER NOT NULL
) STRICT;

-- The last line of the audit log that is gone. The log itself names it, too.
CREATE TABLE audit_anchor (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL,
    at INTEGER NOT NULL
) STRICT;
