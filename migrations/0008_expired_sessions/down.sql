ALTER TABLE sessions DROP KEY sessions_expired;
