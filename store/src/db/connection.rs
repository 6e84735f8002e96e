//! A database connection that tracks whether it is in sync with the server.
//!
//! The driver matches responses to statements only by their order. If a caller stops waiting for a response (after a
//! timeout, or because its client has disconnected), the response remains unread, and the connection's next user would
//! receive it in place of their own: one patient could see another patient's data. A connection with a statement in
//! flight therefore rejects all further statements and never returns to the pool. Every statement has a timeout because
//! a server that has disappeared from the network sends no response.
//!
//! After a failover, open connections may still lead to the old primary, which is read-only. These connections never
//! return to the pool either.

use crate::db::error::StoreError;
use crate::db::server_error::{DUPLICATE_KEY, ErrorClass, ErrorNumber, numbered, packet_too_large};
use diesel::connection::{CacheSize, Instrumentation};
use diesel::mysql::Mysql;
use diesel::query_builder::{AsQuery, AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error};
use diesel::sql_types::{BigInt, Bool, Nullable};
use diesel::{ConnectionError, ConnectionResult, QueryResult, QueryableByName};
use diesel_async::{
    AnsiTransactionManager, AsyncConnection, AsyncConnectionCore, AsyncMysqlConnection,
    RunQueryDsl, SimpleAsyncConnection, TransactionManager,
};
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream};
use futures::{FutureExt, StreamExt};
use std::time::{Duration, Instant};
use tokio::time::timeout;
use url::Url;

/// READ COMMITTED: each statement sees only committed data, and locks rows, but not the gaps between them. With gap
/// locks, concurrent inserts of neighbouring rows could deadlock.
///
/// `wait_timeout`: if a client's machine disappears, the server releases its locks after two minutes instead of eight
/// hours. The server also closes idle connections, which the pool replaces.
///
/// `sql_mode`: MySQL 8's default (MariaDB's is less strict) plus `PIPES_AS_CONCAT`, which Diesel needs.
const SESSION_SETUP: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED; \
    SET SESSION time_zone = '+00:00'; \
    SET SESSION wait_timeout = 120; \
    SET SESSION sql_mode = 'ONLY_FULL_GROUP_BY,STRICT_TRANS_TABLES,NO_ZERO_IN_DATE,NO_ZERO_DATE,\
        ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION,PIPES_AS_CONCAT'";

const OPEN_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads the last error's number. A statement may produce warnings before its error.
const READ_ERROR_NUMBER: &str = "GET DIAGNOSTICS @diagflow_conditions = NUMBER; \
    GET DIAGNOSTICS CONDITION @diagflow_conditions @diagflow_error = MYSQL_ERRNO";

/// A connection to a read-only server may be used only once, and only up to this age. After a failover, an older
/// connection may lead to the old primary, which lacks the newest data. While no server accepts writes, patients can
/// still read because each use opens a new connection.
const READ_ONLY_MAX_AGE: Duration = Duration::from_secs(1);

/// Maximum size of a statement, excluding its largest value.
pub(crate) const STATEMENT_OVERHEAD: u64 = 64 * 1024;

pub(crate) struct Connection {
    inner: AsyncMysqlConnection,
    exchange: Exchange,
    opened_at: Instant,
    is_used: bool,
    /// Whether a statement failed because the server is read-only.
    write_refused: bool,
    /// The server's `max_allowed_packet`.
    max_packet: u64,
}

/// Tracks the exchange of statements and responses with the server.
struct Exchange {
    response_timeout: Duration,
    in_flight: bool,
    /// The last statement's error number, if it has not been read from the server yet.
    unread_error: Option<ErrorNumber>,
}

type Rows<'conn> =
    BoxStream<'conn, QueryResult<<Connection as AsyncConnectionCore>::Row<'conn, 'conn>>>;

impl Connection {
    async fn open(url: &str, response_timeout: Duration) -> ConnectionResult<Connection> {
        let inner = AsyncMysqlConnection::establish(&without_socket(url)).await?;
        let exchange = Exchange { response_timeout, in_flight: false, unread_error: None };
        let mut connection = Connection {
            inner,
            exchange,
            opened_at: Instant::now(),
            is_used: false,
            write_refused: false,
            max_packet: 0,
        };
        connection.set_up().await.map_err(ConnectionError::CouldntSetupConfiguration)?;
        Ok(connection)
    }

    async fn set_up(&mut self) -> QueryResult<()> {
        self.batch_execute(SESSION_SETUP).await?;
        self.max_packet = self.read_integer("@@max_allowed_packet").await?.unwrap_or(u64::MAX);
        Ok(())
    }

    async fn read_integer(&mut self, variable: &str) -> QueryResult<Option<u64>> {
        #[derive(QueryableByName)]
        struct Variable {
            #[diesel(sql_type = Nullable<BigInt>)]
            value: Option<i64>,
        }
        let query = format!("SELECT CAST({variable} AS SIGNED) AS value");
        let row: Variable = diesel::sql_query(query).get_result(self).await?;
        Ok(row.value.and_then(|value| value.try_into().ok()))
    }

