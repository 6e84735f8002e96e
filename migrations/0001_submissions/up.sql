-- What a patient sent, and where it stands. `last_event` numbers the story; `run_number` names the newest run.
CREATE TABLE IF NOT EXISTS submissions (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    email VARCHAR(254) NOT NULL,
    comments TEXT NOT NULL,
    status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    consent_version VARCHAR(64) NOT NULL,
    consent_at DATETIME(6) NOT NULL,
    run_number INT NOT NULL,
    last_event INT NOT NULL,
    error_code VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    error_detail VARCHAR(1000) NULL,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- One uploaded image each; the bytes stand in the object store under their SHA-256.
CREATE TABLE IF NOT EXISTS files (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    position INT NOT NULL,
    name VARCHAR(255) NOT NULL,
    media_type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    size BIGINT NOT NULL,
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY files_of_submission (submission_id, position),
    CONSTRAINT files_belong FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- One execution of the diagnosis workflow each. A run without a temporal_run_id is the outbox:
-- it waits to be started, not before `start_after`.
CREATE TABLE IF NOT EXISTS runs (
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    number INT NOT NULL,
    temporal_run_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    start_after DATETIME(6) NOT NULL,
    loopai_agent_id INT NULL,
    loopai_execution_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NULL,
    created_at DATETIME(6) NOT NULL,
    started_at DATETIME(6) NULL,
    requested_at DATETIME(6) NULL,
    finished_at DATETIME(6) NULL,
    PRIMARY KEY (submission_id, number),
    UNIQUE KEY runs_by_temporal_run (temporal_run_id),
    KEY runs_to_start (temporal_run_id, start_after),
    CONSTRAINT runs_belong FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- What LoopAI returned, whole, as JSON text (it has no schema).
CREATE TABLE IF NOT EXISTS results (
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run_number INT NOT NULL,
    body MEDIUMTEXT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (submission_id),
    CONSTRAINT results_belong FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- A submission's append-only story. `number` counts from 1 without gaps within the submission;
-- `id` is only the order in which a tail of the whole table meets the rows.
CREATE TABLE IF NOT EXISTS events (
    id BIGINT NOT NULL AUTO_INCREMENT,
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    number INT NOT NULL,
    name VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    step VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    message VARCHAR(500) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY events_of_submission (submission_id, number),
    CONSTRAINT events_belong FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- One e-mail that is owed each: planned in the transaction that gave the reason for it. `sending_until`
-- is when the one that hands it over must be done, and may be taken for dead.
CREATE TABLE IF NOT EXISTS deliveries (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run_number INT NOT NULL,
    kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    attempts INT NOT NULL,
    error_code VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    error_detail VARCHAR(1000) NULL,
    created_at DATETIME(6) NOT NULL,
    sending_until DATETIME(6) NULL,
    settled_at DATETIME(6) NULL,
    PRIMARY KEY (id),
    UNIQUE KEY deliveries_of_run (submission_id, run_number, kind),
    CONSTRAINT deliveries_belong FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- Answers already given to an Idempotency-Key. Without a submission_id the first request is still
-- at work, until `claimed_until`; after that a repeat may take over and finish it.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    body_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    claim CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    claimed_until DATETIME(6) NOT NULL,
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    expires_at DATETIME(6) NOT NULL,
    PRIMARY KEY (key_hash),
    KEY idempotency_keys_expired (expires_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;
