-- Exceptions: which one covers a finding by the last judgement, and those that the collector itself holds.

ALTER TABLE findings ADD COLUMN excepted_by TEXT;       -- id of the exception; NULL: the finding counts
ALTER TABLE findings ADD COLUMN excepted_source TEXT;   -- collector | agent: whose judgement that is
ALTER TABLE findings ADD COLUMN exception_json TEXT;    -- who, why, until when; also of a mark that was overruled
CREATE INDEX findings_by_exception ON findings (excepted_by, excepted_source, end) WHERE excepted_by IS NOT NULL;
CREATE INDEX findings_excepted_by_originator ON findings (originator, end, time)
    WHERE excepted_by IS NOT NULL;
CREATE INDEX findings_excepted_by_responder ON findings (responder, end, time)
    WHERE excepted_by IS NOT NULL;
CREATE INDEX findings_excepted_by_end ON findings (end) WHERE excepted_by IS NOT NULL;

-- What agents said before the collector judged by itself.
UPDATE findings SET excepted_by = json_extract(json, '$.excepted_by'), excepted_source = 'agent',
    exception_json = json_object('id', json_extract(json, '$.excepted_by'), 'source', 'agent', 'verdict', 'unknown')
    WHERE json_extract(json, '$.excepted_by') IS NOT NULL;

-- Those in force in the running collector, as its files had them.
CREATE TABLE exceptions (
    id TEXT PRIMARY KEY NOT NULL,
    place INTEGER NOT NULL,                     -- order in the files: the first that covers is named
    owner TEXT NOT NULL,
    reason TEXT NOT NULL,
    created INTEGER NOT NULL,
    expires INTEGER NOT NULL,                   -- holds up to and including this time
    scope_json TEXT NOT NULL
) STRICT;
-- One row: when the files were read last, and what was wrong with them then.
CREATE TABLE exceptions_read (
    one INTEGER PRIMARY KEY NOT NULL CHECK (one = 1),
    at INTEGER NOT NULL,
    error TEXT                                  -- NULL: what is in force is what the files say
) STRICT;
