//! What can go wrong with the records. The edge (HTTP, activities) decides what to tell whom;
//! nothing here is meant for a patient's eyes.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Result of every store call.
pub type StoreResult<T> = Result<T, StoreError>;

/// A failed store call. All of them may heal by trying again later, except [`StoreError::Corrupt`].
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection came free within the pool's time limit, or none could be opened.
    #[error("no database connection: {0}")]
    Unavailable(String),
    /// The database refused or lost a statement.
    #[error("database: {0}")]
    Database(#[from] DieselError),
    /// Everything was written, but whether it was committed is not known: the answer to that was lost.
    #[error("perhaps not committed: {0}")]
    CommitUnknown(String),
    /// Bytes were swept before a submission could name them: they must be stored again.
    #[error("bytes were swept before they were named")]
    BlobsSwept,
    /// A row holds what this version cannot read, or is not as it was found just before.
    #[error("broken record: {0}")]
    Corrupt(String),
    /// A migration failed, or the migrations of another version are in the database.
    #[error("migration: {0}")]
    Migration(String),
}

impl StoreError {
    /// What a log may say. Databases quote values ("Duplicate entry 'x'"), and so do the readers of rows; without a
    /// connection nothing was sent that could be quoted.
    pub fn kind(&self) -> String {
        match self {
            Self::Unavailable(_) | Self::CommitUnknown(_) | Self::BlobsSwept => self.to_string(),
            Self::Database(DieselError::DatabaseError(kind, _)) => format!("database: {kind:?}"),
            Self::Database(_) => "database: unexpected answer".to_owned(),
            Self::Corrupt(_) => "corrupt record".to_owned(),
            Self::Migration(_) => "migration".to_owned(),
        }
    }

    /// Whether the same call may succeed later. A row that this version cannot read stays unreadable.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Corrupt(_) | Self::Database(DieselError::DeserializationError(_)))
    }

    /// Whether the transaction lost against another one and may simply be repeated
    /// (MySQL error 1213, and 1205 for a lock that was waited for in vain).
    pub(crate) fn is_deadlock(&self) -> bool {
        let StoreError::Database(DieselError::DatabaseError(_, info)) = self else { return false };
        let message = info.message();
        message.contains("Deadlock found") || message.contains("Lock wait timeout")
    }

    /// Whether a unique key was hit.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(
            self,
            StoreError::Database(DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_quotes_no_value_from_the_database() {
        let text = || Box::new("Duplicate entry 'ana@example.org'".to_owned());
        let refused = DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, text());
        let unreadable = DieselError::DeserializationError("ana@example.org is no number".into());
        for (error, expected) in [
            (refused.into(), "UniqueViolation"),
            (unreadable.into(), "database"),
            (StoreError::Corrupt("result: ana@example.org".to_owned()), "corrupt record"),
        ] {
            let kind = StoreError::kind(&error);
            assert!(kind.contains(expected) && !kind.contains("ana@"), "{kind}");
        }
    }

    #[test]
    fn only_a_corrupt_record_is_not_retryable() {
        assert!(!StoreError::Corrupt("no JSON".to_owned()).is_retryable());
        assert!(StoreError::from(DieselError::NotFound).is_retryable());
        assert!(StoreError::Unavailable("none came free".to_owned()).is_retryable());
    }
}
