//! The database server's limits on the size of a value.

use crate::db::connection::STATEMENT_OVERHEAD;
use crate::db::error::StoreResult;
use crate::db::pool::Store;
use diesel::QueryableByName;
use diesel::sql_types::Text;
use diesel_async::RunQueryDsl;

/// InnoDB accepts values of up to a tenth of the redo log's total size.
const REDO_LOG_SHARE: u64 = 10;

/// A server variable whose value is too small.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TooSmallLimit {
    pub variable: String,
    pub value: u64,
    pub required: u64,
}

#[derive(QueryableByName)]
struct Variable {
    #[diesel(sql_type = Text, column_name = "Variable_name")]
    name: String,
    #[diesel(sql_type = Text, column_name = "Value")]
    value: String,
}

impl Store {
    /// Returns the server variables that are too small to store a value of `bytes` bytes.
    pub async fn too_small_limits(&self, bytes: usize) -> StoreResult<Vec<TooSmallLimit>> {
        let mut connection = self.connection().await?;
        let variables: Vec<Variable> = diesel::sql_query(
            "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('max_allowed_packet', \
             'innodb_redo_log_capacity', 'innodb_log_file_size', 'innodb_log_files_in_group')",
        )
        .load(&mut connection)
        .await?;
        Ok(too_small(&variables, bytes as u64))
    }
}

fn too_small(variables: &[Variable], bytes: u64) -> Vec<TooSmallLimit> {
    let find = |name| variables.iter().find(|variable| variable.name == name);
    let redo_log = bytes * REDO_LOG_SHARE;
    // MySQL 8.0.30 replaced `innodb_log_file_size` with `innodb_redo_log_capacity`, but still returns both. Older
    // versions, and MariaDB before 10.6, may spread the redo log over several files of the same size.
    let redo_log = match find("innodb_redo_log_capacity") {
        Some(capacity) => (Some(capacity), redo_log),
        None => {
            let files =
                find("innodb_log_files_in_group").and_then(|files| files.value.parse().ok());
            let files: u64 = files.unwrap_or(1).max(1);
            (find("innodb_log_file_size"), redo_log.div_ceil(files))
        }
    };
    let required = [(find("max_allowed_packet"), bytes + STATEMENT_OVERHEAD), redo_log];
    let mut found = Vec::new();
    for (variable, required) in required {
        let Some(Variable { name, value }) = variable else { continue };
        if let Ok(value) = value.parse()
            && value < required
        {
            found.push(TooSmallLimit { variable: name.clone(), value, required });
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn variables(given: &[(&str, u64)]) -> Vec<Variable> {
        let given = given.iter();
        given
            .map(|(name, value)| Variable { name: (*name).to_owned(), value: value.to_string() })
            .collect()
    }

    fn names(given: &[(&str, u64)], bytes: u64) -> Vec<String> {
        too_small(&variables(given), bytes).into_iter().map(|limit| limit.variable).collect()
    }

    #[test]
    fn the_redo_log_must_be_ten_times_as_large_as_a_value() {
        let mysql = |redo_log| {
            [
                ("max_allowed_packet", 64 * MIB),
                ("innodb_log_file_size", 48 * MIB),
                ("innodb_redo_log_capacity", redo_log),
            ]
        };
        assert_eq!(names(&mysql(100 * MIB), 5 * MIB), [""; 0]);
        assert_eq!(names(&mysql(49 * MIB), 5 * MIB), ["innodb_redo_log_capacity"]);
        let mariadb = [("max_allowed_packet", 16 * MIB), ("innodb_log_file_size", 48 * MIB)];
        assert_eq!(names(&mariadb, 5 * MIB), ["innodb_log_file_size"]);
    }

    #[test]
    fn the_redo_log_may_consist_of_several_files() {
        let group = |size, files| {
            [
                ("max_allowed_packet", 64 * MIB),
                ("innodb_log_file_size", size),
                ("innodb_log_files_in_group", files),
            ]
        };
        assert_eq!(names(&group(25 * MIB, 2), 5 * MIB), [""; 0]);
        assert_eq!(names(&group(24 * MIB, 2), 5 * MIB), ["innodb_log_file_size"]);
        assert_eq!(names(&group(17 * MIB, 3), 5 * MIB), [""; 0]);
        let large = too_small(&variables(&group(16 * MIB, 3)), 5 * MIB).remove(0);
        assert_eq!((large.value, large.required), (16 * MIB, (50 * MIB).div_ceil(3)));
    }

    #[test]
    fn the_whole_statement_must_fit_into_a_packet() {
        let variables = [("max_allowed_packet", 5 * MIB), ("innodb_log_file_size", 96 * MIB)];
        assert_eq!(names(&variables, 5 * MIB), ["max_allowed_packet"]);
        assert_eq!(names(&variables, 4 * MIB), [""; 0]);
    }
}
