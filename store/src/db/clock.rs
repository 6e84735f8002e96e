//! One clock for all records: the database's. Hosts whose clocks disagree still write one story.

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::sql_types::Datetime;
use std::time::Duration;

/// The time of the statement, in UTC (every connection is set to UTC, see `connection.rs`), in microseconds.
pub(crate) fn now() -> SqlLiteral<Datetime> {
    sql::<Datetime>("NOW(6)")
}

/// The time of the statement plus `delay`.
pub(crate) fn after(delay: Duration) -> SqlLiteral<Datetime> {
    // A number, never text from outside: safe to print into the statement.
    sql::<Datetime>(&format!("DATE_ADD(NOW(6), INTERVAL {} MICROSECOND)", delay.as_micros()))
}

/// The time of the statement less `age`.
pub(crate) fn before(age: Duration) -> SqlLiteral<Datetime> {
    sql::<Datetime>(&format!("DATE_SUB(NOW(6), INTERVAL {} MICROSECOND)", age.as_micros()))
}
