-- What rules asked for, what a storm kept to itself, and what was told once a day.

-- The worst that evidence and rules asked for, whatever people made of the level since.
ALTER TABLE incidents ADD COLUMN claimed INTEGER NOT NULL DEFAULT 0;
UPDATE incidents SET claimed = severity;
-- It gathers what belongs to a storm of its kind.
ALTER TABLE incidents ADD COLUMN gathers INTEGER NOT NULL DEFAULT 0;
CREATE INDEX incidents_by_kind ON incidents (body, category, first_evidence);

-- When its history said that a storm is counted and not told.
ALTER TABLE clocks ADD COLUMN hushed_at INTEGER;

-- The daily digest of a body, or of all ('').
CREATE TABLE digests (
    day TEXT NOT NULL,                          -- of Japan, as 2026-11-22
    body TEXT NOT NULL,
    at INTEGER NOT NULL,
    since INTEGER NOT NULL,
    level1 INTEGER NOT NULL,                    -- incidents of level 1 that were opened
    level0 INTEGER NOT NULL,                    -- precursors, and incidents of level 0
    PRIMARY KEY (day, body)
) STRICT;
CREATE INDEX precursors_by_time ON precursors (time);
