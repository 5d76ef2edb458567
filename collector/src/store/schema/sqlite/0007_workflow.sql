-- How people work through incidents, and the log of what they did.

-- What people do: grows with every action, not with every finding. Two who act on the same one: the second is refused.
ALTER TABLE incidents ADD COLUMN work_version INTEGER NOT NULL DEFAULT 1;
ALTER TABLE incidents ADD COLUMN merged_into TEXT;
ALTER TABLE incidents ADD COLUMN drill INTEGER NOT NULL DEFAULT 0;
CREATE INDEX incidents_by_merged_into ON incidents (merged_into);

CREATE TABLE incident_work (
    incident TEXT PRIMARY KEY NOT NULL REFERENCES incidents (id),
    json TEXT NOT NULL                          -- triage, investigation, review, publication, times …
) STRICT;

CREATE TABLE incident_tasks (
    incident TEXT NOT NULL REFERENCES incidents (id),
    n INTEGER NOT NULL,
    state TEXT NOT NULL,                        -- open | done | waived
    role TEXT NOT NULL,
    assignee TEXT,
    json TEXT NOT NULL,
    PRIMARY KEY (incident, n)
) STRICT;
CREATE INDEX incident_tasks_by_state ON incident_tasks (state, role);

CREATE TABLE incident_proposals (
    incident TEXT NOT NULL REFERENCES incidents (id),
    n INTEGER NOT NULL,
    state TEXT NOT NULL,                        -- pending | approved | rejected
    json TEXT NOT NULL,
    PRIMARY KEY (incident, n)
) STRICT;
CREATE INDEX incident_proposals_by_state ON incident_proposals (state);

CREATE TABLE incident_notes (
    incident TEXT NOT NULL REFERENCES incidents (id),
    n INTEGER NOT NULL,
    at INTEGER NOT NULL,
    author TEXT NOT NULL,
    role TEXT NOT NULL,
    text TEXT NOT NULL,
    PRIMARY KEY (incident, n)
) STRICT;

-- What was learnt: of incidents that are closed, with what makes another one similar.
CREATE TABLE lessons (
    incident TEXT PRIMARY KEY NOT NULL REFERENCES incidents (id),
    closed_at INTEGER NOT NULL,
    category TEXT NOT NULL,
    body TEXT,
    subject TEXT NOT NULL,
    cause TEXT,
    root_cause TEXT NOT NULL,
    lesson TEXT NOT NULL
) STRICT;
CREATE INDEX lessons_by_category ON lessons (category, closed_at);

-- 予兆: what alone is too little for an incident.
CREATE TABLE precursors (
    body TEXT NOT NULL,
    finding TEXT NOT NULL,
    category TEXT NOT NULL,
    subject TEXT NOT NULL,
    time INTEGER NOT NULL,                      -- event time
    incident TEXT,                              -- what it became part of when it came again
    PRIMARY KEY (body, finding)
) STRICT;
CREATE INDEX precursors_by_key ON precursors (body, category, subject, time);

-- Append only. hash = SHA-256 over prev_hash and every other column.
CREATE TABLE audit (
    seq INTEGER PRIMARY KEY NOT NULL,
    prev_hash BLOB NOT NULL,
    at INTEGER NOT NULL,
    actor TEXT NOT NULL,
    role TEXT NOT NULL,
    incident TEXT NOT NULL,                     -- empty: about none
    action TEXT NOT NULL,
    from_state TEXT NOT NULL,
    to_state TEXT NOT NULL,
    reason TEXT NOT NULL,
    version INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX audit_by_incident ON audit (incident, seq);
CREATE TABLE audit_head (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    seq INTEGER NOT NULL,
    hash BLOB NOT NULL
) STRICT;
INSERT INTO audit_head (one, seq, hash) VALUES (1, 0, zeroblob(32));
