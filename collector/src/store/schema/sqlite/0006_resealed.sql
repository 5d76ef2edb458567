-- Finds what an agent sealed again after damage to its disk: the same records, sealed at the same time, in another epoch.
CREATE INDEX batches_by_sealing ON batches (agent, lane, sealed_at);
