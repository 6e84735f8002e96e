//! All stored times come from the database's clock, so they are consistent even if the hosts' clocks differ. Every
//! connection is set to UTC (see `connection.rs`).

use diesel::dsl::sql;
use diesel::expression::SqlLiteral;
use diesel::sql_types::Datetime;
use std::time::Duration;

pub(crate) fn now() -> SqlLiteral<Datetime> {
    sql::<Datetime>("NOW(6)")
}

pub(crate) fn after(delay: Duration) -> SqlLiteral<Datetime> {
    // Formatting an integer into SQL carries no risk of injection.
    sql::<Datetime>(&format!("DATE_ADD(NOW(6), INTERVAL {} MICROSECOND)", delay.as_micros()))
}

pub(crate) fn before(age: Duration) -> SqlLiteral<Datetime> {
    sql::<Datetime>(&format!("DATE_SUB(NOW(6), INTERVAL {} MICROSECOND)", age.as_micros()))
}
