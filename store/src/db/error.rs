//! Errors of the store. Their texts are for operators; the HTTP API and the activities decide what to show.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

pub type StoreResult<T> = Result<T, StoreError>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection was free in time, or none could be opened.
    #[error("no database connection: {0}")]
    Unavailable(String),
    #[error("database: {0}")]
    Database(#[from] DieselError),
    /// All statements succeeded, but the response to the commit was lost.
    #[error("outcome of the commit unknown: {0}")]
    CommitUnknown(String),
    /// The bytes were deleted before the submission referred to them. They must be stored again.
    #[error("stored bytes were deleted before a submission referred to them")]
    BlobsSwept,
    /// A row cannot be read by this version, or contradicts an earlier read of it.
    #[error("corrupt record: {0}")]
    Corrupt(String),
    #[error("migration: {0}")]
    Migration(String),
}

impl StoreError {
    /// A text that is safe to log. Database errors contain values ("Duplicate entry 'x'"), and so do errors in reading
    /// a row. Connection errors contain none.
    pub fn kind(&self) -> String {
        match self {
            Self::Unavailable(_) | Self::CommitUnknown(_) | Self::BlobsSwept => self.to_string(),
            Self::Database(DieselError::DatabaseError(kind, _)) => format!("database: {kind:?}"),
            Self::Corrupt(_) | Self::Database(DieselError::DeserializationError(_)) => {
                "corrupt record".to_owned()
            }
            Self::Database(_) => "database: unexpected response".to_owned(),
            Self::Migration(_) => "migration".to_owned(),
        }
    }

    /// A corrupt record stays corrupt; everything else may succeed later.
    pub fn is_retryable(&self) -> bool {
        !matches!(self, Self::Corrupt(_) | Self::Database(DieselError::DeserializationError(_)))
    }

    /// MySQL error 1213 (deadlock) or 1205 (lock wait timeout). The transaction can be repeated.
    pub(crate) fn is_deadlock(&self) -> bool {
        let StoreError::Database(DieselError::DatabaseError(_, info)) = self else { return false };
        let message = info.message();
        message.contains("Deadlock found") || message.contains("Lock wait timeout")
    }

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
        let unreadable =
            DieselError::DeserializationError("ana@example.org is not a number".into());
        for (error, expected) in [
            (refused.into(), "UniqueViolation"),
            (unreadable.into(), "corrupt record"),
            (DieselError::NotFound.into(), "unexpected response"),
            (StoreError::Corrupt("result: ana@example.org".to_owned()), "corrupt record"),
        ] {
            let kind = StoreError::kind(&error);
            assert!(kind.contains(expected) && !kind.contains("ana@"), "{kind}");
        }
    }

    #[test]
    fn only_a_corrupt_record_is_not_retryable() {
        assert!(!StoreError::Corrupt("not JSON".to_owned()).is_retryable());
        let unreadable = DieselError::DeserializationError("not a number".into());
        assert!(!StoreError::from(unreadable).is_retryable());
        assert!(StoreError::from(DieselError::NotFound).is_retryable());
        assert!(StoreError::Unavailable("no connection was free".to_owned()).is_retryable());
    }
}
