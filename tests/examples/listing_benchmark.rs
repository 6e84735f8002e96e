//! Measures listings and totals over a million submissions. The results are in `docs/adr/0008-listing.md`.
//!
//! `DATABASE_URL=mysql://root@127.0.0.1:3306/million cargo run -p diagflow-tests --example listing_benchmark` fills an
//! empty database and prints the times. A second run only measures.

use diagflow_store::{
    EmailFilter, PagePosition, PoolSettings, Sort, SortBy, SortKey, Status, Store, SubmissionFilter,
};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::time::{Duration, Instant};

const ROWS: i64 = 1_000_000;

/// Comments, statuses and codes are distributed like those of a few months of a busy service. The numbers come from
/// self-joins of a table of ten digits, which work on every database server.
const FILL: &str = "
    CREATE TABLE digits (d INT PRIMARY KEY);
    INSERT INTO digits VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9);
    INSERT INTO submissions (id, email, recipient, comments, status, consent_version, consent_at, run_number,
        last_event, error_code, created_at, updated_at, deleted_at)
    SELECT UUID(), CONCAT('patient', n MOD 200000, '@clinic', n MOD 50, '.example.org'), SHA2(n MOD 200000, 256),
        CONCAT_WS(' ', ELT(1 + FLOOR(RAND(n) * 7), 'itches', 'burning', 'redness', 'blurred', 'pain',
            'dry', 'tears'), IF(n MOD 1000 = 0, 'keratoconus', 'since'), CONCAT('word', n MOD 5000)),
        CASE WHEN n MOD 100 < 90 THEN 'completed' WHEN n MOD 100 < 95 THEN 'failed'
            WHEN n MOD 100 < 97 THEN 'timed_out' WHEN n MOD 100 < 98 THEN 'cancelled'
            WHEN n MOD 100 = 98 THEN 'processing' ELSE 'pending' END,
        '2026-11', NOW(6), 1, 1, IF(n MOD 100 BETWEEN 90 AND 94, ELT(1 + n MOD 5, 'loopai_failed',
            'loopai_refused', 'loopai_unreachable', 'invalid_response', 'rare'), NULL),
        NOW(6) - INTERVAL n * 31 SECOND, NOW(6) - INTERVAL n * 30 SECOND,
        IF(n MOD 200 = 7, NOW(6), NULL)
    FROM (SELECT a.d + 10 * b.d + 100 * c.d + 1000 * e.d + 10000 * f.d + 100000 * g.d AS n
        FROM digits a, digits b, digits c, digits e, digits f, digits g) AS numbers;
    ANALYZE TABLE submissions";

#[tokio::main]
async fn main() {
    let url = std::env::var("DATABASE_URL").expect("DATABASE_URL must name an empty database");
    Store::migrate(&url).await.expect("a migrated schema");
    let pool = PoolSettings {
        url: url.clone(),
        size: 2,
        pool_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
    };
    let store = Store::connect(&pool).await.expect("a connection pool");
    let mut connection = AsyncMysqlConnection::establish(&url).await.expect("a connection");
    let count = diesel::dsl::sql::<diesel::sql_types::BigInt>("SELECT COUNT(*) FROM submissions");
    if count.get_result::<i64>(&mut connection).await.expect("a number") < ROWS {
        println!("filling …");
        connection.batch_execute(FILL).await.expect("a filled database");
    }
    let started = Instant::now();
    store.recount_submissions().await.expect("a recount");
    println!("recount: {:.0?}", started.elapsed());
    measure(&store).await;
}

/// The measured filters, by description.
fn filters() -> Vec<(&'static str, SubmissionFilter)> {
    let month = chrono::Utc::now() - chrono::TimeDelta::days(30);
    let month = Some(month.into());
    let failed = vec![Status::Failed];
    let full_text = |text: &str| Some(text.parse().expect("a full-text query"));
    let email = |filter| SubmissionFilter { email: Some(filter), ..SubmissionFilter::default() };
    vec![
        ("everything", SubmissionFilter::default()),
        ("failed", SubmissionFilter { statuses: failed.clone(), ..SubmissionFilter::default() }),
        (
            "failed or timed out",
            SubmissionFilter {
                statuses: vec![Status::Failed, Status::TimedOut],
                ..SubmissionFilter::default()
            },
        ),
        ("30 days", SubmissionFilter { created_from: month, ..SubmissionFilter::default() }),
        (
            "failed, 30 days",
            SubmissionFilter {
                created_from: month,
                statuses: failed,
                ..SubmissionFilter::default()
            },
        ),
        ("one address", email(EmailFilter::Exact("patient777@clinic27.example.org".into()))),
        ("an address prefix", email(EmailFilter::Prefix("patient77".into()))),
        (
            "a rare term",
            SubmissionFilter { full_text: full_text("keratoconus"), ..SubmissionFilter::default() },
        ),
        (
            "a common term",
            SubmissionFilter { full_text: full_text("itches"), ..SubmissionFilter::default() },
        ),
        (
            "an error code",
            SubmissionFilter { error_code: Some("rare".into()), ..SubmissionFilter::default() },
        ),
    ]
}

async fn measure(store: &Store) {
    println!(
        "{:24} {:>9} {:>9} {:>9} {:>9} {:>9}",
        "", "matches", "total", "page 1", "far", "changed"
    );
    for (name, filter) in filters() {
        measure_filter(store, name, &filter).await;
    }
}

/// Prints the number of matches of a filter and the times of its queries.
async fn measure_filter(store: &Store, name: &str, filter: &SubmissionFilter) {
    let total = store.count_submissions(filter).await.expect("a count");
    let (_, counting) =
        timed(async || store.count_submissions(filter).await.expect("a count")).await;
    let newest = Sort::default();
    let list = async |sort, position| {
        store.list_submissions(filter, sort, position, 20).await.expect("a list")
    };
    let (_, first) = timed(async || list(newest, PagePosition::Skip(0)).await).await;
    let (far, skipping) = timed(async || list(newest, PagePosition::Skip(10_000)).await).await;
    let changed = Sort { by: SortBy::Updated, ..newest };
    let (_, by_change) = timed(async || list(changed, PagePosition::Skip(0)).await).await;
    println!(
        "{name:24} {total:>9} {counting:>9.1?} {first:>9.1?} {skipping:>9.1?} {by_change:>9.1?}"
    );
    if let Some(row) = far.rows.last() {
        let after = PagePosition::After(SortKey::of(row, newest.by));
        let (_, cursor) = timed(async || list(newest, after).await).await;
        println!("{:24} {:>9} {:>9} {:>9} {cursor:>9.1?}", "  by cursor from there", "", "", "");
    }
}

/// The median of five warm runs.
async fn timed<T>(work: impl AsyncFn() -> T) -> (T, Duration) {
    let mut outcome = work().await;
    let mut times = Vec::new();
    for _ in 0..5 {
        let started = Instant::now();
        outcome = work().await;
        times.push(started.elapsed());
    }
    times.sort();
    (outcome, times[2])
}
