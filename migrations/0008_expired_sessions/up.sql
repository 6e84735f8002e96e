-- Sessions that ended long ago are swept, by their absolute end.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'sessions' AND index_name = 'sessions_expired'), 'DO 0', 'ALTER TABLE sessions ADD KEY sessions_expired (expires_at)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;
