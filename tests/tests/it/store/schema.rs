//! Checks that migrations revert cleanly, and that Diesel's schema matches the database.

use diagflow_store::{PoolSettings, Status, Store};
use diagflow_tests::database::Database;
use diagflow_tests::eventually;
use diagflow_tests::eventually::LIMIT;
use diagflow_workflows::contract::RunStatus;
use diesel_async::SimpleAsyncConnection;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The table in which Diesel records migrations.
const LEDGER: &str = "__diesel_schema_migrations";

/// Returns a database's schema as lines of text, without Diesel's migrations table.
async fn schema(database: &Database) -> Vec<String> {
    let of = |columns: &str, table: &str| {
        format!(
            "SELECT CONCAT_WS(' ', '{table}', {columns}) FROM information_schema.{table} \
             WHERE table_schema = DATABASE() AND table_name <> '{LEDGER}' ORDER BY 1"
        )
    };
    let tables = of("table_name, table_type, engine, table_collation", "tables");
    let columns = of(
        "table_name, ordinal_position, column_name, column_type, is_nullable, \
         COALESCE(column_default, '-'), COALESCE(collation_name, '-'), extra",
        "columns",
    );
    let indexes = of(
        "table_name, index_name, seq_in_index, column_name, non_unique, index_type",
        "statistics",
    );
    let keys = of(
        "table_name, constraint_name, column_name, COALESCE(referenced_table_name, '-'), \
         COALESCE(referenced_column_name, '-')",
        "key_column_usage",
    );
    let mut lines = Vec::new();
    for query in [tables, columns, indexes, keys] {
        lines.extend(database.texts(&query).await);
    }
    lines
}

fn migrations() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
    let entries = std::fs::read_dir(folder).expect("the migrations");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut folders: Vec<_> = paths.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

#[tokio::test]
async fn each_migration_reverts_cleanly_and_can_be_reapplied() {
    let database = Database::empty().await;
    for folder in migrations() {
        let sql = |name: &str| std::fs::read_to_string(folder.join(name)).expect(name);
        let before = schema(&database).await;
        database.execute(&sql("up.sql")).await;
        let after = schema(&database).await;
        assert_ne!(after, before, "{folder:?} changes nothing");
        database.execute(&sql("down.sql")).await;
        assert_eq!(
            schema(&database).await,
            before,
            "{folder:?}: down.sql does not restore the previous schema"
        );
        database.execute(&sql("up.sql")).await;
        assert_eq!(
            schema(&database).await,
            after,
            "{folder:?}: up.sql produces a different schema when it is reapplied"
        );
    }
    database.remove().await;
}

#[tokio::test]
async fn migrating_up_down_and_up_gives_the_same_schema() {
    let database = Database::empty().await;
    let url = database.url();
    let pool = PoolSettings {
        url: url.clone(),
        size: 1,
        pool_timeout: Duration::from_secs(10),
        statement_timeout: Duration::from_secs(30),
    };
    let store = Store::connect(&pool).await.expect("a pool");
    assert!(!store.is_migrated().await.expect("a response"));

    let applied = Store::migrate(&url).await.expect("migrated");
    let whole = schema(&database).await;
    assert_eq!(applied.len(), migrations().len());
    assert!(store.is_migrated().await.expect("a response"));
    assert!(
        Store::migrate(&url).await.expect("migrated").is_empty(),
        "a migration was applied twice"
    );

    assert_eq!(Store::revert_all(&url).await.expect("reverted").len(), applied.len());
    assert_eq!(schema(&database).await, Vec::<String>::new(), "tables were left behind");
    assert_eq!(database.count_rows(LEDGER).await, 0);
    assert!(!store.is_migrated().await.expect("a response"));

    assert_eq!(Store::migrate(&url).await.expect("migrated"), applied);
    assert_eq!(schema(&database).await, whole);
    drop(store);
    database.remove().await;
}

#[tokio::test]
async fn concurrent_migrations_wait_for_one_another() {
    let database = Database::empty().await;
    let url = database.url();

    let outcomes = futures::future::join_all((0..4).map(|_| Store::migrate(&url))).await;

    let applied: usize = outcomes.iter().map(|names| names.as_ref().expect("migrated").len()).sum();
    assert_eq!(applied, migrations().len(), "each migration must be applied once");
    database.remove().await;
}

fn statements(sql: &str) -> Vec<&str> {
    sql.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).collect()
}

/// Returns an empty database to which the given migrations have been applied, with the records that Diesel keeps of
/// them.
async fn with_migrations(folders: &[PathBuf]) -> Database {
    let database = Database::empty().await;
    let ledger = format!(
        "CREATE TABLE {LEDGER} (version VARCHAR(50) PRIMARY KEY NOT NULL, \
         run_on TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP)"
    );
    database.execute(&ledger).await;
    for folder in folders {
        database.execute(&std::fs::read_to_string(folder.join("up.sql")).expect("up.sql")).await;
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let version = name.split('_').next().unwrap_or_default();
        database.execute(&format!("INSERT INTO {LEDGER} (version) VALUES ('{version}')")).await;
    }
    database
}

