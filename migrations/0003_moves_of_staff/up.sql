-- MySQL has no `ADD COLUMN IF NOT EXISTS`. Each change below asks first whether it was made, and does nothing then.

-- Who sent it, where that was somebody with an account; when staff deleted it. And the words of the comments, to be searched.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'submissions' AND column_name = 'deleted_at'), 'DO 0', 'ALTER TABLE submissions ADD COLUMN submitted_by CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL, ADD COLUMN deleted_at DATETIME(6) NULL, ADD FULLTEXT KEY submissions_full_text (comments)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;

-- When staff called a run off. `cancel_after` stands while Temporal was not told yet, and says when to try.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'runs' AND column_name = 'cancel_after'), 'DO 0', 'ALTER TABLE runs ADD COLUMN cancel_requested_at DATETIME(6) NULL, ADD COLUMN cancel_after DATETIME(6) NULL, ADD KEY runs_to_cancel (cancel_after)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;

-- A completed submission can be diagnosed again: each run may have a result.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.key_column_usage WHERE table_schema = DATABASE() AND table_name = 'results' AND constraint_name = 'PRIMARY' AND column_name = 'run_number'), 'DO 0', 'ALTER TABLE results DROP PRIMARY KEY, ADD PRIMARY KEY (submission_id, run_number)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;

-- The same e-mail sent again counts its copies. `start_after` stands while its own workflow is not started yet.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.columns WHERE table_schema = DATABASE() AND table_name = 'deliveries' AND column_name = 'copy'), 'DO 0', 'ALTER TABLE deliveries ADD COLUMN copy INT NOT NULL DEFAULT 0, ADD COLUMN start_after DATETIME(6) NULL, DROP KEY deliveries_of_run, ADD UNIQUE KEY deliveries_of_run (submission_id, run_number, kind, copy), ADD KEY deliveries_to_start (start_after), ADD KEY deliveries_unsettled (settled_at, submission_id)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;
