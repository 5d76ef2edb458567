-- What was handed in, to whom and under which number; an exemption that waits for the body's CISO.
ALTER TABLE obligations ADD COLUMN receipt TEXT NOT NULL DEFAULT '';
ALTER TABLE obligations ADD COLUMN filed_to TEXT NOT NULL DEFAULT '';
ALTER TABLE obligations ADD COLUMN proposed TEXT NOT NULL DEFAULT '';
