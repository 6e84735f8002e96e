DROP TABLE idempotency_keys;
DROP TABLE deliveries;
DROP TABLE events;
DROP TABLE results;
DROP TABLE runs;
DROP TABLE files;
DROP TABLE submissions;
