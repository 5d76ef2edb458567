-- People: what an account sees, second factors, how far a sign-in is, tokens for programs, and who came in or did not.

ALTER TABLE users ADD COLUMN bodies TEXT NOT NULL DEFAULT 'all';   -- all, or 団体コード between commas
ALTER TABLE users ADD COLUMN password_at INTEGER;                  -- when it was last set; NULL: when the account was made
ALTER TABLE users ADD COLUMN totp_secret BLOB;                     -- shared with the authenticator; NULL: none
ALTER TABLE users ADD COLUMN totp_step INTEGER NOT NULL DEFAULT 0; -- of the last code that was taken

ALTER TABLE sessions ADD COLUMN stage TEXT NOT NULL DEFAULT 'full'; -- code | enrol | full
ALTER TABLE sessions ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE sessions ADD COLUMN totp_pending BLOB;                 -- a secret that waits for its first code

CREATE TABLE recovery_codes (
    account TEXT NOT NULL REFERENCES users (name),
    code_hash BLOB NOT NULL,                    -- SHA-256
    used_at INTEGER,
    PRIMARY KEY (account, code_hash)
) STRICT, WITHOUT ROWID;

CREATE TABLE api_tokens (
    token_hash BLOB PRIMARY KEY NOT NULL,       -- SHA-256
    account TEXT NOT NULL REFERENCES users (name),
    label TEXT NOT NULL,
    right_name TEXT NOT NULL,                   -- read | act | admin
    bodies TEXT NOT NULL,                       -- as users.bodies; the account's own limits too
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    revoked_at INTEGER,
    used_at INTEGER
) STRICT;
CREATE INDEX api_tokens_by_account ON api_tokens (account, created_at);

-- Failures in a row. What was typed as a name may be a password: only its digest is kept.
CREATE TABLE strikes (
    subject TEXT PRIMARY KEY NOT NULL,          -- account:SHA-256, address:ADDRESS
    failures INTEGER NOT NULL,
    last_at INTEGER NOT NULL
) STRICT;
CREATE INDEX strikes_by_time ON strikes (last_at);

-- Who came in, and who did not. Only the newest are kept.
CREATE TABLE sign_ins (
    n INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    account TEXT NOT NULL,                      -- empty: there is no such account
    address TEXT NOT NULL,
    method TEXT NOT NULL,                       -- password | code | recovery | basic
    outcome TEXT NOT NULL                       -- in | halfway | wrong | replayed | out
) STRICT;
CREATE INDEX sign_ins_by_account ON sign_ins (account, n);
