ALTER TABLE deliveries DROP KEY deliveries_open, ADD KEY deliveries_unsettled (settled_at, submission_id);
ALTER TABLE runs DROP KEY runs_waiting, ADD KEY runs_to_start (temporal_run_id, start_after);
