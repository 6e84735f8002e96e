-- How many submissions there are in each state: one row a state would be locked by every move, so each is
-- spread over 16 slots, by the first digit of the submission's id.
CREATE TABLE IF NOT EXISTS submission_counts (
    slot INT NOT NULL,
    deleted INT NOT NULL,
    status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (slot, deleted, status)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT IGNORE INTO submission_counts (slot, deleted, status, amount) SELECT sixteenths.four * 4 + quarters.one, flags.deleted, states.status, 0 FROM (SELECT 0 AS four UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS sixteenths CROSS JOIN (SELECT 0 AS one UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS quarters CROSS JOIN (SELECT 0 AS deleted UNION ALL SELECT 1) AS flags CROSS JOIN (SELECT 'pending' AS status UNION ALL SELECT 'processing' UNION ALL SELECT 'completed' UNION ALL SELECT 'failed' UNION ALL SELECT 'timed_out' UNION ALL SELECT 'cancelled') AS states;

UPDATE submission_counts SET amount = COALESCE((SELECT counted.amount FROM (SELECT CONV(LEFT(id, 1), 16, 10) AS slot, deleted_at IS NOT NULL AS deleted, status, COUNT(*) AS amount FROM submissions GROUP BY 1, 2, 3) AS counted WHERE counted.slot = submission_counts.slot AND counted.deleted = submission_counts.deleted AND counted.status = submission_counts.status), 0);

-- An index for each way to list. Whether a submission was deleted stands in each, so that counting reads the
-- index alone. (One that begins with deleted_at would mislead: read for deep pages, it takes seconds.)
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'submissions' AND index_name = 'listed_by_status_change'), 'DO 0', 'ALTER TABLE submissions ADD KEY listed_by_time (created_at, id, deleted_at), ADD KEY listed_by_status (status, created_at, id, deleted_at), ADD KEY listed_by_change (updated_at, id, deleted_at), ADD KEY listed_by_status_change (status, updated_at, id, deleted_at), ADD KEY listed_by_email (email, created_at, id, deleted_at), ADD KEY listed_by_error (error_code, created_at, id, deleted_at), ADD KEY listed_by_sender (submitted_by, created_at, id, deleted_at)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;
