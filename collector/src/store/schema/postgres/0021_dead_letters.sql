-- A notice that was given up and that nobody needs any more: when that was decided, by whom, why.
ALTER TABLE notices ADD COLUMN aside_at BIGINT;
ALTER TABLE notices ADD COLUMN aside_by TEXT;
ALTER TABLE notices ADD COLUMN aside_reason TEXT;
