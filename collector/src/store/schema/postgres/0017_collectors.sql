-- Which collectors run on this store: each writes its row every few seconds, and takes it away when it stops.
CREATE TABLE collectors (
    id TEXT PRIMARY KEY NOT NULL,               -- of one run of the program, at random
    host TEXT NOT NULL,
    version TEXT NOT NULL,
    started_at BIGINT NOT NULL,
    seen_at BIGINT NOT NULL,
    batches_per_minute BIGINT NOT NULL,
    queue BIGINT NOT NULL                      -- submissions that wait for the store
);
