//! Every query reads by an index. The queries are those that the store really sends: they are
//! overheard on their way to a database with enough rows that an index is worth while.

use super::Records;
use diagflow_store::{
    Action, AuditFilter, AuditKey, Budget, Deleted, Deletion, DeliveryStatus, DiagnosisResult,
    EmailFilter, Entry, Filter, Heard, Key, ObjectKind, Place, Sha256, Sort, SortBy, Standing,
    Status, Store, SubmissionId, UserId,
};
use diagflow_tests::database::Database;
use diagflow_tests::staff::AUDIT_KEY;
use diesel::connection::{Instrumentation, InstrumentationEvent, set_default_instrumentation};
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use uuid::Uuid;

/// Rows of each table.
const ROWS: usize = 3000;

/// Queries that may sort what they found, because that is little: the e-mails that one submission owes,
/// and lists of those whose address begins, or whose comments have words, as asked; and deleted ones;
/// and lines of the audit of a time.
const MAY_SORT: [&str; 5] = [
    "FROM `deliveries` WHERE (`deliveries`.`submission_id` = ",
    "`submissions`.`email` LIKE ",
    "MATCH (comments)",
    "`submissions`.`deleted_at` IS NOT NULL",
    "`audit`.`at` ",
];
/// A table of 192 rows, all of which are added up.
const MAY_BE_READ_WHOLE: &str = "submission_counts";

/// What is listened to, and what was overheard of it. Diesel takes one listener for the process, in
/// which other tests talk to databases of their own.
static EAR: Mutex<Option<Ear>> = Mutex::new(None);

struct Ear {
    database: String,
    /// Each statement with its values, as Diesel shows it.
    overheard: Vec<String>,
}

fn ear() -> MutexGuard<'static, Option<Ear>> {
    EAR.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Listens to what is said to `database` on connections that are opened from now on.
fn listen_to(database: &Database) {
    *ear() = Some(Ear { database: database.url(), overheard: Vec::new() });
    set_default_instrumentation(|| Some(Box::new(Listener::default()))).expect("listens");
}

/// Ends the listening; returns what was overheard.
fn overheard() -> Vec<String> {
    ear().take().map(|ear| ear.overheard).unwrap_or_default()
}

/// The listener of one connection.
#[derive(Default)]
struct Listener {
    is_ours: bool,
}

