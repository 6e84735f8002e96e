//! Checks whether the database can serve this process.

use crate::db::error::StoreResult;
use crate::db::pool::Store;
use crate::db::server_error::ErrorClass;
use diesel_async::RunQueryDsl;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DatabaseState {
    NotMigrated,
    /// The server accepts no writes, for example because it was the primary before a failover.
    ReadOnly,
    Ready,
}

impl Store {
    pub async fn database_state(&self) -> StoreResult<DatabaseState> {
        if !self.is_migrated().await? {
            return Ok(DatabaseState::NotMigrated);
        }
        Ok(if self.can_write().await? { DatabaseState::Ready } else { DatabaseState::ReadOnly })
    }

    /// Executes a write that changes nothing and locks no rows. A read-only server still refuses it.
    async fn can_write(&self) -> StoreResult<bool> {
        let mut connection = self.connection().await?;
        let write = diesel::sql_query("UPDATE loopai_breaker SET failures = failures WHERE 1 = 0");
        let written = write.execute(&mut connection).await;
        connection.read_error_number().await;
        match written {
            Ok(_) => Ok(true),
            Err(error) if ErrorClass::of_error(&error) == ErrorClass::ReadOnly => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
