-- What is searched: addresses as text that sorts as they do (`4` and 8 hexadecimal digits, `6` and 32, of a link `m` and 12),
-- and indexes by time, of findings and alerts by address too. Not of flows: there are thousands a second, each address is
-- somewhere else in an index, and the two would make the log that is synced before an acknowledgement four times as long.

ALTER TABLE flows ADD COLUMN originator_key TEXT NOT NULL DEFAULT '';
ALTER TABLE flows ADD COLUMN responder_key TEXT NOT NULL DEFAULT '';
ALTER TABLE findings ADD COLUMN originator_key TEXT;         -- NULL: it names none
ALTER TABLE findings ADD COLUMN responder_key TEXT;
ALTER TABLE alerts ADD COLUMN host_key TEXT;

-- What is stored already: each address once.
CREATE TABLE address_keys (address TEXT PRIMARY KEY NOT NULL, key TEXT);
INSERT INTO address_keys (address)
    SELECT originator FROM flows UNION SELECT responder FROM flows
    UNION SELECT originator FROM findings WHERE originator IS NOT NULL
    UNION SELECT responder FROM findings WHERE responder IS NOT NULL
    UNION SELECT host FROM alerts WHERE host IS NOT NULL;
-- Of a link.
UPDATE address_keys SET key = 'm' || replace(address, ':', '')
    WHERE address LIKE '__:__:__:__:__:__' AND address NOT LIKE '%::%';
-- An IPv4 address that is written as an IPv6 one is the IPv4 one.
UPDATE address_keys SET key = CASE WHEN address LIKE '%:%' AND address NOT LIKE '::ffff:%.%' THEN '6' ELSE '4' END
    || encode(substring(inet_send(CAST(replace(address, CASE WHEN address LIKE '::ffff:%.%' THEN '::ffff:' ELSE '/' END, '') AS inet)) FROM 5), 'hex')
    WHERE key IS NULL;
UPDATE flows SET originator_key = coalesce((SELECT k.key FROM address_keys k WHERE k.address = originator), ''),
    responder_key = coalesce((SELECT k.key FROM address_keys k WHERE k.address = responder), '');
UPDATE findings SET originator_key = (SELECT k.key FROM address_keys k WHERE k.address = originator),
    responder_key = (SELECT k.key FROM address_keys k WHERE k.address = responder);
UPDATE alerts SET host_key = (SELECT k.key FROM address_keys k WHERE k.address = host);
DROP TABLE address_keys;

CREATE INDEX flows_by_start ON flows (start, n);
CREATE INDEX findings_by_time ON findings (time, n);
CREATE INDEX findings_by_originator ON findings (originator_key, time, n) WHERE originator_key IS NOT NULL;
CREATE INDEX findings_by_responder ON findings (responder_key, time, n) WHERE responder_key IS NOT NULL;
CREATE INDEX alerts_by_time ON alerts (time, n);
CREATE INDEX alerts_by_host ON alerts (host_key, time, n) WHERE host_key IS NOT NULL;

-- Lists of incidents and their counts are read from these alone, without the incidents themselves.
CREATE INDEX incidents_by_opening ON incidents (opened_at, id, severity, state, category, body);
CREATE INDEX incidents_open ON incidents (severity, opened_at, id, state, category, body)
    WHERE state NOT IN ('closed', 'false_positive', 'merged');
