-- Bytes that are being stored, or were, for a submission that is not stored (yet): announced before they are put
-- into the object store, named no longer here once a submission names them.
CREATE TABLE IF NOT EXISTS orphaned_files (
    sha256 CHAR(64) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    reserved_at DATETIME(6) NOT NULL,
    PRIMARY KEY (sha256),
    KEY orphaned_files_by_age (reserved_at)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_unicode_ci;

-- Before bytes are removed, it is asked whether any submission has them.
SET @alteration = IF(EXISTS(SELECT 1 FROM information_schema.statistics WHERE table_schema = DATABASE() AND table_name = 'files' AND index_name = 'files_by_digest'), 'DO 0', 'ALTER TABLE files ADD KEY files_by_digest (sha256)'); PREPARE alteration FROM @alteration; EXECUTE alteration; DEALLOCATE PREPARE alteration;
