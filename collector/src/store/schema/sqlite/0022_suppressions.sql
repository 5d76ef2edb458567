-- Findings that people agreed to keep out of incidents, from an incident. They outlive it; nothing is deleted when one is ended.
CREATE TABLE suppressions (
    id TEXT PRIMARY KEY NOT NULL,               -- INC-…-S and the number of the grant
    incident TEXT NOT NULL,
    n INTEGER NOT NULL,                          -- the grant
    body TEXT NOT NULL,                         -- it covers no other
    scope TEXT NOT NULL,                        -- category=… originator=… responder=… port=… target=… segment=…
    reason TEXT NOT NULL,
    asked_by TEXT NOT NULL,
    granted_by TEXT NOT NULL,
    at INTEGER NOT NULL,
    until INTEGER NOT NULL,
    ended_at INTEGER,                            -- somebody ended it before its time
    ended_by TEXT,
    ended_reason TEXT
);
CREATE INDEX suppressions_by_until ON suppressions (until);