    /// Fails if a statement with a value of this size would be larger than the server accepts. If such a statement were
    /// sent, the server would close the connection, and the error would look like a lost connection.
    pub(crate) fn check_size(&self, bytes: usize) -> QueryResult<()> {
        match bytes as u64 + STATEMENT_OVERHEAD > self.max_packet {
            true => Err(packet_too_large()),
            false => Ok(()),
        }
    }

    /// Reads the last error's number from the server unless it is already known. Must be called before the next
    /// statement because the server discards the error when that statement starts.
    pub(crate) async fn read_error_number(&mut self) -> Option<u16> {
        let unread = self.exchange.unread_error.take()?;
        let stored = self.inner.batch_execute(READ_ERROR_NUMBER);
        let read = match self.exchange.await_response(stored).await {
            Ok(()) => self.read_integer("@diagflow_error").await,
            Err(error) => Err(error),
        };
        self.exchange.unread_error = None;
        // If there is no response, the connection was lost, so there is no error number.
        let number = read.ok()??.try_into().ok()?;
        self.write_refused |= unread.fill(number) == ErrorClass::ReadOnly;
        Some(number)
    }
}

/// Whether the server accepts only reads. The variable is a number in MySQL and may be a word in MariaDB.
#[derive(QueryId)]
struct IsReadOnly;

impl Query for IsReadOnly {
    type SqlType = Bool;
}

impl QueryFragment<Mysql> for IsReadOnly {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Mysql>) -> QueryResult<()> {
        out.push_sql(
            "SELECT CAST(@@global.read_only AS CHAR) NOT IN ('0', 'OFF') OR @@global.innodb_read_only",
        );
        Ok(())
    }
}

/// Prevents the driver from using a Unix socket. Otherwise, the driver would ask the server for its socket path and
/// connect to that path. If the URL points to a container or a tunnel, a different server may be listening there.
pub(crate) fn without_socket(url: &str) -> String {
    let Ok(mut address) = Url::parse(url) else { return url.to_owned() };
    if address.query_pairs().all(|(name, _)| name != "prefer_socket") {
        address.query_pairs_mut().append_pair("prefer_socket", "false");
    }
    address.into()
}

impl Exchange {
    /// Waits for a statement's response. Fails immediately if the previous statement received no response.
    async fn await_response<T>(
        &mut self,
        statement: impl Future<Output = QueryResult<T>>,
    ) -> QueryResult<T> {
        if self.in_flight {
            return Err(connection_lost("there was no response to the previous statement"));
        }
        self.in_flight = true;
        self.unread_error = None;
        let response = timeout(self.response_timeout, statement)
            .await
            .map_err(|_| connection_lost("no response in time"))?;
        self.in_flight = false;
        response.map_err(|error| self.with_unread_number(error))
    }

    fn with_unread_number(&mut self, error: Error) -> Error {
        let (error, number) = numbered(error);
        self.unread_error = number;
        error
    }

    /// Returns a response's rows, with a timeout for each row. The caller may leave rows unread because the driver
    /// discards them before the next statement.
    fn timed_rows<'conn>(&'conn mut self, rows: Rows<'conn>) -> Rows<'conn> {
        stream::unfold((self, rows), |(exchange, mut rows)| async move {
            let row = match timeout(exchange.response_timeout, rows.next()).await {
                Ok(row) => row?.map_err(|error| exchange.with_unread_number(error)),
                Err(_) => {
                    exchange.in_flight = true;
                    Err(connection_lost("no response in time"))
                }
            };
            Some((row, (exchange, rows)))
        })
        .boxed()
    }
}

fn connection_lost(why: &str) -> Error {
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(why.to_owned()))
}

impl SimpleAsyncConnection for Connection {
    async fn batch_execute(&mut self, query: &str) -> QueryResult<()> {
        // `query` may be the ROLLBACK after a failed statement, so the error number must be read first.
        self.read_error_number().await;
        let response = self.exchange.await_response(self.inner.batch_execute(query)).await;
        self.read_error_number().await;
        response
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
        let Self { inner, exchange, .. } = self;
        let statement = AsyncConnectionCore::load(inner, source);
        async move {
            let rows = exchange.await_response(statement).await?;
            Ok(exchange.timed_rows(rows))
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
        let Self { inner, exchange, .. } = self;
        let statement = AsyncConnectionCore::execute_returning_count(inner, source);
        exchange.await_response(statement).boxed()
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
        if let Some(number) = connection.read_error_number().await
            && number != DUPLICATE_KEY
        {
            tracing::warn!(number, "the database server rejected a statement");
        }
        let is_read_only: bool = IsReadOnly.get_result(connection).await?;
        let is_reused = std::mem::replace(&mut connection.is_used, true);
        let is_old = is_reused || connection.opened_at.elapsed() >= READ_ONLY_MAX_AGE;
        match connection.write_refused || is_read_only && is_old {
            true => Err(StoreError::Unavailable("the server is read-only".to_owned())),
            false => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut Connection) -> bool {
        connection.exchange.in_flight
            || connection.write_refused
            || AnsiTransactionManager::is_broken_transaction_manager(connection)
            || std::thread::panicking()
    }
}
