//! Fills every table with enough rows to make a full scan noticeable.

use crate::store::Records;

const ROWS: usize = 3000;

/// SQL expression that assigns each status to a fifth of the submissions. The runs of pending submissions are queued,
/// and the runs of cancelled submissions were never started.
const STATUS: &str = "ELT(n % 5 + 1, 'processing', 'pending', 'cancelled', 'failed', 'completed')";

/// Fills every table with rows, none of which is due to be started, cancelled or delivered within a day.
pub(in crate::store) async fn fill(records: &Records) {
    let numbers: Vec<_> = (1..=ROWS).map(|number| format!("({number})")).collect();
    records.database.execute("CREATE TABLE numbers (n INT PRIMARY KEY)").await;
    records.database.execute(&format!("INSERT INTO numbers VALUES {}", numbers.join(", "))).await;
    for statement in submissions().iter().map(String::as_str).chain(ACCOUNTS) {
        records.database.execute(statement).await;
    }
    records
        .database
        .execute(
            "ANALYZE TABLE submissions, files, runs, results, events, deliveries, \
             idempotency_keys, audit, users, sessions, api_keys, throttles, blob_reservations, loopai_slots",
        )
        .await;
}

fn submissions() -> Vec<String> {
    let first_event = "1, 'status_update', 'received', 'pending', '', created_at";
    let (started, waits) =
        ("status IN ('processing', 'failed', 'completed')", "status = 'pending'");
    let ended = "status IN ('cancelled', 'failed', 'completed')";
    vec![
        format!(
            "INSERT INTO submissions (id, email, recipient, comments, status, consent_version, \
             consent_at, run_number, last_event, created_at, updated_at, finished_at) \
             SELECT UUID(), CONCAT(n, '@example.org'), SHA2(n, 256), '', {STATUS}, 'v', NOW(6), 1, 1, \
             NOW(6) - INTERVAL n MINUTE, NOW(6) - INTERVAL n MINUTE, \
             IF(n % 5 > 1, NOW(6) - INTERVAL n MINUTE, NULL) FROM numbers"
        ),
        "INSERT INTO files SELECT UUID(), id, 1, 'a', 'image/png', 1, SHA2(id, 256), 1, SHA2(id, 256), \
         created_at FROM submissions"
            .to_owned(),
        format!(
            "INSERT INTO runs SELECT id, 1, IF({started}, UUID(), NULL), \
             IF({waits}, NOW(6) + INTERVAL 1 DAY, created_at), 1, IF({started}, id, NULL), created_at, \
             IF({started}, created_at, NULL), NULL, IF({ended}, created_at, NULL), NULL, NULL, NULL \
             FROM submissions"
        ),
        "INSERT INTO results SELECT id, 1, '{}', created_at FROM submissions \
         WHERE status = 'completed'"
            .to_owned(),
        format!(
            "INSERT INTO events (submission_id, number, name, step, status, message, created_at) \
             SELECT id, {first_event} FROM submissions"
        ),
        // Half of the open deliveries belong to a run, and the other half belong to a standalone workflow.
        "INSERT INTO deliveries SELECT UUID(), id, 1, 'result', IF(status = 'failed', 'sent', 'planned'), \
         1, NULL, NULL, created_at, NULL, IF(status = 'failed', created_at, NULL), 0, \
         IF(status = 'cancelled', NOW(6) + INTERVAL 1 DAY, NULL), '', NULL FROM submissions \
         WHERE status IN ('cancelled', 'failed', 'completed')"
            .to_owned(),
        "INSERT INTO idempotency_keys SELECT SHA2(id, 256), SHA2(id, 256), UUID(), NOW(6), id, \
         NOW(6) + INTERVAL 1 DAY FROM submissions"
            .to_owned(),
        // The slot rows of waiting runs have a turn that has not expired. The runs of all other slot rows have ended or
        // are in progress.
        format!(
            "INSERT INTO loopai_slots SELECT id, 1, created_at, \
             IF({waits}, NOW(6) + INTERVAL 1 DAY, NULL), IF({waits}, NULL, created_at), NULL, \
             IF({ended}, created_at, NULL), 0, 0, NULL FROM submissions"
        ),
        "INSERT INTO blob_reservations SELECT SHA2(n, 256), IF(n < 4, NOW(6) - INTERVAL 2 DAY, NOW(6)) \
         FROM numbers"
            .to_owned(),
    ]
}

const ACCOUNTS: [&str; 5] = [
    "INSERT INTO users SELECT UUID(), CONCAT(n, '@example.org'), 'x', \
     IF(n % 100 = 0, 'admin', IF(n % 2 = 0, 'service', 'clinician')), NULL, NULL, \
     IF(n % 7 = 0, NOW(6), NULL), NOW(6) - INTERVAL n MINUTE, NOW(6) FROM numbers",
    "INSERT INTO sessions SELECT UUID(), id, SHA2(id, 256), NULL, created_at, 'n', 'a', '', created_at, \
     created_at, NOW(6) + INTERVAL 1 DAY, \
     NOW(6) + INTERVAL IF(email IN ('1@example.org', '2@example.org'), -40, 1) DAY, NULL, NULL FROM users",
    "INSERT INTO api_keys SELECT UUID(), id, '', SHA2(id, 256), created_at, NULL, NULL, NULL FROM users",
    "INSERT INTO throttles SELECT SHA2(id, 256), 1, NOW(6) FROM users",
    // These audit entries have higher numbers than those that the test writes.
    "INSERT INTO audit SELECT 1000000 + n, NOW(6) - INTERVAL 4000 - n MINUTE, 'user', \
     UUID(), CONCAT(n, '@example.org'), 'submissions_view', 'service', '', 'success', '', UUID(), \
     '{}', '', '', '' FROM numbers",
];
