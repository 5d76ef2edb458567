-- Time limits, what must be reported, and what is told to whom.

-- What a replica has followed of incident_changes. What happened before this version starts no timers.
CREATE TABLE followers (
    name TEXT PRIMARY KEY NOT NULL,
    seq INTEGER NOT NULL
) STRICT;
INSERT INTO followers (name, seq) SELECT 'clocks', coalesce(max(seq), 0) FROM incident_changes;

-- What the clocks remember of an incident: since when its level is what it is, and what its findings told.
CREATE TABLE clocks (
    incident TEXT PRIMARY KEY NOT NULL REFERENCES incidents (id),
    level INTEGER NOT NULL,
    raised_at INTEGER,
    reopened INTEGER NOT NULL,
    reopened_at INTEGER,
    notices INTEGER NOT NULL,                   -- of its findings, so far
    told_findings INTEGER NOT NULL,             -- at the last of them
    told_level INTEGER NOT NULL,
    told_grown INTEGER NOT NULL
) STRICT;

-- Each rung of each timer; it fires once.
CREATE TABLE timers (
    incident TEXT NOT NULL REFERENCES incidents (id),
    what TEXT NOT NULL,                         -- ack, notify …; KIND/POINT of an obligation
    since INTEGER NOT NULL,
    rung INTEGER NOT NULL,                      -- per cent of the limit; days after the point
    due_at INTEGER NOT NULL,
    fired_at INTEGER,
    PRIMARY KEY (incident, what, since, rung)
) STRICT;
CREATE INDEX timers_by_due ON timers (due_at) WHERE fired_at IS NULL;

-- Since when a leak is known, as people recorded it.
CREATE TABLE awareness (
    incident TEXT PRIMARY KEY NOT NULL REFERENCES incidents (id),
    known_at INTEGER NOT NULL,
    known_by TEXT NOT NULL,
    known_dept TEXT NOT NULL,
    origin_rule TEXT NOT NULL,
    reason TEXT NOT NULL,                       -- of a correction
    recorded_by TEXT NOT NULL,
    recorded_at INTEGER NOT NULL
) STRICT;

-- Days are those of Japan, as 2026-11-22. That one is overdue is computed and never stored.
CREATE TABLE obligations (
    incident TEXT NOT NULL REFERENCES incidents (id),
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    voluntary INTEGER NOT NULL,
    target TEXT,
    last_day TEXT,
    raw TEXT,
    internal TEXT,
    triggers TEXT NOT NULL,                     -- identifiers, by commas
    reason TEXT NOT NULL,                       -- why it does not apply
    moved_by TEXT NOT NULL,
    approved_by TEXT NOT NULL,
    moved_at INTEGER NOT NULL,
    filed_at INTEGER,
    PRIMARY KEY (incident, kind)
) STRICT;

-- The outbox. A row is written in the transaction of what it tells; it leaves at least once.
CREATE TABLE notices (
    key TEXT PRIMARY KEY NOT NULL,              -- the same notice is written once
    incident TEXT,
    kind TEXT NOT NULL,
    level INTEGER NOT NULL,
    drill INTEGER NOT NULL,
    body TEXT,
    role TEXT NOT NULL,
    place INTEGER NOT NULL,                     -- in the list of the role's contacts
    contact TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    written_at INTEGER NOT NULL,
    next_at INTEGER,                            -- next attempt; NULL: sent, or given up
    attempts INTEGER NOT NULL DEFAULT 0,
    lease_until INTEGER NOT NULL DEFAULT 0,     -- somebody is sending it
    sent_at INTEGER,
    dead_at INTEGER,                            -- given up
    error TEXT,
    read_at INTEGER,
    read_by TEXT,
    pass_at INTEGER                             -- unread then, it goes to the next contact; NULL: it does not
) STRICT;
CREATE INDEX notices_by_next ON notices (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX notices_by_pass ON notices (pass_at) WHERE pass_at IS NOT NULL;
CREATE INDEX notices_by_incident ON notices (incident, written_at);
CREATE INDEX notices_by_address ON notices (channel, address, sent_at);

-- Every attempt.
CREATE TABLE notice_attempts (
    notice TEXT NOT NULL REFERENCES notices (key),
    n INTEGER NOT NULL,
    at INTEGER NOT NULL,
    error TEXT,                                 -- NULL: it arrived
    PRIMARY KEY (notice, n)
) STRICT;
