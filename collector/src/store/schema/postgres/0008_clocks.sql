-- Time limits, what must be reported, and what is told to whom.

-- What a replica has followed of incident_changes. What happened before this version starts no timers.
CREATE TABLE followers (
    name TEXT PRIMARY KEY NOT NULL,
    seq BIGINT NOT NULL
);
INSERT INTO followers (name, seq) SELECT 'clocks', coalesce(max(seq), 0) FROM incident_changes;

-- What the clocks remember of an incident: since when its level is what it is, and what its findings told.
CREATE TABLE clocks (
    incident TEXT PRIMARY KEY NOT NULL REFERENCES incidents (id),
    level BIGINT NOT NULL,
    raised_at BIGINT,
    reopened BIGINT NOT NULL,
    reopened_at BIGINT,
    notices BIGINT NOT NULL,                   -- of its findings, so far
    told_findings BIGINT NOT NULL,             -- at the last of them
    told_level BIGINT NOT NULL,
    told_grown BIGINT NOT NULL
);

-- Each rung of each timer; it fires once.
CREATE TABLE timers (
    incident TEXT NOT NULL REFERENCES incidents (id),
    what TEXT NOT NULL,                         -- ack, notify …; KIND/POINT of an obligation
    since BIGINT NOT NULL,
    rung BIGINT NOT NULL,                      -- per cent of the limit; days after the point
    due_at BIGINT NOT NULL,
    fired_at BIGINT,
    PRIMARY KEY (incident, what, since, rung)
);
CREATE INDEX timers_by_due ON timers (due_at) WHERE fired_at IS NULL;

-- Since when a leak is known, as people recorded it.
CREATE TABLE awareness (
    incident TEXT PRIMARY KEY NOT NULL REFERENCES incidents (id),
    known_at BIGINT NOT NULL,
    known_by TEXT NOT NULL,
    known_dept TEXT NOT NULL,
    origin_rule TEXT NOT NULL,
    reason TEXT NOT NULL,                       -- of a correction
    recorded_by TEXT NOT NULL,
    recorded_at BIGINT NOT NULL
);

-- Days are those of Japan, as 2026-11-22. That one is overdue is computed and never stored.
CREATE TABLE obligations (
    incident TEXT NOT NULL REFERENCES incidents (id),
    kind TEXT NOT NULL,
    state TEXT NOT NULL,
    voluntary BIGINT NOT NULL,
    target TEXT,
    last_day TEXT,
    raw TEXT,
    internal TEXT,
    triggers TEXT NOT NULL,                     -- identifiers, by commas
    reason TEXT NOT NULL,                       -- why it does not apply
    moved_by TEXT NOT NULL,
    approved_by TEXT NOT NULL,
    moved_at BIGINT NOT NULL,
    filed_at BIGINT,
    PRIMARY KEY (incident, kind)
);

-- The outbox. A row is written in the transaction of what it tells; it leaves at least once.
CREATE TABLE notices (
    key TEXT PRIMARY KEY NOT NULL,              -- the same notice is written once
    incident TEXT,
    kind TEXT NOT NULL,
    level BIGINT NOT NULL,
    drill BIGINT NOT NULL,
    body TEXT,
    role TEXT NOT NULL,
    place BIGINT NOT NULL,                     -- in the list of the role's contacts
    contact TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    subject TEXT NOT NULL,
    text TEXT NOT NULL,
    written_at BIGINT NOT NULL,
    next_at BIGINT,                            -- next attempt; NULL: sent, or given up
    attempts BIGINT NOT NULL DEFAULT 0,
    lease_until BIGINT NOT NULL DEFAULT 0,     -- somebody is sending it
    sent_at BIGINT,
    dead_at BIGINT,                            -- given up
    error TEXT,
    read_at BIGINT,
    read_by TEXT,
    pass_at BIGINT                             -- unread then, it goes to the next contact; NULL: it does not
);
CREATE INDEX notices_by_next ON notices (next_at) WHERE next_at IS NOT NULL;
CREATE INDEX notices_by_pass ON notices (pass_at) WHERE pass_at IS NOT NULL;
CREATE INDEX notices_by_incident ON notices (incident, written_at);
CREATE INDEX notices_by_address ON notices (channel, address, sent_at);

-- Every attempt.
CREATE TABLE notice_attempts (
    notice TEXT NOT NULL REFERENCES notices (key),
    n BIGINT NOT NULL,
    at BIGINT NOT NULL,
    error TEXT,                                 -- NULL: it arrived
    PRIMARY KEY (notice, n)
);
