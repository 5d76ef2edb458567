-- A Community ID is a hash: an index that begins with it writes another page for every flow. Flows of an incident are looked for in
-- its bodies and about its time; one batch is next to itself there.
DROP INDEX flows_by_community_id;
CREATE INDEX flows_by_body ON flows (body, start, community_id);
