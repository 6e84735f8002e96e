//! A connection that knows whether it is in step with the server.
//!
//! The driver matches answers to statements by their order alone. Whoever stops waiting for an answer (a
//! time limit, a client that went away, a process that ends) leaves it in the line, where the next user of
//! the connection would take it for its own: one patient could be shown what is another's. So a connection
//! with a statement under way answers nothing more, and never comes back into the pool; and no statement is
//! waited for without end, for a server that vanished from the network says nothing.

use crate::db::error::StoreError;
use diesel::IntoSql;
use diesel::connection::{CacheSize, Instrumentation};
use diesel::query_builder::{AsQuery, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::Integer;
use diesel::{ConnectionError, ConnectionResult, QueryResult};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncMysqlConnection,
    RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use std::time::Duration;
use tokio::time::timeout;
use url::Url;

/// Every statement sees what is committed, and locks only the rows it touches (no gap locks,
/// which turn concurrent inserts of neighbours into deadlocks); all times are UTC, whatever the
/// server's own zone is (see [`crate::db::clock`]).
///
/// The modes are MySQL 8's default: MariaDB's lets more through, and a server may have been set to cut off
/// what is too long. `PIPES_AS_CONCAT` is what Diesel counts on.
///
/// A client whose machine vanished in the middle of a transaction says nothing more. The server gives its locks
/// back after two minutes instead of its usual eight hours: others may wait for them, all of them in the case of
/// the gate's (see `loopai`). An idle connection ends so, too, and is replaced when it is wanted.
///
/// Errors that have no kind of their own in Diesel are told by their words, so these are English.
const SESSION_SETUP: &str = "SET SESSION_SETUP TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET SESSION_SETUP time_zone = '+00:00'; \
    SET SESSION_SETUP lc_messages = 'en_US'; \
    SET SESSION_SETUP wait_timeout = 120; \
    SET SESSION_SETUP sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
        ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'";

/// How long opening a connection may take: less than TCP's own patience, which is minutes.
const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// See the head of this file.
pub(crate) struct Connection {
    inner: AsyncMysqlConnection,
    /// Longest wait for an answer.
    answer_timeout: Duration,
    /// Whether a statement was sent whose answer has not begun.
    in_flight: bool,
}

type Rows<'conn> =
    BoxStream<'conn, QueryResult<<Connection as AsyncConnectionCore>::Row<'conn, 'conn>>>;

impl Connection {
    async fn open(url: &str, answer_timeout: Duration) -> ConnectionResult<Connection> {
        let inner = AsyncMysqlConnection::establish(&without_socket(url)).await?;
        let mut connection = Connection { inner, answer_timeout, in_flight: false };
        let set = connection.batch_execute(SESSION_SETUP).await;
        set.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }
}

/// The address, with the driver held to it. By itself the driver asks the server for its socket's path, and
/// goes there if it can, whatever host the address names. Where the server is in a container or behind a
/// tunnel, what listens there is another one, perhaps with records in a database of the same name.
pub(crate) fn without_socket(url: &str) -> String {
    let Ok(mut address) = Url::parse(url) else { return url.to_owned() };
    if address.query_pairs().all(|(name, _)| name != "prefer_socket") {
        address.query_pairs_mut().append_pair("prefer_socket", "false");
    }
    address.into()
}

/// Waits for the answer to a statement, unless the one before it has none.
async fn answer<T>(
    answer_timeout: Duration,
    in_flight: &mut bool,
    statement: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    if *in_flight {
        return Err(connection_lost("the statement before this one has no answer"));
    }
    *in_flight = true;
    let answer = timeout(answer_timeout, statement)
        .await
        .map_err(|_| connection_lost("no answer in time"))?;
    *in_flight = false;
    answer
}

/// The rows of an answer that has begun. Leaving some of them unread is harmless: the driver knows that
/// they are there.
fn timed_rows(rows: Rows<'_>, answer_timeout: Duration) -> Rows<'_> {
    stream::unfold(rows, move |mut rows| async move {
        match timeout(answer_timeout, rows.next()).await {
            Ok(row) => row.map(|row| (row, rows)),
            Err(_) => Some((Err(connection_lost("no answer in time")), rows)),
        }
    })
    .boxed()
}

fn connection_lost(why: &str) -> Error {
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(why.to_owned()))
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        answer(self.answer_timeout, &mut self.in_flight, self.inner.batch_execute(query)).await
    }
}

impl AsyncConnectionCore for Connection {
    type ExecuteFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<usize>>;
    type LoadFuture<'conn, 'query> = BoxFuture<'conn, QueryResult<Self::Stream<'conn, 'query>>>;
    type Stream<'conn, 'query> = BoxStream<'conn, QueryResult<Self::Row<'conn, 'query>>>;
    type Row<'conn, 'query> = <AsyncMysqlConnection as AsyncConnectionCore>::Row<'conn, 'query>;
    type Backend = <AsyncMysqlConnection as AsyncConnectionCore>::Backend;

    fn load<'conn, 'query, T>(&'conn mut self, source: T) -> Self::LoadFuture<'conn, 'query>
    where
        T: AsQuery + 'query,
        T::Query: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let Self { inner, answer_timeout, in_flight } = self;
        let statement = AsyncConnectionCore::load(inner, source);
        async move {
            Ok(timed_rows(answer(*answer_timeout, in_flight, statement).await?, *answer_timeout))
        }
        .boxed()
    }

    fn execute_returning_count<'conn, 'query, T>(
        &'conn mut self,
        source: T,
    ) -> Self::ExecuteFuture<'conn, 'query>
    where
        T: QueryFragment<Self::Backend> + QueryId + 'query,
    {
        let Self { inner, answer_timeout, in_flight } = self;
        let statement = AsyncConnectionCore::execute_returning_count(inner, source);
        answer(*answer_timeout, in_flight, statement).boxed()
    }
}

impl AsyncConnection for Connection {
    type TransactionManager = AnsiTransactionManager;

    async fn establish(database_url: &str) -> ConnectionResult<Self> {
        Connection::open(database_url, OPEN_TIMEOUT).await
    }

    fn transaction_state(&mut self) -> &mut AnsiTransactionManager {
        self.inner.transaction_state()
    }

    fn instrumentation(&mut self) -> &mut dyn Instrumentation {
        self.inner.instrumentation()
    }

    fn set_instrumentation(&mut self, instrumentation: impl Instrumentation) {
        self.inner.set_instrumentation(instrumentation);
    }

    fn set_prepared_statement_cache_size(&mut self, size: CacheSize) {
        self.inner.set_prepared_statement_cache_size(size);
    }
}

/// Opens connections for the pool, and tells which are good.
#[derive(Debug)]
pub(crate) struct ConnectionManager {
    /// Where the database is.
    pub(crate) url: String,
    /// Longest wait for an answer.
    pub(crate) answer_timeout: Duration,
}

impl bb8::ManageConnection for ConnectionManager {
    type Connection = Connection;
    type Error = StoreError;

    async fn connect(&self) -> Result<Connection, StoreError> {
        let opened = timeout(OPEN_TIMEOUT, Connection::open(&self.url, self.answer_timeout)).await;
        let opened = opened.map_err(|_| StoreError::Unavailable("no answer in time".to_owned()))?;
        opened.map_err(|error| StoreError::Unavailable(error.to_string()))
    }

    async fn is_valid(&self, connection: &mut Connection) -> Result<(), StoreError> {
        diesel::select(1_i32.into_sql::<Integer>()).execute(connection).await?;
        Ok(())
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.in_flight
            || AnsiTransactionManager::is_broken_transaction_manager(connection)
            || std::thread::panicking()
    }
}
