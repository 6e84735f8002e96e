//! The pool of connections, and the transaction that repeats itself after a deadlock.

use crate::connection::{Connection, Manager};
use crate::error::{StoreError, StoreResult};
use bb8::{Pool, PooledConnection, RunError};
use diesel_async::RunQueryDsl;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};

/// How the pool behaves.
#[derive(Debug, Clone)]
pub struct PoolSettings {
    /// `mysql://user:password@host:port/database`.
    pub url: String,
    /// Most connections of this process.
    pub size: u32,
    /// How long a caller waits for a free connection before it is told so.
    pub wait: Duration,
    /// How long a statement may take before its connection is given up.
    pub statement: Duration,
}

/// The records. Cheap to clone; all clones share one pool.
#[derive(Clone)]
pub struct Store {
    pool: Pool<Manager>,
    /// One permit for each caller that may wait, or work, at once.
    callers: Arc<Semaphore>,
}

/// Callers that may wait for each connection of the pool. With more, the database is slower than it is asked:
/// they are told so at once, instead of after a wait that is in vain for most of them.
const WAITING: u32 = 8;

/// How often a transaction that lost a deadlock is repeated before the caller hears of it.
pub(crate) const DEADLOCK_ATTEMPTS: u32 = 5;

impl Store {
    /// Makes the pool. Connections are opened when first asked for, so the database may be down now.
    ///
    /// # Errors
    /// Only when the pool itself cannot be built.
    pub async fn connect(settings: &PoolSettings) -> StoreResult<Store> {
        let manager = Manager { url: settings.url.clone(), limit: settings.statement };
        let pool = Pool::builder()
            .max_size(settings.size)
            .connection_timeout(settings.wait)
            .build(manager)
            .await
            .map_err(|error| StoreError::Unavailable(error.to_string()))?;
        let callers = settings.size.saturating_mul(1 + WAITING);
        let callers = Arc::new(Semaphore::new(callers.try_into().unwrap_or(usize::MAX >> 3)));
        Ok(Store { pool, callers })
    }

    /// A connection of the pool.
    pub(crate) async fn connection(&self) -> StoreResult<Pooled<'_>> {
        let Ok(place) = self.callers.try_acquire() else {
            return Err(StoreError::Unavailable("too many wait for one".to_owned()));
        };
        let connection = self.pool.get().await.map_err(|error| match error {
            RunError::User(error) => error,
            RunError::TimedOut => StoreError::Unavailable("none came free in time".to_owned()),
        })?;
        Ok(Pooled { connection, _place: place })
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

/// A connection of the pool, and the place among its callers.
pub(crate) struct Pooled<'a> {
    connection: PooledConnection<'a, Manager>,
    _place: SemaphorePermit<'a>,
}

impl Deref for Pooled<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        &self.connection
    }
}

impl DerefMut for Pooled<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        &mut self.connection
    }
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
    use crate::connection::as_addressed;
    use diesel::QueryableByName;
    use diesel::sql_types::Text;

    #[derive(QueryableByName)]
    struct Variable {
        #[diesel(sql_type = Text)]
        value: String,
    }

    async fn session(connection: &mut Connection, name: &str) -> Option<String> {
        let query = format!("SELECT @@session.{name} AS value");
        let variable: Result<Variable, _> = diesel::sql_query(query).get_result(connection).await;
        variable.ok().map(|variable| variable.value)
    }

    #[tokio::test]
    async fn a_pooled_connection_is_in_utc_and_reads_what_is_committed() {
        let url = std::env::var("DIAGFLOW_TEST_MYSQL_URL")
            .expect("DIAGFLOW_TEST_MYSQL_URL is not set: run the tests by `cargo xtask test`");
        let settings = PoolSettings {
            url,
            size: 1,
            wait: Duration::from_secs(10),
            statement: Duration::from_secs(30),
        };
        let store = Store::connect(&settings).await.expect("a pool");
        let mut connection = store.connection().await.expect("a connection");

        assert_eq!(session(&mut connection, "time_zone").await.as_deref(), Some("+00:00"));
        // MariaDB's name of the variable, and MySQL's.
        let isolation = match session(&mut connection, "tx_isolation").await {
            Some(isolation) => Some(isolation),
            None => session(&mut connection, "transaction_isolation").await,
        };
        assert_eq!(isolation.as_deref(), Some("READ-COMMITTED"));
        assert_eq!(session(&mut connection, "lc_messages").await.as_deref(), Some("en_US"));
    }

    #[test]
    fn the_driver_is_held_to_the_address() {
        for (given, used) in [
            ("mysql://u:p%40@h:3306/d", "mysql://u:p%40@h:3306/d?prefer_socket=false"),
            ("mysql://h/d?require_ssl=true", "mysql://h/d?require_ssl=true&prefer_socket=false"),
            ("mysql://h/d?prefer_socket=true", "mysql://h/d?prefer_socket=true"),
            ("no address", "no address"),
        ] {
            assert_eq!(as_addressed(given), used);
        }
    }
}
