//! A database of one's own on the test server.

use crate::{Proxy, servers};
use diagflow_store::Store;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use url::Url;
use uuid::Uuid;

/// A database, dropped by [`Database::remove`].
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    /// Makes an empty database.
    pub async fn empty() -> Database {
        Self::empty_on(servers::mysql()).await
    }

    async fn empty_on(server: String) -> Database {
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute_on(&server, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
        Database { server, name }
    }

    /// Makes a database with this version's schema.
    pub async fn migrated() -> Database {
        Self::migrated_on(servers::mysql()).await
    }

    /// Makes a database with this version's schema on another server, at `server`.
    pub async fn migrated_on(server: String) -> Database {
        let database = Self::empty_on(server).await;
        Store::migrate(&database.url()).await.expect("migrates");
        database
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// A line of one's own to it, and its address by that line.
    pub async fn via_proxy(&self) -> (Proxy, String) {
        let direct: Url = self.url().parse().expect("an address");
        let host = direct.host_str().expect("a host");
        let server = format!("{host}:{}", direct.port().expect("a port"));
        let proxy = Proxy::to(&server).await;
        let url = direct.as_str().replacen(&server, &proxy.address(), 1);
        (proxy, url)
    }

    /// A connection to it.
    pub async fn connect(&self) -> AsyncMysqlConnection {
        AsyncMysqlConnection::establish(&self.url()).await.expect("connects")
    }

    /// The one number that a query gives.
    pub async fn number(&self, query: &str) -> i64 {
        let mut connection = self.connect().await;
        diesel::dsl::sql::<BigInt>(query).get_result(&mut connection).await.expect(query)
    }

    /// The texts that a query gives.
    pub async fn texts(&self, query: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        diesel::dsl::sql::<Text>(query).load(&mut connection).await.expect(query)
    }

    /// The texts that a query of the audit gives, without the session or API key by which something was
    /// done: that is another one each time.
    pub async fn audit_rows(&self, query: &str) -> Vec<String> {
        let mut entries = self.texts(query).await;
        for entry in &mut entries {
            for name in ["\"session\":\"", "\"key\":\""] {
                if let Some(start) = entry.find(name) {
                    let id = start + name.len();
                    let end = id + entry[id..].find('"').expect("the end of a text") + 1;
                    entry.replace_range(start..end, "");
                }
            }
            *entry = entry.replace("{,", "{").replace(",,", ",").replace(",}", "}");
        }
        entries
    }

    /// How many rows a table has.
    pub async fn count_rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT COUNT(*) FROM {table}")).await
    }

    /// Runs a statement.
    pub async fn execute(&self, statement: &str) {
        execute_on(&self.url(), statement).await;
    }

    /// Removes it.
    pub async fn remove(self) {
        execute_on(&self.server, &format!("DROP DATABASE {}", self.name)).await;
    }
}

async fn execute_on(url: &str, statement: &str) {
    let mut connection = AsyncMysqlConnection::establish(url).await.expect("connects");
    connection.batch_execute(statement).await.expect(statement);
}
