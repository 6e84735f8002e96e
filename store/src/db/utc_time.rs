//! UTC times and their formats in SQL and JSON.

use chrono::{DateTime, NaiveDateTime, SecondsFormat, Utc};
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::expression::AsExpression;
use diesel::mysql::{Mysql, MysqlValue};
use diesel::serialize::{self, Output, ToSql};
use diesel::sql_types::Datetime;
use serde::{Serialize, Serializer};
use std::fmt;
use std::ops::{Add, Sub};
use std::time::{Duration, SystemTime};

/// A time with microsecond precision. `Display` and JSON use RFC 3339 with millisecond precision.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, AsExpression, FromSqlRow,
)]
#[diesel(sql_type = Datetime)]
pub struct UtcTime(NaiveDateTime);

impl UtcTime {
    /// Creates a time from a Unix time in microseconds.
    pub fn from_micros(micros: i64) -> Option<Self> {
        DateTime::from_timestamp_micros(micros).map(Self::from)
    }

    pub fn micros(self) -> i64 {
        self.0.and_utc().timestamp_micros()
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later than `self`.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        (self.0 - earlier.0).to_std().unwrap_or_default()
    }
}

impl From<SystemTime> for UtcTime {
    fn from(time: SystemTime) -> Self {
        DateTime::<Utc>::from(time).into()
    }
}

impl From<DateTime<Utc>> for UtcTime {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.naive_utc())
    }
}

impl From<UtcTime> for DateTime<Utc> {
    fn from(time: UtcTime) -> Self {
        time.0.and_utc()
    }
}

impl Add<Duration> for UtcTime {
    type Output = Self;
    fn add(self, delay: Duration) -> Self {
        Self(self.0 + delay)
    }
}

impl Sub<Duration> for UtcTime {
    type Output = Self;
    fn sub(self, age: Duration) -> Self {
        Self(self.0 - age)
    }
}

impl fmt::Display for UtcTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.and_utc().to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl Serialize for UtcTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl ToSql<Datetime, Mysql> for UtcTime {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Mysql>) -> serialize::Result {
        ToSql::<Datetime, Mysql>::to_sql(&self.0, out)
    }
}

impl FromSql<Datetime, Mysql> for UtcTime {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        FromSql::<Datetime, Mysql>::from_sql(value).map(Self)
    }
}
