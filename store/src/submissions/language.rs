//! The language of a submission's e-mails, stored as a language tag.

use diagflow_locales::Language;
use diesel::deserialize::{self, FromSql, FromSqlRow};
use diesel::mysql::{Mysql, MysqlValue};
use diesel::sql_types::Text;

/// Reads a language. If the language is not supported, for example after a rollback to an earlier version, it is read
/// as English.
#[derive(FromSqlRow)]
pub struct StoredLanguage(Language);

impl FromSql<Text, Mysql> for StoredLanguage {
    fn from_sql(value: MysqlValue<'_>) -> deserialize::Result<Self> {
        let tag = <String as FromSql<Text, Mysql>>::from_sql(value)?;
        Ok(Self(Language::from_tag(&tag).unwrap_or_default()))
    }
}

impl From<StoredLanguage> for Language {
    fn from(stored: StoredLanguage) -> Self {
        stored.0
    }
}
