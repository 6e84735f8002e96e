//! Applies and reverts the migrations embedded from `migrations/`.

use crate::db::connection::without_socket;
use crate::db::error::{StoreError, StoreResult};
use crate::db::server_error::{self, NO_SUCH_TABLE};
use diesel::QueryableByName;
use diesel::migration::{Migration, MigrationSource};
use diesel::mysql::Mysql;
use diesel::sql_types::{Bigint, Nullable};
use diesel_async::async_connection_wrapper::AsyncConnectionWrapper;
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../migrations");

/// Named locks apply to the whole server, so the lock's name includes a digest of the database name. With the full
/// database name, it could exceed the maximum length of 64 characters.
const LOCK_NAME: &str = "CONCAT('diagflow_migrations_', LEFT(SHA2(DATABASE(), 256), 32))";
const LOCK_WAIT_SECONDS: u32 = 300;

#[derive(QueryableByName)]
struct LockResult {
    #[diesel(sql_type = Nullable<Bigint>)]
    acquired: Option<i64>,
}

impl crate::Store {
    /// Applies the pending migrations and returns their names. Concurrent replicas wait for one another. If a migration
    /// fails, earlier migrations stay applied.
    pub async fn migrate(url: &str) -> StoreResult<Vec<String>> {
        with_migration_lock(url, |connection| {
            let applied = connection.run_pending_migrations(MIGRATIONS)?;
            Ok(applied.iter().map(ToString::to_string).collect())
        })
        .await
    }

    /// Reverts all migrations, newest first. This deletes all data, so use it only for tests and empty databases.
    pub async fn revert_all(url: &str) -> StoreResult<Vec<String>> {
        with_migration_lock(url, |connection| {
            let reverted = connection.revert_all_migrations(MIGRATIONS)?;
            Ok(reverted.iter().map(ToString::to_string).collect())
        })
        .await
    }

    pub async fn is_migrated(&self) -> StoreResult<bool> {
        #[derive(QueryableByName)]
        struct Version {
            #[diesel(sql_type = diesel::sql_types::Text)]
            version: String,
        }
        let mut connection = self.connection().await?;
        let applied: Vec<Version> =
            match diesel::sql_query("SELECT version FROM __diesel_schema_migrations")
                .load(&mut connection)
                .await
            {
                Ok(applied) => applied,
                Err(error) => {
                    connection.read_error_number().await;
                    return match server_error::number(&error) {
                        Some(NO_SUCH_TABLE) => Ok(false),
                        _ => Err(error.into()),
                    };
                }
            };
        let known: Vec<Box<dyn Migration<Mysql>>> =
            MIGRATIONS.migrations().map_err(|error| StoreError::Migration(error.to_string()))?;
        Ok(known.iter().all(|migration| {
            let version = migration.name().version().to_string();
            applied.iter().any(|row| row.version == version)
        }))
    }
}

type Sync = AsyncConnectionWrapper<AsyncMysqlConnection>;
type MigrationOutcome = diesel::migration::Result<Vec<String>>;

async fn with_migration_lock(
    url: &str,
    work: impl FnOnce(&mut Sync) -> MigrationOutcome + Send + 'static,
) -> StoreResult<Vec<String>> {
    let mut connection = AsyncMysqlConnection::establish(&without_socket(url))
        .await
        .map_err(|error| StoreError::Unavailable(error.to_string()))?;
    let lock = format!("SELECT GET_LOCK({LOCK_NAME}, {LOCK_WAIT_SECONDS}) AS acquired");
    let locked: LockResult = diesel::sql_query(lock).get_result(&mut connection).await?;
    if locked.acquired != Some(1) {
        return Err(StoreError::Migration("a concurrent migration is still running".into()));
    }
    // The named lock is released when the connection is closed at the end of the blocking task.
    tokio::task::spawn_blocking(move || work(&mut Sync::from(connection)))
        .await
        .map_err(|error| StoreError::Migration(error.to_string()))?
        .map_err(|error| StoreError::Migration(error.to_string()))
}
