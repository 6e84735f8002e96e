ALTER TABLE runs DROP COLUMN maybe_notified;
