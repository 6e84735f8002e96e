//! Creates a database for each test on the test server.

use crate::{Proxy, servers};
use diagflow_store::Store;
use diesel::sql_types::{BigInt, Text};
use diesel_async::{AsyncConnection, AsyncMysqlConnection, RunQueryDsl, SimpleAsyncConnection};
use url::Url;
use uuid::Uuid;

/// The database of one test. [`Database::remove`] drops it.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    pub async fn empty() -> Database {
        Self::empty_on(servers::mysql()).await
    }

    async fn empty_on(server: String) -> Database {
        let name = format!("test_{}", Uuid::new_v4().simple());
        execute_on(&server, &format!("CREATE DATABASE {name} CHARACTER SET utf8mb4")).await;
        Database { server, name }
    }

    pub async fn migrated() -> Database {
        Self::migrated_on(servers::mysql()).await
    }

    pub async fn migrated_on(server: String) -> Database {
        let database = Self::empty_on(server).await;
        Store::migrate(&database.url()).await.expect("a migrated schema");
        database
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    /// Starts a proxy to the database server. Returns the proxy and the database URL that leads through it.
    pub async fn via_proxy(&self) -> (Proxy, String) {
        let direct: Url = self.url().parse().expect("an address");
        let host = direct.host_str().expect("a host name");
        let server = format!("{host}:{}", direct.port().expect("a port number"));
        let proxy = Proxy::to(&server).await;
        let url = direct.as_str().replacen(&server, &proxy.address(), 1);
        (proxy, url)
    }

    pub async fn connect(&self) -> AsyncMysqlConnection {
        AsyncMysqlConnection::establish(&self.url()).await.expect("a connection")
    }

    pub async fn number(&self, query: &str) -> i64 {
        let mut connection = self.connect().await;
        diesel::dsl::sql::<BigInt>(query).get_result(&mut connection).await.expect(query)
    }

    pub async fn texts(&self, query: &str) -> Vec<String> {
        let mut connection = self.connect().await;
        diesel::dsl::sql::<Text>(query).load(&mut connection).await.expect(query)
    }

    /// Queries the audit log. Strips the id of the actor's session or API key from the rows because it differs between
    /// test runs.
    pub async fn audit_rows(&self, query: &str) -> Vec<String> {
        let mut entries = self.texts(query).await;
        for entry in &mut entries {
            for name in ["\"session\":\"", "\"key\":\""] {
                if let Some(start) = entry.find(name) {
                    let id = start + name.len();
                    let end = id + entry[id..].find('"').expect("a closing quote") + 1;
                    entry.replace_range(start..end, "");
                }
            }
            *entry = entry.replace("{,", "{").replace(",,", ",").replace(",}", "}");
        }
        entries
    }

    pub async fn count_rows(&self, table: &str) -> i64 {
        self.number(&format!("SELECT COUNT(*) FROM {table}")).await
    }

    pub async fn execute(&self, statement: &str) {
        execute_on(&self.url(), statement).await;
    }

    pub async fn remove(self) {
        execute_on(&self.server, &format!("DROP DATABASE {}", self.name)).await;
    }
}

async fn execute_on(url: &str, statement: &str) {
    let mut connection = AsyncMysqlConnection::establish(url).await.expect("a connection");
    connection.batch_execute(statement).await.expect(statement);
}
