-- MySQL commits each statement separately, so every statement must be safe to repeat after an interrupted migration.

-- `last_event` is the number of the newest event, and `run_number` is the number of the newest run. `original_email` is
-- the address the patient originally entered, or NULL if staff have not corrected it. `revision` counts the changes to
-- `email`, `note` and `assignee`. Each `listed_by_…` index serves one kind of list and includes `deleted_at` so that
-- counting reads only the index. No index begins with `deleted_at` because the database would choose it for deep pages,
-- which would then take seconds.
CREATE TABLE IF NOT EXISTS submissions (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    email VARCHAR(254) NOT NULL,
    -- Digest of the recipient's mailbox, used to limit the number of submissions per recipient.
    recipient CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
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
    submitted_by CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    deleted_at DATETIME(6) NULL,
    erased_at DATETIME(6) NULL,
    original_email VARCHAR(254) NULL,
    note VARCHAR(1000) NULL,
    assignee CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    revision INT NOT NULL DEFAULT 0,
    -- Set while the newest run's workflow task fails on every attempt.
    stuck_since DATETIME(6) NULL,
    stuck_cause VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    -- Set when staff revoke the patient's access token.
    token_revoked_at DATETIME(6) NULL,
    -- Language tag of the e-mails to the patient.
    language VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT 'en',
    PRIMARY KEY (id),
    KEY listed_by_time (created_at, id, deleted_at),
    KEY listed_by_status (status, created_at, id, deleted_at),
    KEY listed_by_change (updated_at, id, deleted_at),
    KEY listed_by_status_change (status, updated_at, id, deleted_at),
    KEY listed_by_email (email, created_at, id, deleted_at),
    KEY listed_by_error (error_code, created_at, id, deleted_at),
    KEY listed_by_sender (submitted_by, created_at, id, deleted_at),
    KEY listed_by_assignee (assignee, created_at, id, deleted_at),
    KEY listed_by_stuck (stuck_since),
    KEY submissions_of_recipient (recipient, status, created_at),
    KEY submissions_to_erase (erased_at, finished_at, id),
    KEY submissions_by_end (status, finished_at, error_code, run_number, created_at),
    FULLTEXT KEY submissions_full_text (comments)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The table has 256 rows. A transaction that counts a recipient's submissions first locks the row whose id is the first
-- byte of `recipient`.
CREATE TABLE IF NOT EXISTS recipient_locks (
    id INT NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT IGNORE INTO recipient_locks (id)
SELECT 64 * a.n + 16 * b.n + 4 * c.n + d.n
FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS a
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS b
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS c
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS d;

-- Number of submissions in each state. With one row per state, concurrent transitions would wait for one another, so
-- each count is spread over 16 shards, by the first digit of the submission's id.
CREATE TABLE IF NOT EXISTS submission_counts (
    shard INT NOT NULL,
    deleted INT NOT NULL,
    status VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    amount BIGINT NOT NULL,
    PRIMARY KEY (shard, deleted, status)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT IGNORE INTO submission_counts (shard, deleted, status, amount)
SELECT fours.n * 4 + ones.n, flags.n, statuses.name, 0
FROM (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS fours
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1 UNION ALL SELECT 2 UNION ALL SELECT 3) AS ones
CROSS JOIN (SELECT 0 AS n UNION ALL SELECT 1) AS flags
CROSS JOIN (
    SELECT 'pending' AS name
    UNION ALL SELECT 'processing'
    UNION ALL SELECT 'completed'
    UNION ALL SELECT 'failed'
    UNION ALL SELECT 'timed_out'
    UNION ALL SELECT 'cancelled'
) AS statuses;

-- The contents of the files are in the object store, under their SHA-256 digest.
CREATE TABLE IF NOT EXISTS files (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    position INT NOT NULL,
    name VARCHAR(255) NOT NULL,
    media_type VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    size BIGINT NOT NULL,
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    -- Size and digest of the photo without its metadata, as sent to LoopAI.
    cleaned_size BIGINT NOT NULL,
    cleaned_sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY files_of_submission (submission_id, position),
    KEY files_by_digest (sha256),
    CONSTRAINT files_fk FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- A reservation is inserted before bytes are stored, and deleted by the transaction that stores their submission. Bytes
-- whose reservation is old are an orphaned file.
CREATE TABLE IF NOT EXISTS blob_reservations (
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reserved_at DATETIME(6) NOT NULL,
    PRIMARY KEY (sha256),
    KEY blob_reservations_by_age (reserved_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- This table is also the outbox: a run without a `temporal_run_id` is queued, and sweeps start it at `start_after` or
-- later. Until Temporal has accepted a requested cancellation, `cancel_after` is the time of the next attempt.
-- `maybe_notified` is set only after a restore from a backup. It is 'unknown' if the patient may already have been
-- notified, and 'if_closed' if that depends on whether Temporal has closed the run. The `runs_waiting` index includes
-- `created_at` so that counting overdue runs reads only the index.
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
    cancel_requested_at DATETIME(6) NULL,
    cancel_after DATETIME(6) NULL,
    maybe_notified VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NULL,
    PRIMARY KEY (submission_id, number),
    UNIQUE KEY runs_by_temporal_run (temporal_run_id),
    KEY runs_waiting (temporal_run_id, finished_at, start_after, created_at),
    KEY runs_to_cancel (cancel_after),
    CONSTRAINT runs_fk FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- LoopAI's results are stored as JSON text because they have no fixed schema.
CREATE TABLE IF NOT EXISTS results (
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run_number INT NOT NULL,
    body MEDIUMTEXT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (submission_id, run_number),
    CONSTRAINT results_fk FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- `number` counts each submission's events from 1 without gaps. `id` orders the events across all submissions.
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
    CONSTRAINT events_fk FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- `sending_until` is the time after which the sender is presumed dead. `claim` is a random id for each claim because
-- two attempts could compute the same attempt number. `copy` is 0 for the original e-mail, and 1, 2 … for copies resent
-- by staff. `start_after` is set while the delivery is waiting for its standalone workflow to be started. `run_number`
-- is 0 if the e-mail reports on no run. `link_used_at` is set once the link in the e-mail has been used or disabled.
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
    copy INT NOT NULL DEFAULT 0,
    start_after DATETIME(6) NULL,
    claim CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',
    link_used_at DATETIME(6) NULL,
    PRIMARY KEY (id),
    UNIQUE KEY deliveries_of_run (submission_id, run_number, kind, copy),
    KEY deliveries_to_start (start_after),
    KEY deliveries_by_status (status, created_at, submission_id, run_number, copy),
    KEY deliveries_open (settled_at, start_after, created_at, id),
    CONSTRAINT deliveries_fk FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- While `submission_id` is NULL, the request that claimed the key is in progress. After `claimed_until`, a repeated
-- request may take over the claim.
CREATE TABLE IF NOT EXISTS idempotency_keys (
    key_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    body_hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    claim CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    claimed_until DATETIME(6) NOT NULL,
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    expires_at DATETIME(6) NOT NULL,
    PRIMARY KEY (key_hash),
    KEY idempotency_keys_expired (expires_at),
    KEY idempotency_keys_of_submission (submission_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The table has a single row, which names the Temporal namespace and cluster that the runs belong to.
CREATE TABLE IF NOT EXISTS temporal_cluster (
    id INT NOT NULL,
    namespace VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    cluster_id VARCHAR(255) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    recorded_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The receipt for each erased submission, as JSON text. Receipts contain none of the patient's personal data.
CREATE TABLE IF NOT EXISTS erasures (
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    receipt MEDIUMTEXT NOT NULL,
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (submission_id),
    CONSTRAINT erasures_fk FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- A run waits for a slot from `queued_at`, and holds the slot from `acquired_at` to `released_at`, or only to
-- `held_until` if its requests keep failing. A deferred run that has not returned by `turn_expires_at` loses its turn.
-- `failures` counts the run's failed requests, and `own_failures` counts those that LoopAI answered with 500 even though
-- it had accepted other runs' requests since `failed_at`.
CREATE TABLE IF NOT EXISTS loopai_slots (
    submission_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    run_number INT NOT NULL,
    queued_at DATETIME(6) NOT NULL,
    turn_expires_at DATETIME(6) NULL,
    acquired_at DATETIME(6) NULL,
    held_until DATETIME(6) NULL,
    released_at DATETIME(6) NULL,
    failures INT NOT NULL DEFAULT 0,
    own_failures INT NOT NULL DEFAULT 0,
    failed_at DATETIME(6) NULL,
    PRIMARY KEY (submission_id, run_number),
    KEY loopai_slots_waiting (turn_expires_at, queued_at, failures, acquired_at, held_until),
    KEY loopai_slots_held (released_at, acquired_at, held_until),
    KEY loopai_slots_failing (released_at, own_failures),
    KEY loopai_slots_by_time (acquired_at),
    CONSTRAINT loopai_slots_fk FOREIGN KEY (submission_id) REFERENCES submissions (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The table has a single row. The lock on this row also serialises the allocation of slots across all workers.
CREATE TABLE IF NOT EXISTS loopai_breaker (
    id INT NOT NULL,
    failures INT NOT NULL DEFAULT 0,
    unavailable INT NOT NULL DEFAULT 0,
    counted_since DATETIME(6) NULL,
    failed_at DATETIME(6) NULL,
    succeeded_at DATETIME(6) NULL,
    trips INT NOT NULL DEFAULT 0,
    epoch BIGINT NOT NULL DEFAULT 0,
    admits_first_requests INT NOT NULL DEFAULT 0,
    open_until DATETIME(6) NULL,
    probe_until DATETIME(6) NULL,
    ramp_step INT NULL,
    next_request_at DATETIME(6) NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT IGNORE INTO loopai_breaker (id) VALUES (1);

-- A target is paused while it has a row.
CREATE TABLE IF NOT EXISTS pauses (
    target VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reason VARCHAR(500) NOT NULL,
    paused_by CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    paused_by_name VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    paused_at DATETIME(6) NOT NULL,
    PRIMARY KEY (target)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- Users are never deleted because the audit log refers to them. `email` is stored in lower case.
CREATE TABLE IF NOT EXISTS users (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    email VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    name VARCHAR(200) NOT NULL,
    role VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    password_hash VARCHAR(255) CHARACTER SET ascii COLLATE ascii_bin NULL,
    password_changed_at DATETIME(6) NULL,
    disabled_at DATETIME(6) NULL,
    created_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    PRIMARY KEY (id),
    UNIQUE KEY users_by_email (email),
    KEY users_listed (created_at, id),
    KEY users_by_role (role, disabled_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- Refresh tokens are stored only as digests. `previous_refresh` is still accepted for a short time in case the response
-- with the new token was lost.
CREATE TABLE IF NOT EXISTS sessions (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    refresh CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    previous_refresh CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NULL,
    refreshed_at DATETIME(6) NOT NULL,
    network VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    address VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_agent VARCHAR(255) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    used_at DATETIME(6) NOT NULL,
    idle_after DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    ended_at DATETIME(6) NULL,
    end_reason VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NULL,
    PRIMARY KEY (id),
    KEY sessions_of_user (user_id, created_at),
    KEY sessions_expired (expires_at),
    CONSTRAINT sessions_fk FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- `secret` contains only the SHA-256 digest of the key's secret.
CREATE TABLE IF NOT EXISTS api_keys (
    id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    user_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    name VARCHAR(200) NOT NULL,
    secret CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL,
    used_at DATETIME(6) NULL,
    expires_at DATETIME(6) NULL,
    revoked_at DATETIME(6) NULL,
    PRIMARY KEY (id),
    KEY api_keys_of_user (user_id, created_at),
    CONSTRAINT api_keys_fk FOREIGN KEY (user_id) REFERENCES users (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- Counts of failed sign-ins. `subject` is a digest of an account, a network, a device or a combination of these.
CREATE TABLE IF NOT EXISTS throttles (
    subject CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    failures INT NOT NULL,
    failed_at DATETIME(6) NOT NULL,
    PRIMARY KEY (subject),
    KEY throttles_by_time (failed_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- This table is append-only. `number` counts the entries without gaps. `hash` seals an entry together with the previous
-- entry.
CREATE TABLE IF NOT EXISTS audit (
    number BIGINT NOT NULL,
    at DATETIME(6) NOT NULL,
    actor_kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    actor_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NULL,
    actor_name VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL,
    action VARCHAR(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    object_kind VARCHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    object_id VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    result VARCHAR(48) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    address VARCHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    request_id VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    details TEXT NOT NULL,
    -- Identifies the AUDIT_KEY that sealed the entry.
    key_id CHAR(16) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    previous CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (number),
    KEY audit_by_time (at, number),
    KEY audit_by_actor (actor_id, number),
    KEY audit_by_name (actor_name, number),
    KEY audit_by_request (request_id, number),
    KEY audit_by_object (object_id, number),
    KEY audit_by_action (action, number),
    KEY audit_by_result (result, number),
    KEY audit_by_kind (object_kind, number)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- The table has a single row, which identifies the newest audit entry. Every transaction that appends an entry locks
-- this row.
CREATE TABLE IF NOT EXISTS audit_head (
    id INT NOT NULL,
    number BIGINT NOT NULL,
    hash CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

INSERT IGNORE INTO audit_head (id, number, hash) VALUES (1, 0, REPEAT('0', 64));
