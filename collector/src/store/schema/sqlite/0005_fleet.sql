-- The fleet: how agents are watched, and what is decided for them.

ALTER TABLE agents ADD COLUMN health_received_at INTEGER;   -- by the collector's clock
ALTER TABLE agents ADD COLUMN sealed_ahead INTEGER;         -- newest urgent batch: sealing time less the time received

-- What is wrong with an agent, from when it began until it is over. Outlives a restart, so that nothing is forgotten or told twice.
CREATE TABLE sensor_watch (
    agent TEXT NOT NULL REFERENCES agents (id),
    condition TEXT NOT NULL,
    since INTEGER NOT NULL,                     -- began
    good_since INTEGER,                         -- seems over since
    incident TEXT,                              -- opened or joined for it; NULL: has not lasted long enough
    PRIMARY KEY (agent, condition)
) STRICT, WITHOUT ROWID;
-- The counters of the last health that was judged: what matters is how much they grew.
CREATE TABLE sensor_samples (
    agent TEXT PRIMARY KEY NOT NULL REFERENCES agents (id),
    received_at INTEGER NOT NULL,
    json TEXT NOT NULL
) STRICT;
-- One row: since when the collector listens without a break. What it was away for is nobody's silence.
CREATE TABLE watch_clock (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    at INTEGER NOT NULL,                        -- last look
    listening_since INTEGER NOT NULL
) STRICT;

-- Every policy that was ever set; of one scope the newest holds.
CREATE TABLE policies (
    version INTEGER PRIMARY KEY NOT NULL,
    scope TEXT NOT NULL,                        -- all | body:CODE | agent:ID
    at INTEGER NOT NULL,
    text TEXT,                                  -- the file; NULL: withdrawn
    intel_json TEXT NOT NULL                    -- name, digest, bytes and key of each bundle that it names
) STRICT;
CREATE INDEX policies_by_scope ON policies (scope, version);
CREATE TABLE policy_intel (
    digest TEXT PRIMARY KEY NOT NULL,
    bytes BLOB NOT NULL
) STRICT;