impl Instrumentation for Listener {
    fn on_connection_event(&mut self, event: InstrumentationEvent<'_>) {
        let mut ear = ear();
        let Some(ear) = ear.as_mut() else { return };
        match event {
            InstrumentationEvent::StartEstablishConnection { url, .. } => {
                self.is_ours = url.starts_with(&ear.database);
            }
            InstrumentationEvent::StartQuery { query, .. } if self.is_ours => {
                ear.overheard.push(query.to_string());
            }
            _ => {}
        }
    }
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
    if let Ok(time) = shown.parse::<chrono::NaiveDateTime>() {
        return format!("'{}'", time.format("%Y-%m-%d %H:%M:%S%.6f"));
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
    /// Whether rows are found by a key, and in the order that is asked for, or none had to be read.
    ///
    /// Of an index in the order that is asked for, no more is read than the `LIMIT`.
    fn is_by_index(&self, may_sort: bool, is_limited: bool) -> bool {
        let extra = self.extra.as_deref().unwrap_or_default();
        let nothing_to_read = ["No tables used", "Select tables optimized away"].contains(&extra);
        let whole = self.table.as_deref() == Some(MAY_BE_READ_WHOLE);
        let scans = match self.access.as_deref() {
            Some("ALL") => true,
            Some("index") => !is_limited,
            _ => false,
        };
        let sorts = extra.contains("Using filesort") || extra.contains("Using temporary");
        nothing_to_read
            || whole
            || (self.table.is_some() && self.key.is_some() && !scans && (may_sort || !sorts))
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
             NOW(6), 1, 1, NULL, NULL, NOW(6) - INTERVAL n MINUTE, NOW(6), NULL, \
             NULL, NULL FROM numbers",
        "INSERT INTO files SELECT UUID(), id, 1, 'a', 'image/png', 1, SHA2(id, 256), created_at \
             FROM submissions",
        "INSERT INTO runs SELECT id, 1, UUID(), created_at, 1, id, created_at, created_at, NULL, \
             NULL, NULL, NULL FROM submissions",
        "INSERT INTO results SELECT id, 1, '{}', created_at FROM submissions",
        &format!(
            "INSERT INTO events (submission_id, number, name, step, status, message, created_at) \
             SELECT id, {story} FROM submissions"
        ),
        "INSERT INTO deliveries SELECT UUID(), id, 1, 'result', 'sent', 1, NULL, NULL, created_at, \
             NULL, NULL, 0, NULL, '' FROM submissions",
        // All have left but the newest ones.
        "INSERT INTO loopai_places SELECT id, 1, created_at, NULL, created_at, \
             IF(created_at < NOW(6) - INTERVAL 10 MINUTE, created_at, NULL) FROM submissions",
        "INSERT INTO idempotency_keys SELECT SHA2(id, 256), SHA2(id, 256), UUID(), NOW(6), id, \
             NOW(6) + INTERVAL 1 DAY FROM submissions",
        // Beyond the numbers of the lines that are written here.
        "INSERT INTO audit SELECT 1000000 + n, NOW(6) - INTERVAL 4000 - n MINUTE, 'user', \
             UUID(), CONCAT(n, '@example.org'), 'submissions_view', 'service', '', 'done', '', UUID(), \
             '{}', '', '' FROM numbers",
        "ANALYZE TABLE submissions, files, runs, results, events, deliveries, idempotency_keys, audit, \
             loopai_places",
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
    let budget = Budget { at_once: Some(100), an_hour: Some(100) };
    let Entry::Admitted(pass) = store.enter_loopai(run, budget).await.expect("an answer") else {
        panic!("there is room");
    };
    store.loopai_heard(pass, Heard::Away).await.expect("noted");
    store.loopai_away(id).await.expect("an answer");
    store.loopai_use().await.expect("an answer");
    store.diagnosis_requested(run, 1, "execution").await.expect("requested");
    store.diagnosis_completed(run, &result).await.expect("completed");
    store.diagnosis_completed(run, &result).await.expect("repeated");

    let submission = store.submission(id).await.expect("read").expect("there");
    assert_eq!(submission.status, Status::Completed);
    let files = store.files(id).await.expect("files");
    store.file(files[0].id).await.expect("a file").expect("there");
    store.result(id).await.expect("a result").expect("there");
    assert_eq!(store.runs(id).await.expect("runs").len(), 1);
    let deliveries = store.deliveries(id).await.expect("deliveries");
    for step in 1..=3 {
        let standing = store.delivery_standing(deliveries[0].id).await.expect("an answer");
        let Standing::Planned(_, attempt) = standing else { panic!("{standing:?}") };
        let claimed = store.claim_delivery(&attempt, day).await.expect("an answer");
        let claimed = claimed.expect("claimed");
        if step < 3 {
            let released = store.release_delivery(&claimed, ("a_code", "")).await;
            assert!(released.expect("released"));
        } else {
            let settled = store.settle_delivery(&claimed, DeliveryStatus::Sent, None).await;
            assert!(settled.expect("settled"));
        }
    }

    assert_eq!(store.events(id, 1).await.expect("events").len(), 4);
    let newest = store.newest_event_row().await.expect("a number");
    let rows = store.event_rows(newest - 2, &[newest - 4, newest - 3], 1000).await;
    assert_eq!(rows.expect("rows").len(), 4);
    list_everything(store, id).await;
}

/// Calls every way to list, to count, and to delete.
async fn list_everything(store: &Store, id: SubmissionId) {
    let descending = Sort::default();
    let sorts = [
        descending,
        Sort { descending: false, ..descending },
        Sort { by: SortBy::Updated, ..descending },
    ];
    let key = Key { at: chrono::DateTime::UNIX_EPOCH.naive_utc(), id };
    let one = Filter { statuses: vec![Status::Failed], ..Filter::default() };
    for filter in [Filter::default(), one] {
        for sort in sorts {
            for place in [Place::Skip(5), Place::After(key), Place::Before(key)] {
                store.list(&filter, sort, place, 20).await.expect("a list");
            }
        }
        store.total(&filter).await.expect("a total");
        let recent = (chrono::Utc::now() - chrono::TimeDelta::hours(1)).naive_utc();
        store.total(&Filter { created_from: Some(recent), ..filter }).await.expect("a total");
    }
    for filter in [
        Filter { email: Some(EmailFilter::Exact("7@example.org".into())), ..Filter::default() },
        Filter { email: Some(EmailFilter::Prefix("77".into())), ..Filter::default() },
        Filter { words: Some("itches".parse().expect("words")), ..Filter::default() },
        Filter { error_code: Some("loopai_failed".into()), ..Filter::default() },
        Filter { submitted_by: Some(UserId::new()), ..Filter::default() },
        Filter { deleted: Deleted::Only, error_code: Some("a".into()), ..Filter::default() },
    ] {
        store.list(&filter, descending, Place::Skip(0), 20).await.expect("a list");
        store.total(&filter).await.expect("a total");
    }
    store.clinical(&[id]).await.expect("read");
    search_audit(store).await;
    let line = diagflow_tests::seeding::line(diagflow_store::Action::SubmissionDelete);
    assert_eq!(store.delete_submission(id, &line).await.expect("an answer"), Deletion::Done);
    assert_eq!(store.restore_submission(id, &line).await.expect("an answer"), Deletion::Done);
}

/// Looks for lines of the audit by each thing that can be asked for, of which there are few or none.
async fn search_audit(store: &Store) {
    let word = || Some("7".to_owned());
    let time = || Some(chrono::DateTime::UNIX_EPOCH.naive_utc());
    let any = AuditFilter::default;
    for filter in [
        any(),
        AuditFilter { actor_id: Some(UserId::new()), ..any() },
        AuditFilter { actor: word(), ..any() },
        AuditFilter { action: Some(Action::SignOut), ..any() },
        AuditFilter { object_kind: Some(ObjectKind::ApiKey), ..any() },
        AuditFilter { object_id: word(), ..any() },
        AuditFilter { result: word(), ..any() },
        AuditFilter { request_id: word(), ..any() },
        AuditFilter { before: Some(1_000_100), ..any() },
        AuditFilter { to: time(), ..any() },
        AuditFilter { from: time(), to: time().map(|from| from + chrono::Days::new(1)), ..any() },
    ] {
        store.find_audit(&filter, 50).await.expect("lines");
        let before = AuditFilter { before: Some(1_002_000), ..filter };
        store.find_audit(&before, 50).await.expect("lines");
    }
    store.check_audit(&AuditKey::new(AUDIT_KEY), None).await.expect("an answer");
}

/// Whether a search of the audit goes by its numbers, which is its order: it would read all of it for what
/// is not there.
fn walks_the_audit(statement: &str, plan: &[PlanLine]) -> bool {
    let columns = [
        "at",
        "actor_id",
        "actor_name",
        "action",
        "object_kind",
        "object_id",
        "result",
        "request_id",
    ];
    let searches = columns.iter().any(|name| statement.contains(&format!("(`audit`.`{name}` ")));
    searches && plan.iter().any(|line| line.key.as_deref() == Some("PRIMARY"))
}

async fn plan_of(connection: &mut AsyncMysqlConnection, statement: &str) -> Vec<PlanLine> {
    // MySQL's own default is a tree.
    sql_query(format!("EXPLAIN FORMAT=TRADITIONAL {statement}"))
        .load(connection)
        .await
        .expect(statement)
}

#[tokio::test]
async fn every_query_reads_by_an_index() {
    let records = Records::new().await;
    fill(&records).await;
    listen_to(&records.database);
    call_everything(&records).await;
    let mut statements: Vec<_> = overheard()
        .iter()
        .filter(|shown| ["SELECT", "UPDATE", "DELETE"].iter().any(|verb| shown.starts_with(verb)))
        .map(|shown| with_values(shown))
        .collect();
    statements.sort();
    statements.dedup();
    // Each is one of ours, or the ear is in the wrong place.
    assert!(statements.len() >= 25, "{statements:#?}");

    let mut connection = records.database.connect().await;
    for statement in statements {
        let plan = plan_of(&mut connection, &statement).await;
        let may_sort = MAY_SORT.iter().any(|query| statement.contains(query));
        let is_limited = statement.contains(" LIMIT ");
        let by_index = plan.iter().all(|line| line.is_by_index(may_sort, is_limited));
        assert!(by_index && !walks_the_audit(&statement, &plan), "{statement}\n{plan:#?}");
    }
    records.remove().await;
}
