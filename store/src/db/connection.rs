//! A connection that tracks whether it is in sync with the server.
//!
//! The driver matches responses to statements only by their order. If a caller stops waiting for a response (after a
//! timeout, or because its client has disconnected), the response stays in the connection, and the next user would read
//! it as its own: one patient could see another patient's data. A connection with a statement in flight therefore fails
//! every further statement and never returns to the pool. Every statement has a timeout, because a server that has
//! disappeared from the network sends no response.

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

/// READ COMMITTED: each statement sees only committed data, and locks only the rows that it touches. With gap locks,
/// concurrent inserts of neighbouring rows could deadlock.
///
/// `wait_timeout`: if a client's machine disappears, the server releases its locks after two minutes instead of
/// eight hours. It also closes idle connections; the pool replaces them.
///
/// `sql_mode`: MySQL 8's default, because MariaDB's default is less strict, plus `PIPES_AS_CONCAT`, which Diesel needs.
///
/// `lc_messages`: some errors can be recognised only by their text.
const SESSION_SETUP: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET SESSION time_zone = '+00:00'; \
    SET SESSION lc_messages = 'en_US'; \
    SET SESSION wait_timeout = 120; \
    SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
        ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'";

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

pub(crate) struct Connection {
    inner: AsyncMysqlConnection,
    response_timeout: Duration,
    in_flight: bool,
}

type Rows<'conn> =
    BoxStream<'conn, QueryResult<<Connection as AsyncConnectionCore>::Row<'conn, 'conn>>>;

impl Connection {
    async fn open(url: &str, response_timeout: Duration) -> ConnectionResult<Connection> {
        let inner = AsyncMysqlConnection::establish(&without_socket(url)).await?;
        let mut connection = Connection { inner, response_timeout, in_flight: false };
        let set = connection.batch_execute(SESSION_SETUP).await;
        set.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }
}

/// Prevents the driver from using a Unix socket. Otherwise it would query the server for the socket's path and connect
/// there, although another server may listen on that path if the URL names a container or a tunnel.
pub(crate) fn without_socket(url: &str) -> String {
    let Ok(mut address) = Url::parse(url) else { return url.to_owned() };
    if address.query_pairs().all(|(name, _)| name != "prefer_socket") {
        address.query_pairs_mut().append_pair("prefer_socket", "false");
    }
    address.into()
}

/// Waits for the response to a statement. Fails at once if there was no response to the previous statement.
async fn await_response<T>(
    response_timeout: Duration,
    in_flight: &mut bool,
    statement: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    if *in_flight {
        return Err(connection_lost("there was no response to the previous statement"));
    }
    *in_flight = true;
    let response = timeout(response_timeout, statement)
        .await
        .map_err(|_| connection_lost("no response in time"))?;
    *in_flight = false;
    response
}

/// The rows of a response, with a timeout for each. The caller may leave rows unread: the driver handles that.
fn timed_rows(rows: Rows<'_>, response_timeout: Duration) -> Rows<'_> {
    stream::unfold(rows, move |mut rows| async move {
        match timeout(response_timeout, rows.next()).await {
            Ok(row) => row.map(|row| (row, rows)),
            Err(_) => Some((Err(connection_lost("no response in time")), rows)),
        }
    })
    .boxed()
}

fn connection_lost(why: &str) -> Error {
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(why.to_owned()))
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        await_response(self.response_timeout, &mut self.in_flight, self.inner.batch_execute(query))
            .await
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
        let Self { inner, response_timeout, in_flight } = self;
        let statement = AsyncConnectionCore::load(inner, source);
        async move {
            Ok(timed_rows(
                await_response(*response_timeout, in_flight, statement).await?,
                *response_timeout,
            ))
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
        let Self { inner, response_timeout, in_flight } = self;
        let statement = AsyncConnectionCore::execute_returning_count(inner, source);
        await_response(*response_timeout, in_flight, statement).boxed()
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

#[derive(Debug)]
pub(crate) struct ConnectionManager {
    pub(crate) url: String,
    pub(crate) response_timeout: Duration,
}

impl bb8::ManageConnection for ConnectionManager {
    type Connection = Connection;
    type Error = StoreError;

    async fn connect(&self) -> Result<Connection, StoreError> {
        let opened =
            timeout(OPEN_TIMEOUT, Connection::open(&self.url, self.response_timeout)).await;
        let opened =
            opened.map_err(|_| StoreError::Unavailable("no response in time".to_owned()))?;
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
