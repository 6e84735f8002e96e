//! Every query reads by an index. The queries are those that the store really sends: they are
//! overheard on their way to a database with enough rows that an index is worth while.

use super::Records;
use diagflow_store::{DiagnosisResult, Sha256, Status};
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Rows of each table.
const ROWS: usize = 3000;

/// What was overheard: each statement with its values, as Diesel shows it.
static OVERHEARD: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn overheard() -> Vec<String> {
    std::mem::take(&mut OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner))
}

fn overhear(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event {
        OVERHEARD.lock().unwrap_or_else(PoisonError::into_inner).push(query.to_string());
    }
}

fn listener() -> Option<Box<dyn Instrumentation>> {
    Some(Box::new(overhear))
}

/// A statement with its values in it, from `SELECT … ? -- binds: [value, …]`.
fn with_values(shown: &str) -> String {
    let (statement, values) = shown.split_once(" -- binds: ").expect("a statement and its values");
    let values = values.trim_start_matches('[').trim_end_matches(']');
    let mut values = values.split(", ").map(literal);
    let mut pieces = statement.split('?');
    let mut whole = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        whole += &values.next().expect("a value for each place");
        whole += piece;
    }
    whole
}

/// A value as SQL, from how Rust shows it: `5`, `"text"`, `SubmissionId(…)`, `Pending`.
fn literal(shown: &str) -> String {
    if shown.parse::<i64>().is_ok() {
        return shown.to_owned();
    }
    let inner = shown.split_once('(').map_or(shown, |(_, inner)| inner.trim_end_matches(')'));
    format!("'{}'", inner.trim_matches('"').to_lowercase())
}

/// One line of a plan.
#[derive(Debug, QueryableByName)]
struct PlanLine {
    #[diesel(sql_type = Nullable<Text>, column_name = "table")]
    table: Option<String>,
    #[diesel(sql_type = Nullable<Text>, column_name = "type")]
    access: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    key: Option<String>,
    #[diesel(sql_type = Nullable<Text>, column_name = "Extra")]
    extra: Option<String>,
}

impl PlanLine {
    /// Whether rows are found by a key, or none had to be read.
    fn is_by_index(&self) -> bool {
        let extra = self.extra.as_deref().unwrap_or_default();
        let nothing_to_read = ["No tables used", "Select tables optimized away"].contains(&extra);
        let scans = matches!(self.access.as_deref(), Some("ALL" | "index"));
        nothing_to_read || (self.table.is_some() && self.key.is_some() && !scans)
    }
}

/// Fills every table.
async fn fill(records: &Records) {
    let numbers: Vec<_> = (1..=ROWS).map(|number| format!("({number})")).collect();
    let story = "1, 'status_update', 'received', 'pending', '', created_at";
    for statement in [
        "CREATE TABLE numbers (n INT PRIMARY KEY)",
        &format!("INSERT INTO numbers VALUES {}", numbers.join(", ")),
        "INSERT INTO submissions SELECT UUID(), CONCAT(n, '@example.org'), '', 'completed', 'v', \
             NOW(6), 1, 1, NULL, NULL, NOW(6) - INTERVAL n MINUTE, NOW(6), NULL FROM numbers",
        "INSERT INTO files SELECT UUID(), id, 1, 'a', 'image/png', 1, SHA2(id, 256), created_at \
             FROM submissions",
        "INSERT INTO runs SELECT id, 1, UUID(), created_at, 1, id, created_at, created_at, NULL, \
             NULL FROM submissions",
        "INSERT INTO results SELECT id, 1, '{}', created_at FROM submissions",
        &format!(
            "INSERT INTO events (submission_id, number, name, step, status, message, created_at) \
             SELECT id, {story} FROM submissions"
        ),
        "INSERT INTO deliveries SELECT UUID(), id, 1, 'result', 'sent', 1, NULL, NULL, created_at, \
             NULL, NULL FROM submissions",
        "INSERT INTO idempotency_keys SELECT SHA2(id, 256), SHA2(id, 256), UUID(), NOW(6), id, \
             NOW(6) + INTERVAL 1 DAY FROM submissions",
        "ANALYZE TABLE submissions, files, runs, results, events, deliveries, idempotency_keys",
    ] {
        records.database.run(statement).await;
    }
}

/// Calls everything of the store that reads or changes rows.
async fn call_everything(records: &Records) {
    let store = &records.store;
    let (seconds, day) = (Duration::from_secs(1), Duration::from_secs(24 * 60 * 60));
    let run = records.submission().await;
    let id = run.submission;
    let key = Sha256::of(b"key");
    let body = Sha256::of(b"body");
    let execution_run = Uuid::new_v4().to_string();
    let result = DiagnosisResult::new(serde_json::Map::new());

    store.claim_key(key, body, Duration::ZERO, day).await.expect("claimed");
    store.claim_key(key, body, day, day).await.expect("taken over");
    store.sweep_keys().await.expect("swept");
    store.queued_runs(Duration::ZERO).await.expect("counted");
    assert_eq!(store.claim_queued_runs(100, seconds).await.expect("claimed").len(), 1);
    store.run_started(run, &execution_run).await.expect("started");
    store.adopt(run, &execution_run, &execution_run, None).await.expect("adopted");
    store.diagnosis_requested(run, 1, "execution").await.expect("requested");
    store.submission_of_execution("execution").await.expect("found").expect("there");
    store.diagnosis_completed(run, &result).await.expect("completed");
    store.diagnosis_completed(run, &result).await.expect("repeated");

    let submission = store.submission(id).await.expect("read").expect("there");
    assert_eq!(submission.status, Status::Completed);
    let files = store.files(id).await.expect("files");
    store.file(files[0].id).await.expect("a file").expect("there");
    store.result(id).await.expect("a result").expect("there");
    assert_eq!(store.runs(id).await.expect("runs").len(), 1);
    let deliveries = store.deliveries(id).await.expect("deliveries");
    store.claim_delivery(deliveries[0].id).await.expect("claimed");
    store.release_delivery(deliveries[0].id, "a_code", "").await.expect("released");
    store.claim_delivery(deliveries[0].id).await.expect("claimed");
    let sent = diagflow_store::DeliveryStatus::Sent;
    store.settle_delivery(deliveries[0].id, sent, None).await.expect("settled");

    assert_eq!(store.events(id, 1).await.expect("events").len(), 4);
    let newest = store.newest_event_row().await.expect("a number");
    let rows = store.event_rows(newest - 2, &[newest - 4, newest - 3], 1000).await;
    assert_eq!(rows.expect("rows").len(), 4);
}

async fn plan_of(connection: &mut AsyncMysqlConnection, statement: &str) -> Vec<PlanLine> {
    sql_query(format!("EXPLAIN {statement}")).load(connection).await.expect(statement)
}

#[tokio::test]
async fn every_query_reads_by_an_index() {
    let records = Records::new().await;
    fill(&records).await;
    set_default_instrumentation(listener).expect("listens");
    call_everything(&records).await;
    let mut statements: Vec<_> = overheard()
        .iter()
        .filter(|shown| ["SELECT", "UPDATE", "DELETE"].iter().any(|verb| shown.starts_with(verb)))
        .map(|shown| with_values(shown))
        .collect();
    statements.sort();
    statements.dedup();
    assert!(statements.len() >= 25, "{statements:#?}");

    let mut connection = records.database.connect().await;
    for statement in statements {
        let plan = plan_of(&mut connection, &statement).await;
        assert!(plan.iter().all(PlanLine::is_by_index), "{statement}\n{plan:#?}");
    }
    records.remove().await;
}
