-- What LoopAI is asked, by run. Without `acquired_at` the run waits for a place, since `queued_at`; with it, it has
-- one until `released_at`. `turn_expires_at` is when a run that was told to come again has lost its turn.
CREATE TABLE IF NOT EXISTS loopai_slots (
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run_number INT NOT NULL,
    queued_at DATETIME(6) NOT NULL,
    turn_expires_at DATETIME(6) NULL,
    acquired_at DATETIME(6) NULL,
    released_at DATETIME(6) NULL,
    PRIMARY KEY (submission_id, run_number),
    KEY loopai_slots_waiting (turn_expires_at, queued_at, acquired_at),
    KEY loopai_slots_held (released_at, acquired_at),
    KEY loopai_slots_by_time (acquired_at),
    CONSTRAINT loopai_slots_belong FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The one gate before LoopAI: its lock gives out places one by one, and its columns tell whether LoopAI is away.
CREATE TABLE IF NOT EXISTS loopai_breaker (
    id INT NOT NULL,
    failures INT NOT NULL,
    trips INT NOT NULL,
    epoch BIGINT NOT NULL,
    open_until DATETIME(6) NULL,
    probe_until DATETIME(6) NULL,
    ramp_step INT NULL,
    next_request_at DATETIME(6) NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT IGNORE INTO loopai_breaker (id, failures, trips, epoch) VALUES (1, 0, 0, 0);

-- What is under way at LoopAI now.
INSERT IGNORE INTO loopai_slots (submission_id, run_number, queued_at, acquired_at) SELECT runs.submission_id, runs.number, COALESCE(runs.requested_at, runs.created_at), COALESCE(runs.requested_at, runs.created_at) FROM submissions INNER JOIN runs ON runs.submission_id = submissions.id AND runs.number = submissions.run_number WHERE submissions.status = 'processing';
