//! The connection pool, and transactions that are retried after a deadlock.

use crate::db::connection::ConnectionManager;
use crate::db::error::{StoreError, StoreResult};
use crate::settings::{convert, seconds, within};
use bb8::{Pool, PooledConnection, RunError};
use diesel_async::RunQueryDsl;
use serde::{Deserialize, Deserializer};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use url::Url;

#[derive(Clone, Deserialize)]
pub struct PoolSettings {
    /// Contains a password, so it must never be logged.
    #[serde(rename = "DATABASE_URL", deserialize_with = "mysql_url")]
    pub url: String,
    #[serde(rename = "DATABASE_POOL_SIZE", deserialize_with = "within::<_, _, 1, 1000>")]
    pub size: u32,
    #[serde(rename = "DATABASE_POOL_TIMEOUT_SECONDS", deserialize_with = "seconds")]
    pub pool_timeout: Duration,
    #[serde(rename = "DATABASE_STATEMENT_TIMEOUT_SECONDS", deserialize_with = "seconds")]
    pub statement_timeout: Duration,
}

impl PoolSettings {
    /// Returns the host and port without the user name and password.
    pub fn address(&self) -> String {
        address(&self.url).unwrap_or_default()
    }
}

fn address(url: &str) -> Option<String> {
    let url: Url = url.parse().ok()?;
    Some(format!("{}:{}", url.host()?, url.port().unwrap_or(3306)))
}

fn mysql_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    convert(deserializer, |text| {
        let url: Url = text.parse().ok()?;
        let is_complete = url.scheme() == "mysql" && url.path().len() > 1;
        address(text).filter(|_| is_complete).map(|_| text.to_owned())
    })
}

/// The database. Clones are cheap and share one connection pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool<ConnectionManager>,
    queue: Arc<WaitQueue>,
}

struct WaitQueue {
    waiting: AtomicUsize,
    last_served_at: Mutex<Instant>,
    /// If no caller has received a connection for this long, new callers fail immediately.
    stalled_after: Duration,
}

/// Maximum number of attempts at a transaction that is aborted because of a deadlock.
pub(crate) const MAX_ATTEMPTS: u32 = 5;

/// Maximum lifetime of a connection. If the database address starts to point to another server, such as one with free
/// capacity or a new primary while the old one still accepts writes, all connections move there within this time.
const CONNECTION_LIFETIME: Duration = Duration::from_secs(5 * 60);

impl Store {
    /// Connections are opened on first use, so the database need not be available yet.
    pub async fn connect(settings: &PoolSettings) -> StoreResult<Store> {
        Self::connect_with_lifetime(settings, CONNECTION_LIFETIME).await
    }

    async fn connect_with_lifetime(
        settings: &PoolSettings,
        lifetime: Duration,
    ) -> StoreResult<Store> {
        let manager = ConnectionManager {
            url: settings.url.clone(),
            response_timeout: settings.statement_timeout,
        };
        let pool = Pool::builder()
            .max_size(settings.size)
            .connection_timeout(settings.pool_timeout)
            .max_lifetime(lifetime)
            .build(manager)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let queue = WaitQueue {
            waiting: AtomicUsize::new(0),
            last_served_at: Mutex::new(Instant::now()),
            stalled_after: settings.pool_timeout / 2,
        };
        Ok(Store { pool, queue: Arc::new(queue) })
    }

    /// Fails immediately if no caller has received a connection for half of the pool's timeout.
    pub(crate) async fn connection(&self) -> StoreResult<PooledConnection<'_, ConnectionManager>> {
        let Some(ticket) = self.queue.join() else {
            return Err(StoreError::Unavailable("the connection queue is stalled".to_owned()));
        };
        let connection = self.pool.get().await.map_err(|error| match error {
            RunError::User(error) => error,
            RunError::TimedOut => {
                StoreError::Unavailable("no connection was free in time".to_owned())
            }
        })?;
        ticket.served();
        Ok(connection)
    }

    pub async fn ping(&self) -> StoreResult<()> {
        let mut connection = self.connection().await?;
        diesel::sql_query("SELECT 1").execute(&mut connection).await?;
        Ok(())
    }
}

struct Ticket<'a>(&'a WaitQueue);

impl WaitQueue {
    fn join(&self) -> Option<Ticket<'_>> {
        let was_empty = self.waiting.fetch_add(1, Ordering::SeqCst) == 0;
        let ticket = Ticket(self);
        if was_empty {
            ticket.served();
        }
        let last_served_at = *self.last_served_at.lock().unwrap_or_else(PoisonError::into_inner);
        (was_empty || last_served_at.elapsed() < self.stalled_after).then_some(ticket)
    }
}

