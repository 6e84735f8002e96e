-- Runs that wait to be started, apart from those that were called off before that, which stay for ever. With the
-- time since when they wait, so that counting those that wait for long reads the index alone.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'runs' AND index_name = 'runs_waiting'), 'DO 0', 'ALTER TABLE runs DROP KEY runs_to_start, ADD KEY runs_waiting (temporal_run_id, finished_at, start_after, created_at)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;

-- E-mails that are not settled, and that no workflow of their own is to be started for: the oldest first.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'deliveries' AND index_name = 'deliveries_open'), 'DO 0', 'ALTER TABLE deliveries DROP KEY deliveries_unsettled, ADD KEY deliveries_open (settled_at, start_after, created_at, id)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;
