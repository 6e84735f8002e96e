-- What LoopAI is asked, by run. Without `taken_at` the run waits for a place, since `asked_at`; with it, it has
-- one until `left_at`. `waits_until` is when a run that was told to come again has lost its turn.
CREATE TABLE IF NOT EXISTS loopai_places (
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run_number INT NOT NULL,
    asked_at DATETIME(6) NOT NULL,
    waits_until DATETIME(6) NULL,
    taken_at DATETIME(6) NULL,
    left_at DATETIME(6) NULL,
    PRIMARY KEY (submission_id, run_number),
    KEY loopai_places_waiting (waits_until, asked_at, taken_at),
    KEY loopai_places_held (left_at, taken_at),
    KEY loopai_places_by_time (taken_at),
    CONSTRAINT loopai_places_belong FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The one gate before LoopAI: its lock gives out places one by one, and its columns tell whether LoopAI is away.
CREATE TABLE IF NOT EXISTS loopai_gate (
    id INT NOT NULL,
    failures INT NOT NULL,
    shuttings INT NOT NULL,
    epoch BIGINT NOT NULL,
    shut_until DATETIME(6) NULL,
    probe_until DATETIME(6) NULL,
    ramp INT NULL,
    next_at DATETIME(6) NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT IGNORE INTO loopai_gate (id, failures, shuttings, epoch) VALUES (1, 0, 0, 0);

-- What is under way at LoopAI now.
INSERT IGNORE INTO loopai_places (submission_id, run_number, asked_at, taken_at) SELECT runs.submission_id, runs.number, COALESCE(runs.requested_at, runs.created_at), COALESCE(runs.requested_at, runs.created_at) FROM submissions INNER JOIN runs ON runs.submission_id = submissions.id AND runs.number = submissions.run_number WHERE submissions.status = 'processing';
