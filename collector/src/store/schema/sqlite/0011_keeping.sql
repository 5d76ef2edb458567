-- How long things are kept, and what proves the rest when the oldest are gone.

-- A chain's batches up to `through` may be gone: the kept ones must continue `digest`.
CREATE TABLE chain_anchors (
    agent TEXT NOT NULL REFERENCES agents (id),
    lane INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    through INTEGER NOT NULL,
    digest BLOB NOT NULL,                       -- of that batch
    at INTEGER NOT NULL,                        -- when it was written
    PRIMARY KEY (agent, lane, epoch)
) STRICT, WITHOUT ROWID;
-- How far each chain was in the backup that this store was restored from: what an agent delivered after it is gone, and the
-- next batch that comes may leave it out, once.
CREATE TABLE restored_chains (
    agent TEXT NOT NULL REFERENCES agents (id),
    lane INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    through INTEGER NOT NULL,
    PRIMARY KEY (agent, lane)
) STRICT, WITHOUT ROWID;
-- One row: who drops now, and what the last look found.
CREATE TABLE retention (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    lease_until INTEGER NOT NULL,
    at INTEGER,
    bytes INTEGER,                              -- what the store takes
    budget INTEGER,                             -- what it may take; NULL: no limit
    flows_from INTEGER                          -- oldest day of flows that is kept, days since 1970-01-01
) STRICT;
INSERT INTO retention (one, lease_until) VALUES (1, 0);

-- Which batches are behind a finding that is kept.
CREATE INDEX findings_by_batch ON findings (agent, lane, epoch, seq);

-- The day that a flow or a summary was stored: what is dropped is dropped by whole days.
CREATE TABLE flows_by_day (
    n INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    community_id TEXT NOT NULL,
    originator TEXT NOT NULL,                   -- address
    originator_port INTEGER NOT NULL,
    responder TEXT NOT NULL,
    responder_port INTEGER NOT NULL,
    protocol INTEGER NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    originator_packets INTEGER NOT NULL,
    originator_bytes INTEGER NOT NULL,
    responder_packets INTEGER NOT NULL,
    responder_bytes INTEGER NOT NULL,
    state TEXT NOT NULL,
    application TEXT NOT NULL,
    server_name TEXT NOT NULL,
    ja4 TEXT NOT NULL,
    segment TEXT,
    agent TEXT NOT NULL,
    day INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) / 86400)
) STRICT;
INSERT INTO flows_by_day SELECT n, body, community_id, originator, originator_port, responder, responder_port, protocol,
    start, end, originator_packets, originator_bytes, responder_packets, responder_bytes, state, application, server_name,
    ja4, segment, agent, end / 86400000000000 FROM flows;
DROP TABLE flows;
ALTER TABLE flows_by_day RENAME TO flows;
CREATE INDEX flows_by_community_id ON flows (community_id);

CREATE TABLE summaries_by_day (
    n INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    agent TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    flows_ended INTEGER NOT NULL,
    flows_omitted INTEGER NOT NULL,
    json TEXT NOT NULL,                         -- applications, domains, talkers
    day INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER) / 86400)
) STRICT;
INSERT INTO summaries_by_day SELECT n, body, agent, start, end, packets, bytes, flows_ended, flows_omitted, json,
    end / 86400000000000 FROM summaries;
DROP TABLE summaries;
ALTER TABLE summaries_by_day RENAME TO summaries;
CREATE INDEX summaries_by_body ON summaries (body, start);
