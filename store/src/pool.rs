//! The pool of connections, and the transaction that repeats itself after a deadlock.

use crate::error::{StoreError, StoreResult};
use diesel::ConnectionError;
use diesel_async::pooled_connection::bb8::{Pool, PooledConnection};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use std::time::Duration;

/// How the pool behaves.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// `mysql://user:password@host:port/database`.
    pub url: String,
    /// Most connections of this process.
    pub size: u32,
    /// How long a caller waits for a free connection before it is told so.
    pub wait: Duration,
}

/// The records. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool<AsyncMysqlConnection>,
}

/// Every statement sees what is committed, and locks only the rows it touches (no gap locks,
/// which turn concurrent inserts of neighbours into deadlocks); all times are UTC, whatever the
/// server's own zone is (see [`crate::clock`]).
///
/// The modes are MySQL 8's default: MariaDB's lets more through, and a server may have been set to cut off
/// what is too long. `PIPES_AS_CONCAT` is what Diesel counts on.
const SESSION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET SESSION time_zone = '+00:00'; \
    SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
        ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'";

/// How often a transaction that lost a deadlock is repeated before the caller hears of it.
pub(crate) const DEADLOCK_ATTEMPTS: u32 = 5;

impl Store {
    /// Makes the pool. Connections are opened when first asked for, so the database may be down now.
    ///
    /// # Errors
    /// Only when the pool itself cannot be built.
    pub async fn connect(settings: &PoolSettings) -> StoreResult<Store> {
        let mut config = ManagerConfig::default();
        config.custom_setup = Box::new(|url| Box::pin(open(url.to_owned())));
        let manager = AsyncDieselConnectionManager::new_with_config(&settings.url, config);
        let pool = Pool::builder()
            .max_size(settings.size)
            .connection_timeout(settings.wait)
            .build(manager)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        Ok(Store { pool })
    }

    /// A connection of the pool.
    pub(crate) async fn connection(
        &self,
    ) -> StoreResult<PooledConnection<'_, AsyncMysqlConnection>> {
        self.pool.get().await.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    /// Asks the database for a sign of life.
    ///
    /// # Errors
    /// When no connection comes, or the statement fails.
    pub async fn ping(&self) -> StoreResult<()> {
        let mut connection = self.connection().await?;
        diesel::sql_query("SELECT 1").execute(&mut connection).await?;
        Ok(())
    }
}

async fn open(url: String) -> Result<AsyncMysqlConnection, ConnectionError> {
    let mut connection = AsyncMysqlConnection::establish(&url).await?;
    connection.batch_execute(SESSION).await.map_err(ConnectionError::CouldntSetupConfiguration)?;
    Ok(connection)
}

/// Runs `$body` in one transaction on a connection of `$store`; repeats it when it lost a deadlock.
/// A macro because the compiler cannot yet prove a generic asynchronous closure to be `Send`.
macro_rules! transaction {
    ($store:expr, $connection:ident => $body:block) => {{
        let mut attempt = 1;
        loop {
            let mut pooled = $store.connection().await?;
            let outcome = diesel_async::AsyncConnection::transaction::<_, $crate::StoreError, _>(
                &mut *pooled,
                async |$connection| $body,
            )
            .await;
            match outcome {
                Err(error) if error.is_deadlock() && attempt < $crate::pool::DEADLOCK_ATTEMPTS => {
                    tracing::debug!(attempt, "transaction lost a deadlock, repeating it");
                    attempt += 1;
                }
                outcome => break outcome,
            }
        }
    }};
}
pub(crate) use transaction;

#[cfg(test)]
mod tests {
    use super::*;
    use diesel::QueryableByName;
    use diesel::sql_types::Text;

    #[derive(QueryableByName)]
    struct Variable {
        #[diesel(sql_type = Text)]
        value: String,
    }

    async fn session(connection: &mut AsyncMysqlConnection, name: &str) -> Option<String> {
        let query = format!("SELECT @@session.{name} AS value");
        let variable: Result<Variable, _> = diesel::sql_query(query).get_result(connection).await;
        variable.ok().map(|variable| variable.value)
    }

    #[tokio::test]
    async fn a_pooled_connection_is_in_utc_and_reads_what_is_committed() {
        let url = std::env::var("DIAGFLOW_TEST_MYSQL_URL")
            .expect("DIAGFLOW_TEST_MYSQL_URL is not set: run the tests by `cargo xtask test`");
        let settings = PoolSettings { url, size: 1, wait: Duration::from_secs(10) };
        let store = Store::connect(&settings).await.expect("a pool");
        let mut connection = store.connection().await.expect("a connection");

        assert_eq!(session(&mut connection, "time_zone").await.as_deref(), Some("+00:00"));
        // MariaDB's name of the variable, and MySQL's.
        let isolation = match session(&mut connection, "tx_isolation").await {
            Some(isolation) => Some(isolation),
            None => session(&mut connection, "transaction_isolation").await,
        };
        assert_eq!(isolation.as_deref(), Some("READ-COMMITTED"));
    }
}
