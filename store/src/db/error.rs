//! Errors returned by the store. Their messages are for operators, not for clients or patients.

use crate::codes::FailureCode;
use crate::db::server_error::{self, ErrorClass};
use diesel::result::{DatabaseErrorKind, Error as DieselError};

pub type StoreResult<T> = Result<T, StoreError>;

#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection became free in time, or no connection could be opened.
    #[error("no database connection: {0}")]
    Unavailable(String),
    #[error("database: {0}")]
    Database(#[from] DieselError),
    /// All statements succeeded, but the response to the commit was lost.
    #[error("the outcome of the commit is unknown: {0}")]
    CommitUnknown(String),
    /// Stored bytes were deleted before the submission was stored. The caller must store the bytes again.
    #[error("stored bytes were deleted before their submission was stored")]
    BlobsSwept,
    /// This version cannot read a row, or the row contradicts data read earlier.
    #[error("corrupt record: {0}")]
    Corrupt(String),
    #[error("migration: {0}")]
    Migration(String),
}

impl StoreError {
    /// Returns a description that is safe to log. It contains no stored values, unlike the messages of database errors
    /// ("Duplicate entry 'x'") and deserialization errors. Includes the server's error number if it is known.
    pub fn kind(&self) -> String {
        match self {
            Self::Unavailable(_) | Self::CommitUnknown(_) | Self::BlobsSwept => self.to_string(),
            Self::Database(error @ DieselError::DatabaseError(kind, _)) => {
                match server_error::number(error) {
                    Some(number) => format!("database: {kind:?}, error {number}"),
                    None => format!("database: {kind:?}"),
                }
            }
            Self::Corrupt(_) | Self::Database(DieselError::DeserializationError(_)) => {
                "corrupt record".to_owned()
            }
            Self::Database(_) => "database: unexpected response".to_owned(),
            Self::Migration(_) => "migration".to_owned(),
        }
    }

    pub fn failure_code(&self) -> FailureCode {
        match self {
            Self::Corrupt(_) | Self::Database(DieselError::DeserializationError(_)) => {
                FailureCode::RecordsUnreadable
            }
            Self::Database(error) => match ErrorClass::of_error(error) {
                ErrorClass::TooLarge => FailureCode::RecordsTooLarge,
                ErrorClass::Rejected => FailureCode::RecordsRejected,
                ErrorClass::Transient | ErrorClass::Deadlock | ErrorClass::ReadOnly => {
                    FailureCode::RecordsUnavailable
                }
            },
            _ => FailureCode::RecordsUnavailable,
        }
    }

    pub fn is_retryable(&self) -> bool {
        self.failure_code().is_retryable()
    }

    /// Whether the database can never store the failed statement's data.
    pub fn is_rejection(&self) -> bool {
        matches!(self.failure_code(), FailureCode::RecordsTooLarge | FailureCode::RecordsRejected)
    }

    pub(crate) fn is_deadlock(&self) -> bool {
        matches!(self, Self::Database(error) if ErrorClass::of_error(error) == ErrorClass::Deadlock)
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
    fn the_kind_contains_no_stored_values() {
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
    fn corrupt_records_and_rejected_data_are_not_retryable() {
        let unreadable = DieselError::DeserializationError("not a number".into());
        for (error, code) in [
            (StoreError::Corrupt("not JSON".to_owned()), FailureCode::RecordsUnreadable),
            (unreadable.into(), FailureCode::RecordsUnreadable),
            (server_error::packet_too_large().into(), FailureCode::RecordsTooLarge),
        ] {
            assert_eq!((error.failure_code(), error.is_retryable()), (code, false), "{error}");
        }
        for error in [
            StoreError::from(DieselError::NotFound),
            StoreError::Unavailable("no connection was free".to_owned()),
        ] {
            assert_eq!(error.failure_code(), FailureCode::RecordsUnavailable, "{error}");
            assert!(error.is_retryable(), "{error}");
        }
    }

    #[test]
    fn the_kind_includes_the_server_error_number() {
        let error = StoreError::from(server_error::packet_too_large());
        assert_eq!(error.kind(), "database: Unknown, error 1153");
    }
}
