-- Identity: keys after the first, enrolments that an operator must confirm, what agents trust, warnings of certificates.

-- The keys of an agent after its first (agents.signing_key), each vouched for by the one before it.
CREATE TABLE agent_keys (
    agent TEXT NOT NULL REFERENCES agents (id),
    from_epoch INTEGER NOT NULL,                -- the first epoch that it signs
    key BLOB NOT NULL UNIQUE,                   -- raw Ed25519 public key
    voucher BLOB NOT NULL,                      -- signature of the key before
    since INTEGER NOT NULL,
    PRIMARY KEY (agent, from_epoch)
) STRICT, WITHOUT ROWID;

ALTER TABLE agents ADD COLUMN certified_at INTEGER;     -- when its certificate was issued; NULL: at enrolment
ALTER TABLE agents ADD COLUMN trust TEXT NOT NULL DEFAULT '';   -- the CAs and keys that it says it goes by

ALTER TABLE tokens ADD COLUMN replaces TEXT;    -- the agent that may be enrolled again, or replaced, without confirmation

CREATE TABLE enrolments_held (
    token BLOB PRIMARY KEY NOT NULL REFERENCES tokens (secret_hash),
    agent TEXT NOT NULL,                        -- who asks
    replaces TEXT NOT NULL REFERENCES agents (id),  -- whom it would follow: itself, or another with its name
    since INTEGER NOT NULL,
    confirmed_at INTEGER
) STRICT;

CREATE TABLE certificate_warnings (
    owner TEXT NOT NULL,                        -- an agent's identity, or server, ca, ca.next
    expires_at INTEGER NOT NULL,
    threshold_days INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (owner, expires_at, threshold_days)
) STRICT, WITHOUT ROWID;
