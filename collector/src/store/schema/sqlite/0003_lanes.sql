-- Each agent has two chains, one for each lane: 0 urgent (findings, alerts, health, gaps), 1 detail (summaries).

CREATE TABLE chains (
    agent TEXT NOT NULL REFERENCES agents (id),
    lane INTEGER NOT NULL,
    epoch INTEGER NOT NULL,                     -- the chain in force
    through INTEGER NOT NULL,                   -- its last batch
    head BLOB NOT NULL,                         -- the digest of that batch
    sealed_at INTEGER NOT NULL,                 -- of that batch, by the agent's clock
    mode TEXT NOT NULL,                         -- of that batch
    PRIMARY KEY (agent, lane)
) STRICT, WITHOUT ROWID;
INSERT INTO chains SELECT g.id, 0, g.epoch, g.through, g.head, g.sealed_at, b.mode
    FROM agents g JOIN batches b ON b.agent = g.id AND b.epoch = g.epoch AND b.seq = g.through;
ALTER TABLE agents DROP COLUMN epoch;
ALTER TABLE agents DROP COLUMN through;
ALTER TABLE agents DROP COLUMN head;
ALTER TABLE agents DROP COLUMN sealed_at;

CREATE TABLE batches_by_lane (
    agent TEXT NOT NULL REFERENCES agents (id),
    lane INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    digest BLOB NOT NULL,
    prev BLOB NOT NULL,
    sealed_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    mode TEXT NOT NULL,                         -- live | replay
    envelope BLOB NOT NULL,                     -- exactly as received
    PRIMARY KEY (agent, lane, epoch, seq)
) STRICT;
INSERT INTO batches_by_lane
    SELECT agent, 0, epoch, seq, digest, prev, sealed_at, received_at, mode, envelope FROM batches;
DROP TABLE batches;
ALTER TABLE batches_by_lane RENAME TO batches;

ALTER TABLE findings ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;    -- of the batch that brought this revision
ALTER TABLE alerts ADD COLUMN lane INTEGER NOT NULL DEFAULT 0;
