-- Bytes that are being stored, or were, for a submission that is not stored (yet): announced before they are put
-- into the object store, named no longer here once a submission names them.
CREATE TABLE IF NOT EXISTS unnamed_bytes (
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    since DATETIME(6) NOT NULL,
    PRIMARY KEY (sha256),
    KEY unnamed_bytes_by_age (since)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- Before bytes are removed, it is asked whether any submission has them.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'files' AND index_name = 'files_by_digest'), 'DO 0', 'ALTER TABLE files ADD KEY files_by_digest (sha256)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;
