-- The collector's store. Times are nanoseconds since 1970-01-01T00:00:00Z; identities are lower-case hexadecimal text.
-- Evidence tables (batches) keep the exact bytes that were signed; everything else can be made from them again.

CREATE TABLE bodies (
    code TEXT PRIMARY KEY NOT NULL,             -- 団体コード
    name TEXT NOT NULL
) STRICT;

-- One row per agent: who it is, how it is, and the head of its chain.
CREATE TABLE agents (
    id TEXT PRIMARY KEY NOT NULL,               -- SHA-256 of the signing key
    name TEXT NOT NULL,
    body TEXT NOT NULL REFERENCES bodies (code),
    signing_key BLOB NOT NULL,                  -- raw Ed25519 public key
    cert_serial TEXT NOT NULL,
    cert_expires_at INTEGER NOT NULL,
    enrolled_at INTEGER NOT NULL,
    revoked_at INTEGER,
    last_seen INTEGER,
    epoch INTEGER NOT NULL DEFAULT 0,           -- the chain in force; 0: none yet
    through INTEGER NOT NULL DEFAULT 0,         -- last batch of that chain
    head BLOB,                                  -- its digest
    sealed_at INTEGER,                          -- of that batch, by the agent's clock
    health_at INTEGER,
    health_json TEXT,                           -- latest Record::Health
    version TEXT
) STRICT;

CREATE TABLE tokens (
    secret_hash BLOB PRIMARY KEY NOT NULL,      -- SHA-256
    body TEXT NOT NULL REFERENCES bodies (code),
    name TEXT NOT NULL,                         -- label for the agent; empty: the agent's own
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    used_at INTEGER,
    used_by TEXT
) STRICT;

CREATE TABLE batches (
    agent TEXT NOT NULL REFERENCES agents (id),
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    digest BLOB NOT NULL,
    prev BLOB NOT NULL,
    sealed_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    mode TEXT NOT NULL,                         -- live | replay
    envelope BLOB NOT NULL,                     -- exactly as received
    PRIMARY KEY (agent, epoch, seq)
) STRICT;

-- The highest revision of each finding; an endpoint alert has its finding here too (category endpoint.alert).
CREATE TABLE findings (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    revision INTEGER NOT NULL,
    time INTEGER NOT NULL,
    end INTEGER NOT NULL,
    category TEXT NOT NULL,
    severity INTEGER NOT NULL,
    originator TEXT,
    responder TEXT,
    json TEXT NOT NULL,                         -- the Finding
    agent TEXT NOT NULL,                        -- the batch that brought this revision
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    mode TEXT NOT NULL,
    incident TEXT,
    link_json TEXT,                             -- why it belongs to that incident
    UNIQUE (body, id)
) STRICT;
CREATE INDEX findings_by_incident ON findings (incident, time);

CREATE TABLE alerts (
    n INTEGER PRIMARY KEY,
    id TEXT NOT NULL,
    body TEXT NOT NULL,
    time INTEGER NOT NULL,
    class TEXT NOT NULL,
    severity INTEGER NOT NULL,
    host TEXT,
    json TEXT NOT NULL,                         -- the EndpointAlert
    agent TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    UNIQUE (body, id)
) STRICT;

CREATE TABLE flows (
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
    agent TEXT NOT NULL
) STRICT;
CREATE INDEX flows_by_community_id ON flows (community_id);

CREATE TABLE summaries (
    n INTEGER PRIMARY KEY,
    body TEXT NOT NULL,
    agent TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    packets INTEGER NOT NULL,
    bytes INTEGER NOT NULL,
    flows_ended INTEGER NOT NULL,
    flows_omitted INTEGER NOT NULL,
    json TEXT NOT NULL                          -- applications, domains, talkers
) STRICT;
CREATE INDEX summaries_by_body ON summaries (body, start);

-- What agents declared lost.
CREATE TABLE gaps (
    n INTEGER PRIMARY KEY,
    agent TEXT NOT NULL,
    start INTEGER NOT NULL,
    end INTEGER NOT NULL,
    reason TEXT NOT NULL,
    records INTEGER NOT NULL,
    bytes INTEGER NOT NULL
) STRICT;

CREATE TABLE incidents (
    id TEXT PRIMARY KEY NOT NULL,               -- INC-<団体コード>-<YYYYMMDD>-<n>, INC-WIDE-<YYYYMMDD>-<n>
    category TEXT NOT NULL,
    severity INTEGER NOT NULL,
    state TEXT NOT NULL,
    body TEXT,                                  -- NULL: wide-area parent
    subject TEXT NOT NULL,                      -- the host or domain that it is about
    parent TEXT REFERENCES incidents (id),
    opened_at INTEGER NOT NULL,                 -- by the collector's clock
    updated_at INTEGER NOT NULL,
    first_evidence INTEGER NOT NULL,            -- event time
    last_evidence INTEGER NOT NULL,
    findings INTEGER NOT NULL,                  -- how many are linked; of a parent: of its children
    mode TEXT NOT NULL,                         -- live | replay: of the evidence that opened it
    version INTEGER NOT NULL,                   -- grows with every change
    title_ja TEXT NOT NULL,
    title_en TEXT NOT NULL,
    reason_json TEXT NOT NULL                   -- rule, inputs, threshold, sample flows of what opened it
) STRICT;
CREATE INDEX incidents_by_key ON incidents (body, subject, category);
CREATE INDEX incidents_by_parent ON incidents (parent);
CREATE TABLE incident_numbers (
    prefix TEXT PRIMARY KEY NOT NULL,
    last INTEGER NOT NULL
) STRICT;

-- Append only: the change feed of live updates and of all that follows an incident.
CREATE TABLE incident_changes (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    incident TEXT NOT NULL,
    kind TEXT NOT NULL,
    json TEXT NOT NULL
) STRICT;
CREATE INDEX incident_changes_by_incident ON incident_changes (incident, seq);

-- What could be seen in several bodies: acting addresses, registered domains, JA4.
CREATE TABLE indicators (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    incident TEXT NOT NULL,
    body TEXT NOT NULL,
    first_seen INTEGER NOT NULL,
    last_seen INTEGER NOT NULL,
    PRIMARY KEY (kind, value, incident)
) STRICT;

CREATE TABLE counters (
    name TEXT PRIMARY KEY NOT NULL,
    value INTEGER NOT NULL
) STRICT;

-- Whom the collector turned away, and why: by peer address in TLS, by agent after it. Only the newest are kept.
CREATE TABLE rejections (
    peer TEXT NOT NULL,
    kind TEXT NOT NULL,                         -- tls, or the kind of the refusal
    count INTEGER NOT NULL,
    last_at INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (peer, kind)
) STRICT;

CREATE TABLE users (
    name TEXT PRIMARY KEY NOT NULL,
    password_hash TEXT NOT NULL,                -- PHC string, Argon2id
    role TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    disabled INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE sessions (
    token_hash BLOB PRIMARY KEY NOT NULL,       -- SHA-256 of the cookie
    user TEXT NOT NULL REFERENCES users (name),
    created_at INTEGER NOT NULL,
    used_at INTEGER NOT NULL
) STRICT;
