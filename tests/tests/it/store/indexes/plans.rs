//! How the database goes about a statement, and what is wrong with that.

use diagflow_tests::database::Database;
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::fmt;

/// What a statement may do besides reading by an index, in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    /// Sort what it found, or read more than it gives out.
    Sort,
    /// Read a whole table or index.
    ReadWhole,
}

/// The statements that may, by a part of theirs, and why.
const EXCEPTIONS: [(&str, Allowance, &str); 16] = [
    (
        "FROM `deliveries` WHERE (`deliveries`.`submission_id` = ",
        Allowance::Sort,
        "of one submission",
    ),
    ("`submissions`.`email` LIKE ", Allowance::Sort, "of a few addresses that begin alike"),
    ("MATCH (comments)", Allowance::Sort, "with words that are rare, or the search is of no use"),
    ("`submissions`.`deleted_at` IS NOT NULL", Allowance::Sort, "staff delete by hand, one by one"),
    (
        "(`submissions`.`status` = 'pending') AND (`submissions`.`updated_at` <= ",
        Allowance::Sort,
        "asked once a minute; it passes over what waits to be started, which is little but while Temporal is away",
    ),
    ("`audit`.`at` ", Allowance::Sort, "of a time that somebody asks for, seldom"),
    (
        "FROM `users` WHERE (`users`.`role` = ",
        Allowance::Sort,
        "accounts are few, and admins list them",
    ),
    ("FROM `users` WHERE (`users`.`disabled_at` IS ", Allowance::ReadWhole, "accounts are few"),
    ("FROM `users` ORDER BY ", Allowance::ReadWhole, "accounts are few"),
    (
        "`users`.`email` LIKE ",
        Allowance::ReadWhole,
        "accounts are few, and a part of a name has no index",
    ),
    ("SELECT COUNT(*) FROM `users`", Allowance::ReadWhole, "accounts are few"),
    ("submission_counts", Allowance::ReadWhole, "it has 192 rows"),
    ("FROM __diesel_schema_migrations", Allowance::ReadWhole, "it has a row for each migration"),
    (
        "UPDATE `sessions` SET `ended_at` = NOW(6), `end_reason` = 'restored'",
        Allowance::ReadWhole,
        "after a restore, once",
    ),
    (
        "SELECT `submissions`.`id`, `runs`.`number`, `runs`.`temporal_run_id` FROM",
        Allowance::ReadWhole,
        "after a restore, once; all that are open, which here is every other one",
    ),
    (
        "UPDATE submission_counts SET amount = COALESCE(",
        Allowance::ReadWhole,
        "staff ask to count anew",
    ),
];

/// Rows that are looked at for each that a limited query may give out: itself, one that it is joined with,
/// and what it is compared with at the ends.
const READS_PER_ROW: i64 = 4;
/// What is read besides, however little is given out.
const EXTRA_READS: i64 = 20;

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

/// One of the session's counters.
#[derive(QueryableByName)]
struct Counter {
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

impl fmt::Display for PlanLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { table, access, key, extra } = self;
        let columns = [table, access, key, extra].map(|column| column.as_deref().unwrap_or("-"));
        write!(f, "    {}", columns.join(" | "))
    }
}

impl PlanLine {
    /// Whether rows are found by a key, and in the order that is asked for, or none had to be read.
    ///
    /// Of an index in the order that is asked for, no more is read than the `LIMIT`.
    fn is_by_index(&self, allowance: Option<Allowance>, is_limited: bool) -> bool {
        let extra = self.extra.as_deref().unwrap_or_default();
        // The last two: no row has the unique key that is asked for, which was looked up already.
        let nothing_to_read = [
            "No tables used",
            "Select tables optimized away",
            "Impossible WHERE noticed after reading const tables",
            "no matching row in const table",
        ];
        let scans = match self.access.as_deref() {
            Some("ALL") => true,
            Some("index") => !is_limited,
            _ => false,
        };
        let sorts = extra.contains("Using filesort") || extra.contains("Using temporary");
        nothing_to_read.contains(&extra)
            || allowance == Some(Allowance::ReadWhole)
            || (self.table.is_some()
                && self.key.is_some()
                && !scans
                && (allowance.is_some() || !sorts))
    }
}

/// The database, asked how it goes about statements.
pub(super) struct Server(AsyncMysqlConnection);

impl Server {
    pub(super) async fn connect(database: &Database) -> Server {
        Server(database.connect().await)
    }

    /// What is wrong with how a statement is done, in words; `None` where it is done well.
    pub(super) async fn problem_with(&mut self, statement: &str) -> Option<String> {
        let exception = EXCEPTIONS.iter().find(|(part, ..)| statement.contains(part));
        let allowance = exception.map(|(_, allowance, _)| *allowance);
        let max_rows = max_rows_read(statement);
        let plan = self.plan_of(statement).await;
        let shown = plan.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        if !plan.iter().all(|line| line.is_by_index(allowance, max_rows.is_some())) {
            return Some(format!("not by an index: {statement}\n{shown}"));
        }
        if scans_audit_by_number(statement, &plan) {
            return Some(format!("walks the audit: {statement}\n{shown}"));
        }
        let max_rows =
            max_rows.filter(|_| allowance.is_none() && statement.starts_with("SELECT"))?;
        let read = self.rows_read_by(statement).await;
        (read > max_rows)
            .then(|| format!("reads {read} rows, not {max_rows}: {statement}\n{shown}"))
    }

    async fn plan_of(&mut self, statement: &str) -> Vec<PlanLine> {
        // MySQL's own default is a tree.
        sql_query(format!("EXPLAIN FORMAT=TRADITIONAL {statement}"))
            .load(&mut self.0)
            .await
            .expect(statement)
    }

    /// A plan does not tell how many rows are looked at in vain before enough fit; counters do.
    async fn rows_read_by(&mut self, statement: &str) -> i64 {
        let connection = &mut self.0;
        connection.batch_execute("FLUSH STATUS").await.expect("counts from nothing");
        connection.batch_execute(statement).await.expect(statement);
        let counters: Vec<Counter> = sql_query("SHOW SESSION STATUS LIKE 'Handler_read%'")
            .load(connection)
            .await
            .expect("counters");
        counters.iter().map(|it| it.value.parse::<i64>().expect("a number")).sum()
    }
}

/// How many rows a query may read that is limited.
fn max_rows_read(statement: &str) -> Option<i64> {
    let number_after = |column: &str| -> Option<i64> {
        let (_, rest) = statement.rsplit_once(column)?;
        rest.split([' ', ')']).next()?.parse().ok()
    };
    let returned = number_after(" LIMIT ")? + number_after(" OFFSET ").unwrap_or_default();
    Some(returned * READS_PER_ROW + EXTRA_READS)
}

/// Whether a search of the audit goes by its numbers, which is its order: it would read all of it for what
/// is not there.
fn scans_audit_by_number(statement: &str, plan: &[PlanLine]) -> bool {
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
