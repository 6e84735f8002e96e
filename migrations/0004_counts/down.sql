ALTER TABLE submissions
    DROP KEY listed_by_time,
    DROP KEY listed_by_status,
    DROP KEY listed_by_change,
    DROP KEY listed_by_status_change,
    DROP KEY listed_by_email,
    DROP KEY listed_by_error,
    DROP KEY listed_by_sender;

DROP TABLE IF EXISTS submission_counts;
