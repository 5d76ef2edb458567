-- What programs asked for under a key of their own, and what they were answered: asked again, it is not done again.

CREATE TABLE request_keys (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    asked BYTEA NOT NULL,                       -- digest of method, path and body
    at BIGINT NOT NULL,
    status BIGINT,                           -- NULL: not answered (yet)
    location TEXT,
    body BYTEA,
    PRIMARY KEY (account, key)
);
CREATE INDEX request_keys_by_time ON request_keys (at);
