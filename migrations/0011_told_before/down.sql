ALTER TABLE runs DROP COLUMN told_before;
