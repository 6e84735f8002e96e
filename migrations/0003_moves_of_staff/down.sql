DELETE FROM deliveries WHERE copy > 0;
ALTER TABLE deliveries
    DROP KEY deliveries_unsettled,
    DROP KEY deliveries_to_start,
    DROP KEY deliveries_of_run,
    ADD UNIQUE KEY deliveries_of_run (submission_id, run_number, kind),
    DROP COLUMN start_after,
    DROP COLUMN copy;
DELETE older FROM results older
    JOIN results newer ON newer.submission_id = older.submission_id AND newer.run_number > older.run_number;
ALTER TABLE results DROP PRIMARY KEY, ADD PRIMARY KEY (submission_id);
ALTER TABLE runs
    DROP KEY runs_to_cancel,
    DROP COLUMN cancel_after,
    DROP COLUMN cancel_requested_at;
ALTER TABLE submissions
    DROP KEY submissions_full_text,
    DROP COLUMN deleted_at,
    DROP COLUMN submitted_by;
