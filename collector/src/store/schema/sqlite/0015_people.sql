-- People: certificates they sign in with, who they are at an identity provider, and failures of the minute for the audit log.

ALTER TABLE sessions ADD COLUMN certificate BLOB;  -- SHA-256 of the certificate that it is bound to; NULL: to none

-- A certificate that is not here is nobody's, whoever signed it.
CREATE TABLE person_certificates (
    fingerprint BLOB PRIMARY KEY NOT NULL,      -- SHA-256
    account TEXT NOT NULL REFERENCES users (name),
    serial TEXT NOT NULL,
    issued_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER
) STRICT;
CREATE INDEX person_certificates_by_account ON person_certificates (account, issued_at);

CREATE TABLE person_subjects (
    issuer TEXT NOT NULL,
    subject TEXT NOT NULL,
    account TEXT NOT NULL REFERENCES users (name),
    linked_at INTEGER NOT NULL,
    PRIMARY KEY (issuer, subject)
) STRICT, WITHOUT ROWID;

-- Of one account (empty: of all names that are none) and one minute: the first is in the audit log, the others are counted here.
CREATE TABLE sign_in_minutes (
    account TEXT NOT NULL,
    outcome TEXT NOT NULL,
    minute INTEGER NOT NULL,
    more INTEGER NOT NULL,
    address TEXT NOT NULL,                      -- of the last
    method TEXT NOT NULL,
    PRIMARY KEY (account, outcome, minute)
) STRICT, WITHOUT ROWID;