#[tokio::test]
async fn an_interrupted_migration_is_completed_by_the_next_attempt() {
    let whole = Database::migrated().await;
    let expected = schema(&whole).await;
    let folders = migrations();
    for (index, folder) in folders.iter().enumerate() {
        let up = std::fs::read_to_string(folder.join("up.sql")).expect("up.sql");
        let statements = statements(&up);
        for done in 1..=statements.len() {
            let database = with_migrations(&folders[..index]).await;
            for statement in &statements[..done] {
                database.execute(statement).await;
            }

            let applied = Store::migrate(&database.url()).await;

            let applied =
                applied.unwrap_or_else(|error| panic!("{folder:?} after {done}: {error}"));
            assert_eq!(applied.len(), folders.len() - index);
            assert_eq!(schema(&database).await, expected, "{folder:?} after {done} statements");
            database.remove().await;
        }
    }
    whole.remove().await;
}

#[tokio::test]
async fn migrating_one_database_does_not_block_another() {
    let (held, other) = (Database::empty().await, with_migrations(&[]).await);
    // The migration of the first database obtains its lock and then waits because it cannot read the applied versions.
    held.execute(&format!("CREATE TABLE {LEDGER} LIKE {}.{LEDGER}", other.name())).await;
    let mut holder = held.connect().await;
    holder.batch_execute(&format!("LOCK TABLES {LEDGER} WRITE")).await.expect("locked");
    let migrating = tokio::spawn({
        let url = held.url();
        async move { Store::migrate(&url).await }
    });
    let waits = format!(
        "SELECT COUNT(*) FROM information_schema.processlist \
         WHERE db = '{}' AND state LIKE 'Waiting for table metadata lock%'",
        held.name()
    );
    eventually("the first migration to be blocked", || async {
        (other.number(&waits).await > 0).then_some(())
    })
    .await;

    let migrated = tokio::time::timeout(LIMIT, Store::migrate(&other.url())).await;

    assert_eq!(migrated.expect("in time").expect("migrated").len(), migrations().len());
    assert!(!migrating.is_finished(), "the blocked migration must not finish");
    holder.batch_execute("UNLOCK TABLES").await.expect("unlocked");
    assert_eq!(migrating.await.expect("no panic").expect("migrated").len(), migrations().len());
    drop(holder);
    held.remove().await;
    other.remove().await;
}

/// Returns the columns and primary keys in `store/src/db/schema.rs`, in the formats `table column Type` and
/// `table key column, …`.
fn diesel_columns() -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../store/src/db/schema.rs");
    let text = std::fs::read_to_string(path).expect("the schema");
    let (mut lines, mut table) = (Vec::new(), "");
    let is_of_a_table = |line: &&str| !line.starts_with("diesel::joinable!");
    for line in text.lines().map(str::trim).filter(is_of_a_table) {
        if let Some((column, kind)) = line.split_once(" -> ") {
            lines.push(format!("{table} {column} {}", kind.trim_end_matches(',')));
        } else if let Some((name, key)) =
            line.strip_suffix(") {").and_then(|head| head.split_once(" ("))
        {
            table = name;
            lines.push(format!("{table} key {key}"));
        }
    }
    lines.sort();
    lines
}

/// Returns the database's columns and primary keys in the same format as `diesel_columns`.
async fn database_columns(database: &Database) -> Vec<String> {
    let columns = format!(
        "SELECT CONCAT_WS(' ', table_name, column_name, data_type, is_nullable, \
             IF(column_type LIKE '%unsigned%', 'unsigned', '')) \
         FROM information_schema.columns \
         WHERE table_schema = DATABASE() AND table_name <> '{LEDGER}'"
    );
    let keys = format!(
        "SELECT CONCAT(table_name, ' key ', \
             GROUP_CONCAT(column_name ORDER BY ordinal_position SEPARATOR ', ')) \
         FROM information_schema.key_column_usage \
         WHERE table_schema = DATABASE() AND table_name <> '{LEDGER}' \
             AND constraint_name = 'PRIMARY' \
         GROUP BY table_name"
    );
    let mut lines = database.texts(&keys).await;
    for line in database.texts(&columns).await {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [table, column, kind, nullable, ref rest @ ..] = words[..] else { panic!("{line}") };
        let kind = match kind {
            "char" | "varchar" | "text" | "mediumtext" => "Text",
            "int" => "Integer",
            "bigint" => "Bigint",
            "datetime" => "Datetime",
            other => other,
        };
        let kind = if rest.is_empty() { kind.to_owned() } else { format!("Unsigned<{kind}>") };
        let kind = if nullable == "YES" { format!("Nullable<{kind}>") } else { kind };
        lines.push(format!("{table} {column} {kind}"));
    }
    lines.sort();
    lines
}

#[tokio::test]
async fn the_diesel_schema_matches_the_database() {
    let database = Database::migrated().await;
    let declared = diesel_columns();
    assert!(declared.len() > 50, "{declared:?}");
    assert_eq!(declared, database_columns(&database).await);
    database.remove().await;
}

/// Returns the workflow crate's counterpart of a store status. The exhaustive `match` ensures that every new status
/// gets one.
fn workflow_status(status: Status) -> RunStatus {
    match status {
        Status::Pending => RunStatus::Pending,
        Status::Processing => RunStatus::Processing,
        Status::Completed => RunStatus::Completed,
        Status::Failed => RunStatus::Failed,
        Status::TimedOut => RunStatus::TimedOut,
        Status::Cancelled => RunStatus::Cancelled,
    }
}

#[test]
fn store_and_workflows_use_the_same_status_names() {
    for status in Status::ALL.iter().copied() {
        let workflow_status = workflow_status(status);
        assert_eq!(workflow_status.name(), status.name());
        assert_eq!(
            serde_json::to_value(workflow_status).expect("JSON"),
            status.name(),
            "the status has a different name in the workflow history"
        );
        assert_eq!(serde_json::to_value(status).expect("JSON"), status.name());
    }
}
