//! Reads a statement's query plan and finds problems with it.

use diagflow_tests::database::Database;
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::fmt;

/// An exception to the rule that a statement must use an index to read only the rows it needs, in the requested order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    /// The statement may sort the rows it finds or read more rows than it returns.
    Sort,
    /// The statement may read a whole table or index.
    ReadWhole,
}

/// The permitted exceptions. Each consists of a part of the statement's text, the allowance and the reason.
const EXCEPTIONS: [(&str, Allowance, &str); 26] = [
    (
        "NOT EXISTS (SELECT 1 FROM runs FORCE INDEX (PRIMARY) ",
        Allowance::ReadWhole,
        "staff rarely cancel many submissions, and few are open; in the test, two fifths are",
    ),
    ("`submissions`.`id` IN (", Allowance::Sort, "staff select at most 1,000 submissions"),
    (
        "`deliveries`.`error_code` LIKE ",
        Allowance::Sort,
        "most e-mails that are not sent fail because of the mail server, so the first row matches",
    ),
    (
        "SELECT TIMESTAMPDIFF(SECOND, NOW(6), ",
        Allowance::Sort,
        "a recipient has few submissions in a day",
    ),
    (
        "FROM `deliveries` WHERE (`deliveries`.`submission_id` = ",
        Allowance::Sort,
        "a submission has few deliveries",
    ),
    (
        "`submissions`.`email` LIKE ",
        Allowance::Sort,
        "a search for an address prefix matches few rows",
    ),
    ("`submissions`.`stuck_since` IS NOT NULL", Allowance::Sort, "few runs are stuck"),
    (
        "submissions.id IN (SELECT deliveries.submission_id ",
        Allowance::Sort,
        "few e-mails remain unsent",
    ),
    ("MATCH (comments)", Allowance::Sort, "a useful search matches few rows"),
    (
        "`submissions`.`deleted_at` IS NOT NULL",
        Allowance::Sort,
        "few submissions are deleted, because staff delete them one by one",
    ),
    (
        "(`submissions`.`status` = 'pending') AND (`submissions`.`updated_at` <= ",
        Allowance::Sort,
        "the query runs only once a minute, and there are few queued runs to skip",
    ),
    ("`audit`.`at` ", Allowance::Sort, "searches by time are rare"),
    ("FROM `users` WHERE (`users`.`role` = ", Allowance::Sort, "there are few accounts"),
    (
        "FROM `users` WHERE (`users`.`disabled_at` IS ",
        Allowance::ReadWhole,
        "there are few accounts",
    ),
    ("FROM `users` ORDER BY ", Allowance::ReadWhole, "there are few accounts"),
    (
        "`users`.`email` LIKE ",
        Allowance::ReadWhole,
        "there are few accounts, and no index can match part of a name",
    ),
    ("SELECT COUNT(*) FROM `users`", Allowance::ReadWhole, "there are few accounts"),
    ("submission_counts", Allowance::ReadWhole, "the table has 192 rows"),
    ("FROM `pauses`", Allowance::ReadWhole, "the table has at most two rows"),
    ("ORDER BY `runs`.`created_at` LIMIT", Allowance::Sort, "few submissions are pending"),
    (
        "UNIX_TIMESTAMP(created_at) DIV 3600",
        Allowance::Sort,
        "the query groups the submissions of two days by hour",
    ),
    (
        "SUM(finished_at > ",
        Allowance::Sort,
        "the query groups the failures of a week by error code",
    ),
    (
        "FROM __diesel_schema_migrations",
        Allowance::ReadWhole,
        "the table has one row per migration",
    ),
    (
        "UPDATE `sessions` SET `ended_at` = NOW(6), `end_reason` = 'restored'",
        Allowance::ReadWhole,
        "the statement runs only once after a restore",
    ),
    (
        "SELECT `submissions`.`id`, `runs`.`number`, `runs`.`temporal_run_id` FROM",
        Allowance::ReadWhole,
        "the query runs only once after a restore and reads all open runs",
    ),
    (
        "UPDATE submission_counts SET amount = COALESCE(",
        Allowance::ReadWhole,
        "staff rarely request a recount",
    ),
];

