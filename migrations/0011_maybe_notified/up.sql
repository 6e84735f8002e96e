-- Whether a run that is open may have told its end to the patient before the database was brought back to an earlier
-- moment: 'perhaps', or 'closed', which is: if Temporal has ended it meanwhile. NULL, as almost always: no.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'runs' AND column_name = 'maybe_notified'), 'DO 0', 'ALTER TABLE runs ADD COLUMN maybe_notified VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;
