-- How long things are kept, and what proves the rest when the oldest are gone.

-- A chain's batches up to `through` may be gone: the kept ones must continue `digest`.
CREATE TABLE chain_anchors (
    agent TEXT NOT NULL REFERENCES agents (id),
    lane BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    through BIGINT NOT NULL,
    digest BYTEA NOT NULL,                      -- of that batch
    at BIGINT NOT NULL,                         -- when it was written
    PRIMARY KEY (agent, lane, epoch)
);
-- How far each chain was in the backup that this store was restored from: what an agent delivered after it is gone, and the
-- next batch that comes may leave it out, once.
CREATE TABLE restored_chains (
    agent TEXT NOT NULL REFERENCES agents (id),
    lane BIGINT NOT NULL,
    epoch BIGINT NOT NULL,
    through BIGINT NOT NULL,
    PRIMARY KEY (agent, lane)
);
-- One row: who drops now, and what the last look found.
CREATE TABLE retention (
    one BIGINT PRIMARY KEY NOT NULL CHECK (one = 1),
    lease_until BIGINT NOT NULL,
    at BIGINT,
    bytes BIGINT,                               -- what the store takes
    budget BIGINT,                              -- what it may take; NULL: no limit
    flows_from BIGINT                           -- oldest day of flows that is kept, days since 1970-01-01
);
INSERT INTO retention (one, lease_until) VALUES (1, 0);

-- Which batches are behind a finding that is kept.
CREATE INDEX findings_by_batch ON findings (agent, lane, epoch, seq);

-- Flows and summaries are partitioned by the day that they were stored, and dropped by whole days. Batches are not: that no
-- batch is stored twice is a unique key without a day in it, which a partitioned table cannot have.
CREATE FUNCTION today() RETURNS BIGINT LANGUAGE sql STABLE
    AS $$ SELECT floor(extract(epoch FROM now()) / 86400)::BIGINT $$;
-- A partition of one day, if there is none. It is made apart and then attached: others go on writing.
CREATE FUNCTION make_day(parent TEXT, of_day BIGINT) RETURNS BIGINT LANGUAGE plpgsql AS $$
DECLARE
    part TEXT := format('%s_day_%s', parent, of_day);
BEGIN
    IF to_regclass(part) IS NOT NULL THEN
        RETURN 0;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING STORAGE)', part, parent);
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%s)', parent, part, of_day, of_day + 1);
    RETURN 1;
END $$;
-- The days that have a partition.
CREATE FUNCTION days_of(parent TEXT) RETURNS TABLE (day BIGINT) LANGUAGE sql STABLE AS $$
    SELECT substring(c.relname FROM '_day_([0-9]+)$')::BIGINT FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass(parent) AND c.relname ~ '_day_[0-9]+$' $$;

ALTER TABLE flows RENAME TO flows_before;
ALTER TABLE flows_before RENAME CONSTRAINT flows_pkey TO flows_before_pkey;
DROP INDEX flows_by_community_id;
CREATE SEQUENCE flows_n;
CREATE TABLE flows (
    n BIGINT NOT NULL DEFAULT nextval('flows_n'),
    body TEXT NOT NULL,
    community_id TEXT NOT NULL,
    originator TEXT NOT NULL,                   -- address
    originator_port BIGINT NOT NULL,
    responder TEXT NOT NULL,
    responder_port BIGINT NOT NULL,
    protocol BIGINT NOT NULL,
    start BIGINT NOT NULL,
    "end" BIGINT NOT NULL,
    originator_packets BIGINT NOT NULL,
    originator_bytes BIGINT NOT NULL,
    responder_packets BIGINT NOT NULL,
    responder_bytes BIGINT NOT NULL,
    state TEXT NOT NULL,
    application TEXT NOT NULL,
    server_name TEXT NOT NULL,
    ja4 TEXT NOT NULL,
    segment TEXT,
    agent TEXT NOT NULL,
    day BIGINT NOT NULL DEFAULT today(),
    PRIMARY KEY (n, day)
) PARTITION BY RANGE (day);
ALTER SEQUENCE flows_n OWNED BY flows.n;
CREATE INDEX flows_by_community_id ON flows (community_id);
-- Takes what no day's partition takes, so that storing never fails for the want of one.
CREATE TABLE flows_other PARTITION OF flows DEFAULT;
SELECT make_day('flows', day) FROM (SELECT DISTINCT "end" / 86400000000000 AS day FROM flows_before
    UNION SELECT today() + ahead FROM generate_series(0, 7) ahead) days
    WHERE day BETWEEN today() - 400 AND today() + 7;
INSERT INTO flows (n, body, community_id, originator, originator_port, responder, responder_port, protocol, start, "end",
        originator_packets, originator_bytes, responder_packets, responder_bytes, state, application, server_name, ja4,
        segment, agent, day)
    SELECT n, body, community_id, originator, originator_port, responder, responder_port, protocol, start, "end",
        originator_packets, originator_bytes, responder_packets, responder_bytes, state, application, server_name, ja4,
        segment, agent, "end" / 86400000000000 FROM flows_before;
SELECT setval('flows_n', coalesce(max(n), 0) + 1, false) FROM flows;
DROP TABLE flows_before;

ALTER TABLE summaries RENAME TO summaries_before;
ALTER TABLE summaries_before RENAME CONSTRAINT summaries_pkey TO summaries_before_pkey;
DROP INDEX summaries_by_body;
CREATE SEQUENCE summaries_n;
CREATE TABLE summaries (
    n BIGINT NOT NULL DEFAULT nextval('summaries_n'),
    body TEXT NOT NULL,
    agent TEXT NOT NULL,
    start BIGINT NOT NULL,
    "end" BIGINT NOT NULL,
    packets BIGINT NOT NULL,
    bytes BIGINT NOT NULL,
    flows_ended BIGINT NOT NULL,
    flows_omitted BIGINT NOT NULL,
    json TEXT NOT NULL,                         -- applications, domains, talkers
    day BIGINT NOT NULL DEFAULT today(),
    PRIMARY KEY (n, day)
) PARTITION BY RANGE (day);
ALTER SEQUENCE summaries_n OWNED BY summaries.n;
CREATE INDEX summaries_by_body ON summaries (body, start);
CREATE TABLE summaries_other PARTITION OF summaries DEFAULT;
SELECT make_day('summaries', day) FROM (SELECT DISTINCT "end" / 86400000000000 AS day FROM summaries_before
    UNION SELECT today() + ahead FROM generate_series(0, 7) ahead) days
    WHERE day BETWEEN today() - 400 AND today() + 7;
INSERT INTO summaries (n, body, agent, start, "end", packets, bytes, flows_ended, flows_omitted, json, day)
    SELECT n, body, agent, start, "end", packets, bytes, flows_ended, flows_omitted, json, "end" / 86400000000000
    FROM summaries_before;
SELECT setval('summaries_n', coalesce(max(n), 0) + 1, false) FROM summaries;
DROP TABLE summaries_before;
