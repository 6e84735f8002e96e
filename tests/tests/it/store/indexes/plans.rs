//! Query plans and their problems.

use diagflow_tests::database::Database;
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryableByName, sql_query};
use diesel_async::{AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::fmt;

/// An exception to the rule that a statement reads rows through an index, in index order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Allowance {
    /// The statement may sort the rows that it finds, or read more rows than it returns.
    Sort,
    /// The statement may read a whole table or index.
    ReadWhole,
}

/// The exceptions: a part of the statement's text, what is allowed, and the reason.
const EXCEPTIONS: [(&str, Allowance, &str); 17] = [
    (
        "SELECT TIMESTAMPDIFF(SECOND, NOW(6), ",
        Allowance::Sort,
        "few rows: those of one recipient within a day",
    ),
    (
        "FROM `deliveries` WHERE (`deliveries`.`submission_id` = ",
        Allowance::Sort,
        "few rows: those of one submission",
    ),
    ("`submissions`.`email` LIKE ", Allowance::Sort, "few addresses share a prefix"),
    ("MATCH (comments)", Allowance::Sort, "a useful search matches few rows"),
    (
        "`submissions`.`deleted_at` IS NOT NULL",
        Allowance::Sort,
        "few rows: staff delete them one by one",
    ),
    (
        "(`submissions`.`status` = 'pending') AND (`submissions`.`updated_at` <= ",
        Allowance::Sort,
        "once a minute; it skips queued runs, which are few except during a Temporal outage",
    ),
    ("`audit`.`at` ", Allowance::Sort, "rare: a search by time"),
    ("FROM `users` WHERE (`users`.`role` = ", Allowance::Sort, "accounts are few"),
    ("FROM `users` WHERE (`users`.`disabled_at` IS ", Allowance::ReadWhole, "accounts are few"),
    ("FROM `users` ORDER BY ", Allowance::ReadWhole, "accounts are few"),
    (
        "`users`.`email` LIKE ",
        Allowance::ReadWhole,
        "accounts are few, and no index finds a part of a name",
    ),
    ("SELECT COUNT(*) FROM `users`", Allowance::ReadWhole, "accounts are few"),
    ("submission_counts", Allowance::ReadWhole, "192 rows"),
    ("FROM __diesel_schema_migrations", Allowance::ReadWhole, "one row per migration"),
    (
        "UPDATE `sessions` SET `ended_at` = NOW(6), `end_reason` = 'restored'",
        Allowance::ReadWhole,
        "once, after a restore",
    ),
    (
        "SELECT `submissions`.`id`, `runs`.`number`, `runs`.`temporal_run_id` FROM",
        Allowance::ReadWhole,
        "once, after a restore; it reads the open runs, which are every other row in this test",
    ),
    (
        "UPDATE submission_counts SET amount = COALESCE(",
        Allowance::ReadWhole,
        "rare: staff request a recount",
    ),
];

/// Rows that a limited query may read for each row it returns: the row itself, a joined row, and
/// rows at the ends of ranges.
const READS_PER_ROW: i64 = 4;
/// Additional rows that may be read, however few are returned.
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
    /// Whether rows are found by an index in the requested order, or none had to be read. In that
    /// order, no more rows than the `LIMIT` are read.
    fn is_by_index(&self, allowance: Option<Allowance>, is_limited: bool) -> bool {
        let extra = self.extra.as_deref().unwrap_or_default();
        // The last two mean that the planner has already looked up the requested unique key
        // and found no row.
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

pub(super) struct Server(AsyncMysqlConnection);

impl Server {
    pub(super) async fn connect(database: &Database) -> Server {
        Server(database.connect().await)
    }

    /// The problem with a statement's plan, if any.
    pub(super) async fn problem_with(&mut self, statement: &str) -> Option<String> {
        let exception = EXCEPTIONS.iter().find(|(part, ..)| statement.contains(part));
        let allowance = exception.map(|(_, allowance, _)| *allowance);
        let max_rows = max_rows_read(statement);
        let plan = self.plan_of(statement).await;
        let shown = plan.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
        if !plan.iter().all(|line| line.is_by_index(allowance, max_rows.is_some())) {
            return Some(format!("does not use an index: {statement}\n{shown}"));
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
        // MySQL's default format is a tree.
        sql_query(format!("EXPLAIN FORMAT=TRADITIONAL {statement}"))
            .load(&mut self.0)
            .await
            .expect(statement)
    }

    /// A plan does not show how many rows are read and discarded; the session's counters do.
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

/// The number of rows that a limited query may read.
fn max_rows_read(statement: &str) -> Option<i64> {
    let number_after = |column: &str| -> Option<i64> {
        let (_, rest) = statement.rsplit_once(column)?;
        rest.split([' ', ')']).next()?.parse().ok()
    };
    let returned = number_after(" LIMIT ")? + number_after(" OFFSET ").unwrap_or_default();
    Some(returned * READS_PER_ROW + EXTRA_READS)
}

/// Whether a search of the audit log reads entries by number, which is their order. Such a search
/// reads all of them when nothing matches.
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
