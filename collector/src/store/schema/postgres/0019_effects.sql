-- What people are allowed to do by the agreement of two, what is hidden until then, and what remains of what is too old.

-- Names and contacts of people, kept apart from what everybody reads of an incident.
CREATE TABLE masked_values (
    incident TEXT NOT NULL REFERENCES incidents (id),
    name TEXT NOT NULL,                         -- reporter.name, holder, …
    value TEXT NOT NULL,
    PRIMARY KEY (incident, name)
);
INSERT INTO masked_values (incident, name, value)
    SELECT id, 'reporter.name', reason_json::jsonb #>> '{inputs,reporter,name}' FROM incidents
    WHERE reason_json LIKE '%"intake.manual/1"%' AND reason_json::jsonb #>> '{inputs,reporter,name}' IS NOT NULL;
UPDATE incidents SET reason_json = jsonb_set(reason_json::jsonb #- '{inputs,reporter,name}', '{inputs,masked}', '["reporter.name"]')::text
    WHERE id IN (SELECT incident FROM masked_values);

-- What was granted: unmask, share, evidence_capture.
CREATE TABLE grants (
    incident TEXT NOT NULL REFERENCES incidents (id),
    n BIGINT NOT NULL,
    kind TEXT NOT NULL,
    what TEXT NOT NULL,                         -- the hidden name; the recipient; hosts and time
    asked_by TEXT NOT NULL,
    granted_by TEXT NOT NULL,
    at BIGINT NOT NULL,
    until BIGINT,                              -- of an unmasking
    reason TEXT NOT NULL,
    tlp TEXT NOT NULL,                          -- of an extract
    to_body TEXT,                               -- its recipient, where that is a body
    digest TEXT UNIQUE,                         -- SHA-256 of the extract, by which it is asked for
    document TEXT,                              -- the extract
    PRIMARY KEY (incident, n)
);
CREATE INDEX grants_by_kind ON grants (kind, at);

-- Lessons outlive their incidents.
ALTER TABLE lessons DROP CONSTRAINT lessons_incident_fkey;

-- That there was an incident, after it is gone.
CREATE TABLE tombstones (
    id TEXT PRIMARY KEY NOT NULL,
    category TEXT NOT NULL,
    severity BIGINT NOT NULL,
    state TEXT NOT NULL,
    body TEXT,
    opened_at BIGINT NOT NULL,
    closed_at BIGINT NOT NULL,
    removed_at BIGINT NOT NULL
);

-- The last line of the audit log that is gone. The log itself names it, too.
CREATE TABLE audit_anchor (
    one BIGINT PRIMARY KEY NOT NULL CHECK (one = 1),
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL,
    at BIGINT NOT NULL
);
