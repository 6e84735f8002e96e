//! Database server errors, classified by number.
//!
//! The driver passes on a server error's text but not its number. The connection therefore adds an empty
//! [`ErrorNumber`] to each error and fills it in as soon as it has read the number from the server.

use diesel::result::{DatabaseErrorInformation, DatabaseErrorKind, Error};
use std::sync::{Arc, OnceLock};

/// What a server error means for the failed statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ErrorClass {
    /// Another attempt may succeed.
    Transient,
    /// The server aborted the statement in favour of another transaction.
    Deadlock,
    ReadOnly,
    /// The data is too large, so no attempt can succeed.
    TooLarge,
    /// The data violates a schema constraint, so no attempt can succeed.
    Rejected,
}

impl ErrorClass {
    fn of(number: u16) -> ErrorClass {
        match number {
            // ER_LOCK_WAIT_TIMEOUT, ER_LOCK_DEADLOCK
            1205 | 1213 => ErrorClass::Deadlock,
            // ER_OPTION_PREVENTS_STATEMENT (--read-only), ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION,
            // ER_READ_ONLY_MODE, ER_INNODB_READ_ONLY
            1290 | 1792 | 1836 | 1874 => ErrorClass::ReadOnly,
            // ER_TOO_BIG_ROWSIZE (also for data that exceeds the redo log), ER_NET_PACKET_TOO_LARGE,
            // ER_WARN_ALLOWED_PACKET_OVERFLOWED, ER_DATA_TOO_LONG
            1118 | PACKET_TOO_LARGE | 1301 | 1406 => ErrorClass::TooLarge,
            // ER_WARN_DATA_OUT_OF_RANGE, WARN_DATA_TRUNCATED, ER_TRUNCATED_WRONG_VALUE, ER_INVALID_CHARACTER_STRING,
            // ER_TRUNCATED_WRONG_VALUE_FOR_FIELD
            1264 | 1265 | 1292 | 1300 | 1366
            // ER_NO_REFERENCED_ROW, ER_ROW_IS_REFERENCED, ER_ROW_IS_REFERENCED_2, ER_NO_REFERENCED_ROW_2
            | 1216 | 1217 | 1451 | 1452
            // ER_INVALID_JSON_TEXT, ER_JSON_DOCUMENT_TOO_DEEP, ER_CHECK_CONSTRAINT_VIOLATED (MySQL and MariaDB)
            | 3140 | 3157 | 3819 | 4025 => ErrorClass::Rejected,
            // A missing value (ER_BAD_NULL_ERROR, ER_NO_DEFAULT_FOR_FIELD) is transient because it means that the
            // schema is newer than this process, as during a deployment. A duplicate key is transient because a retried
            // transaction finds the row that the other transaction inserted.
            _ => ErrorClass::Transient,
        }
    }

    /// Returns an error's class. An error without a number is transient because the connection was lost.
    pub(crate) fn of_error(error: &Error) -> ErrorClass {
        number(error).map_or(ErrorClass::Transient, ErrorClass::of)
    }
}

const PACKET_TOO_LARGE: u16 = 1153;
/// ER_DUP_ENTRY
pub(crate) const DUPLICATE_KEY: u16 = 1062;
/// ER_NO_SUCH_TABLE
pub(crate) const NO_SUCH_TABLE: u16 = 1146;

/// An error number, which is empty until the server has returned it.
#[derive(Debug, Clone, Default)]
pub(crate) struct ErrorNumber(Arc<OnceLock<String>>);

impl ErrorNumber {
    pub(crate) fn fill(&self, number: u16) -> ErrorClass {
        self.0.get_or_init(|| number.to_string());
        ErrorClass::of(number)
    }
}

#[derive(Debug)]
struct NumberedError {
    message: String,
    number: ErrorNumber,
}

impl DatabaseErrorInformation for NumberedError {
    fn message(&self) -> &str {
        &self.message
    }

    fn details(&self) -> Option<&str> {
        self.number.0.get().map(String::as_str)
    }

    fn hint(&self) -> Option<&str> {
        None
    }

    fn table_name(&self) -> Option<&str> {
        None
    }

    fn column_name(&self) -> Option<&str> {
        None
    }

    fn constraint_name(&self) -> Option<&str> {
        None
    }

    fn statement_position(&self) -> Option<i32> {
        None
    }
}

/// Adds an empty number to the error. Returns `None` for the number if the error did not come from the server.
pub(crate) fn numbered(error: Error) -> (Error, Option<ErrorNumber>) {
    match error {
        Error::DatabaseError(kind, info) => {
            let number = ErrorNumber::default();
            let message = info.message().to_owned();
            let info = NumberedError { message, number: number.clone() };
            (Error::DatabaseError(kind, Box::new(info)), Some(number))
        }
        other => (other, None),
    }
}

pub(crate) fn number(error: &Error) -> Option<u16> {
    let Error::DatabaseError(_, info) = error else { return None };
    info.details()?.parse().ok()
}

/// Creates the error that the server would return for a statement exceeding `max_allowed_packet`.
pub(crate) fn packet_too_large() -> Error {
    with_number(PACKET_TOO_LARGE, "the statement is larger than max_allowed_packet")
}

fn with_number(number: u16, message: &str) -> Error {
    let error = NumberedError { message: message.to_owned(), number: ErrorNumber::default() };
    error.number.fill(number);
    Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_classified_by_its_number() {
        for (number, class) in [
            (1213, ErrorClass::Deadlock),
            (1205, ErrorClass::Deadlock),
            (1290, ErrorClass::ReadOnly),
            (1792, ErrorClass::ReadOnly),
            (1836, ErrorClass::ReadOnly),
            (1153, ErrorClass::TooLarge),
            (1406, ErrorClass::TooLarge),
            (3140, ErrorClass::Rejected),
            (3819, ErrorClass::Rejected),
            (1452, ErrorClass::Rejected),
            (1062, ErrorClass::Transient),
            (1040, ErrorClass::Transient),
            (1146, ErrorClass::Transient),
        ] {
            assert_eq!(ErrorClass::of_error(&with_number(number, "text")), class, "{number}");
        }
    }

    #[test]
    fn the_loss_of_a_connection_is_transient() {
        let lost: Box<String> = Box::new("Input/output error: broken pipe".to_owned());
        let (error, number_of_error) =
            numbered(Error::DatabaseError(DatabaseErrorKind::Unknown, lost));

        assert_eq!((number(&error), ErrorClass::of_error(&error)), (None, ErrorClass::Transient));
        number_of_error.expect("an empty number").fill(1406);
        assert_eq!(
            (number(&error), ErrorClass::of_error(&error)),
            (Some(1406), ErrorClass::TooLarge)
        );
    }
}
