-- What programs asked for under a key of their own, and what they were answered: asked again, it is not done again.

CREATE TABLE request_keys (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    asked BLOB NOT NULL,                       -- digest of method, path and body
    at INTEGER NOT NULL,
    status INTEGER,                           -- NULL: not answered (yet)
    location TEXT,
    body BLOB,
    PRIMARY KEY (account, key)
) STRICT;
CREATE INDEX request_keys_by_time ON request_keys (at);