/// Parts of the statements that must read nothing but index entries, because they read many of them.
const INDEX_ONLY: [&str; 5] = [
    "UNIX_TIMESTAMP(created_at) DIV 3600",
    "SUM(finished_at > ",
    "SELECT TIMESTAMPDIFF(MICROSECOND, created_at, finished_at)",
    "(`deliveries`.`status` IN ('planned', 'sending'))",
    "(`loopai_slots`.`queued_at` < ",
];

/// Number of rows that a query with a `LIMIT` may read for each row it returns. The query reads the row itself, a
/// joined row and the rows at the ends of ranges.
const READS_PER_ROW: i64 = 4;
/// Number of additional rows that a query with a `LIMIT` may read even if it returns few rows.
const EXTRA_READS: i64 = 20;

/// One line of a query plan.
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
    /// Returns whether the statement reads no rows or reads its rows through an index in the requested order, which
    /// allows it to stop at its `LIMIT`.
    fn is_by_index(&self, allowance: Option<Allowance>, is_limited: bool) -> bool {
        let extra = self.extra.as_deref().unwrap_or_default();
        // The last two texts mean that the planner has already looked up the requested unique key and found no row.
        let nothing_to_read = [
            "No tables used",
            "Select tables optimized away",
            "Impossible WHERE",
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

    fn is_index_only(&self) -> bool {
        let mut notes = self.extra.iter().flat_map(|extra| extra.split("; "));
        notes.any(|note| note == "Using index")
    }
}

pub(super) struct Server(AsyncMysqlConnection);

impl Server {
    pub(super) async fn connect(database: &Database) -> Server {
        Server(database.connect().await)
    }

    /// Returns a description of the problem with a statement's query plan, if there is one.
    pub(super) async fn problem_with(&mut self, statement: &str) -> Option<String> {
        let exception = EXCEPTIONS.iter().find(|(part, ..)| statement.contains(part));
        let allowance = exception.map(|(_, allowance, _)| *allowance);
        let max_rows = max_rows_read(statement);
        let plan = self.plan_of(statement).await;
        let shown = plan.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        if !plan.iter().all(|line| line.is_by_index(allowance, max_rows.is_some())) {
            return Some(format!("does not use an index: {statement}\n{shown}"));
        }
        if !plan.iter().all(|line| line.is_index_only())
            && INDEX_ONLY.iter().any(|part| statement.contains(part))
        {
            return Some(format!("reads rows instead of index entries: {statement}\n{shown}"));
        }
        if scans_audit_by_number(statement, &plan) {
            return Some(format!("scans the audit log: {statement}\n{shown}"));
        }
        let max_rows =
            max_rows.filter(|_| allowance.is_none() && statement.starts_with("SELECT"))?;
        let read = self.rows_read_by(statement).await;
        (read > max_rows)
            .then(|| format!("reads {read} rows, more than {max_rows}: {statement}\n{shown}"))
    }

    async fn plan_of(&mut self, statement: &str) -> Vec<PlanLine> {
        // The format is set explicitly because MySQL's default format is a tree.
        sql_query(format!("EXPLAIN FORMAT=TRADITIONAL {statement}"))
            .load(&mut self.0)
            .await
            .expect(statement)
    }

    /// Reads the session counters because a query plan does not show how many rows are read and discarded.
    async fn rows_read_by(&mut self, statement: &str) -> i64 {
        let connection = &mut self.0;
        connection.batch_execute("FLUSH STATUS").await.expect("counters reset");
        connection.batch_execute(statement).await.expect(statement);
        let counters: Vec<Counter> = sql_query("SHOW SESSION STATUS LIKE 'Handler_read%'")
            .load(connection)
            .await
            .expect("counters");
        counters.iter().map(|it| it.value.parse::<i64>().expect("a number")).sum()
    }
}

/// Returns the number of rows that a statement with a `LIMIT` may read.
fn max_rows_read(statement: &str) -> Option<i64> {
    let number_after = |column: &str| -> Option<i64> {
        let (_, rest) = statement.rsplit_once(column)?;
        rest.split([' ', ')']).next()?.parse().ok()
    };
    let returned = number_after(" LIMIT ")? + number_after(" OFFSET ").unwrap_or_default();
    Some(returned * READS_PER_ROW + EXTRA_READS)
}

/// Returns whether a search of the audit log reads the entries in numerical order. If no entry matches, such a search
/// reads the whole log.
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
