-- What is searched: addresses as text that sorts as they do (`4` and 8 hexadecimal digits, `6` and 32, of a link `m` and 12),
-- and indexes by time, of findings and alerts by address too. Not of flows: there are thousands a second, each address is
-- somewhere else in an index, and the two would make the log that is synced before an acknowledgement four times as long.

ALTER TABLE flows ADD COLUMN originator_key TEXT NOT NULL DEFAULT '';
ALTER TABLE flows ADD COLUMN responder_key TEXT NOT NULL DEFAULT '';
ALTER TABLE findings ADD COLUMN originator_key TEXT;         -- NULL: it names none
ALTER TABLE findings ADD COLUMN responder_key TEXT;
ALTER TABLE alerts ADD COLUMN host_key TEXT;

-- What is stored already: each address once.
CREATE TABLE address_keys (address TEXT PRIMARY KEY NOT NULL, parts TEXT, key TEXT) STRICT, WITHOUT ROWID;
INSERT INTO address_keys (address)
    SELECT originator FROM flows UNION SELECT responder FROM flows
    UNION SELECT originator FROM findings WHERE originator IS NOT NULL
    UNION SELECT responder FROM findings WHERE responder IS NOT NULL
    UNION SELECT host FROM alerts WHERE host IS NOT NULL;
-- Of a link.
UPDATE address_keys SET key = 'm' || replace(address, ':', '')
    WHERE address LIKE '__:__:__:__:__:__' AND address NOT LIKE '%::%';
-- IPv4, also written as IPv6.
UPDATE address_keys SET parts = replace(address, '::ffff:', '')
    WHERE replace(address, '::ffff:', '') GLOB '[0-9]*.[0-9]*.[0-9]*.[0-9]*' AND replace(address, '::ffff:', '') NOT LIKE '%:%';
UPDATE address_keys SET key = printf('4%02x%02x%02x%02x',
        json_extract('[' || replace(parts, '.', ',') || ']', '$[0]'),
        json_extract('[' || replace(parts, '.', ',') || ']', '$[1]'),
        json_extract('[' || replace(parts, '.', ',') || ']', '$[2]'),
        json_extract('[' || replace(parts, '.', ',') || ']', '$[3]'))
    WHERE parts IS NOT NULL;
-- IPv6: as many zeros for :: as are missing from eight groups, then each group to four digits.
UPDATE address_keys SET parts = trim(replace(address, '::', ':' || substr('0:0:0:0:0:0:0:0:', 1,
        2 * (8 - (length(address) - length(replace(address, ':', '')) - (address LIKE '::%') - (address LIKE '%::'))))), ':')
    WHERE parts IS NULL AND key IS NULL AND address LIKE '%:%';
UPDATE address_keys SET key = '6'
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[0]'), -4)
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[1]'), -4)
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[2]'), -4)
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[3]'), -4)
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[4]'), -4)
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[5]'), -4)
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[6]'), -4)
        || substr('0000' || json_extract('["' || replace(parts, ':', '","') || '"]', '$[7]'), -4)
    WHERE key IS NULL AND parts IS NOT NULL;
UPDATE flows SET originator_key = coalesce((SELECT k.key FROM address_keys k WHERE k.address = originator), ''),
    responder_key = coalesce((SELECT k.key FROM address_keys k WHERE k.address = responder), '');
UPDATE findings SET originator_key = (SELECT k.key FROM address_keys k WHERE k.address = originator),
    responder_key = (SELECT k.key FROM address_keys k WHERE k.address = responder);
UPDATE alerts SET host_key = (SELECT k.key FROM address_keys k WHERE k.address = host);
DROP TABLE address_keys;

CREATE INDEX flows_by_start ON flows (start);
CREATE INDEX findings_by_time ON findings (time);
CREATE INDEX findings_by_originator ON findings (originator_key, time) WHERE originator_key IS NOT NULL;
CREATE INDEX findings_by_responder ON findings (responder_key, time) WHERE responder_key IS NOT NULL;
CREATE INDEX alerts_by_time ON alerts (time);
CREATE INDEX alerts_by_host ON alerts (host_key, time) WHERE host_key IS NOT NULL;

-- Lists of incidents and their counts are read from these alone, without the incidents themselves.
CREATE INDEX incidents_by_opening ON incidents (opened_at, id, severity, state, category, body);
CREATE INDEX incidents_open ON incidents (severity, opened_at, id, state, category, body)
    WHERE state NOT IN ('closed', 'false_positive', 'merged');
