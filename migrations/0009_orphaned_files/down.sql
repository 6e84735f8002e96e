ALTER TABLE files DROP KEY files_by_digest;
DROP TABLE orphaned_files;
