-- What was seen of each host of a body, for rules over several categories; and what such rules put together.

CREATE TABLE host_sightings (
    body TEXT NOT NULL,
    host TEXT NOT NULL,
    category TEXT NOT NULL,                     -- of incidents
    source TEXT NOT NULL,                       -- network | endpoint
    incident TEXT NOT NULL,                     -- '': none of its own
    first_seen INTEGER NOT NULL,                -- event time
    last_seen INTEGER NOT NULL,
    severity INTEGER NOT NULL,
    contained INTEGER NOT NULL,                 -- the product says so
    PRIMARY KEY (body, host, category, source, incident)
) STRICT;
CREATE INDEX host_sightings_open ON host_sightings (source, contained, last_seen);

CREATE TABLE incident_links (
    one TEXT NOT NULL REFERENCES incidents (id),
    other TEXT NOT NULL REFERENCES incidents (id),
    rule TEXT NOT NULL,
    at INTEGER NOT NULL,
    json TEXT NOT NULL,                         -- rule, inputs, threshold
    PRIMARY KEY (one, other, rule)
) STRICT;
CREATE INDEX incident_links_by_other ON incident_links (other);