impl Ticket<'_> {
    fn served(&self) {
        *self.0.last_served_at.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Runs a transaction and retries it after a deadlock. This is a macro because the compiler cannot yet prove that a
/// generic async closure is `Send`.
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
                Err(error) if error.is_deadlock() && attempt < $crate::db::pool::MAX_ATTEMPTS => {
                    tracing::debug!(attempt, "retrying a transaction after a deadlock");
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
    use crate::db::connection::{Connection, without_socket};
    use crate::db::server_error;
    use diesel::QueryableByName;
    use diesel::sql_types::Text;
    use diesel_async::SimpleAsyncConnection;
    use uuid::Uuid;

    #[derive(QueryableByName)]
    struct Variable {
        #[diesel(sql_type = Text)]
        value: String,
    }

    async fn session_variable(connection: &mut Connection, name: &str) -> Option<String> {
        let query = format!("SELECT CAST(@@session.{name} AS CHAR) AS value");
        let variable: Result<Variable, _> = diesel::sql_query(query).get_result(connection).await;
        variable.ok().map(|variable| variable.value)
    }

    fn settings() -> PoolSettings {
        let url = std::env::var("DIAGFLOW_TEST_MYSQL_URL")
            .expect("DIAGFLOW_TEST_MYSQL_URL is not set: run the tests with `cargo xtask test`");
        PoolSettings {
            url,
            size: 1,
            pool_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
        }
    }

    #[tokio::test]
    async fn a_pooled_connection_uses_utc_and_read_committed() {
        let store = Store::connect(&settings()).await.expect("a pool");
        let mut connection = store.connection().await.expect("a connection");

        assert_eq!(session_variable(&mut connection, "time_zone").await.as_deref(), Some("+00:00"));
        // MariaDB and MySQL use different names for the isolation level variable.
        let isolation = match session_variable(&mut connection, "tx_isolation").await {
            Some(isolation) => Some(isolation),
            None => session_variable(&mut connection, "transaction_isolation").await,
        };
        assert_eq!(isolation.as_deref(), Some("READ-COMMITTED"));
        assert_eq!(session_variable(&mut connection, "wait_timeout").await.as_deref(), Some("120"));
    }

    async fn connection_id(store: &Store) -> Option<String> {
        let mut connection = store.connection().await.expect("a connection");
        let query = diesel::sql_query("SELECT CAST(CONNECTION_ID() AS CHAR) AS value");
        let id: Result<Variable, _> = query.get_result(&mut connection).await;
        id.ok().map(|id| id.value)
    }

    #[tokio::test]
    async fn a_connection_is_replaced_at_the_end_of_its_lifetime() {
        let reused = Store::connect(&settings()).await.expect("a pool");
        let lifetime = Duration::from_millis(200);
        let replaced = Store::connect_with_lifetime(&settings(), lifetime).await.expect("a pool");
        let (first, short_lived) = (connection_id(&reused).await, connection_id(&replaced).await);
        assert!(first.is_some() && short_lived.is_some());
        let started = Instant::now();

        while connection_id(&replaced).await == short_lived {
            assert!(started.elapsed() < Duration::from_secs(60), "the connection was not replaced");
        }

        assert_eq!(connection_id(&reused).await, first);
    }

    #[tokio::test]
    async fn a_connection_that_rejects_writes_is_replaced() {
        let store = Store::connect(&settings()).await.expect("a pool");
        let first = connection_id(&store).await;
        let database = format!("test_{}", Uuid::new_v4().simple());
        let mut connection = store.connection().await.expect("a connection");
        let read_only = format!(
            "CREATE DATABASE {database}; CREATE TABLE {database}.numbers (n INT); \
             SET SESSION TRANSACTION READ ONLY"
        );
        connection.batch_execute(&read_only).await.expect("a read-only session");

        let write = diesel::sql_query(format!("INSERT INTO {database}.numbers VALUES (1)"));
        let error = write.execute(&mut connection).await.expect_err("a rejected write");
        drop(connection);

        assert_ne!(connection_id(&store).await, first);
        assert_eq!(server_error::number(&error), Some(1792), "{error}");
        let mut connection = store.connection().await.expect("a connection");
        let remove = format!("DROP DATABASE {database}");
        connection.batch_execute(&remove).await.expect("a removed database");
    }

    #[test]
    fn the_driver_connects_only_to_the_given_address() {
        for (given, used) in [
            ("mysql://u:p%40@h:3306/d", "mysql://u:p%40@h:3306/d?prefer_socket=false"),
            ("mysql://h/d?require_ssl=true", "mysql://h/d?require_ssl=true&prefer_socket=false"),
            ("mysql://h/d?prefer_socket=true", "mysql://h/d?prefer_socket=true"),
            ("no address", "no address"),
        ] {
            assert_eq!(without_socket(given), used);
        }
    }
}
