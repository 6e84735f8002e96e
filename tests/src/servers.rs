//! Where the servers are that `cargo xtask test` started.

use std::path::PathBuf;

/// Reads a variable that the test command sets.
///
/// # Panics
/// When it is missing, with the remedy.
fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests by `cargo xtask test`, which starts the servers")
    })
}

/// MariaDB's address, without a database: `mysql://root@127.0.0.1:PORT`.
pub fn mysql() -> String {
    variable("DIAGFLOW_TEST_MYSQL_URL").trim_end_matches('/').to_owned()
}

/// Temporal's address, as host and port.
pub fn temporal() -> String {
    variable("DIAGFLOW_TEST_TEMPORAL")
}

/// The `temporal` command.
pub fn temporal_command() -> PathBuf {
    variable("DIAGFLOW_TEST_TEMPORAL_CLI").into()
}

/// MariaDB's server, for those who need one of their own.
pub fn mariadbd() -> PathBuf {
    variable("DIAGFLOW_TEST_MARIADBD").into()
}

/// Its options, which the server of all tests has too.
pub fn mariadb_options() -> Vec<String> {
    variable("DIAGFLOW_TEST_MARIADB_OPTIONS").split(' ').map(str::to_owned).collect()
}

/// Makes an empty database for it.
pub fn mariadb_install_db() -> PathBuf {
    variable("DIAGFLOW_TEST_MARIADB_INSTALL_DB").into()
}

/// The folder of the programs that speak to it.
pub fn mariadb_clients() -> PathBuf {
    variable("DIAGFLOW_TEST_MARIADB_CLIENTS").into()
}

/// The binary under test.
pub fn diagflow() -> PathBuf {
    variable("DIAGFLOW_BIN").into()
}

/// The library that tells a process another time; only `cargo xtask faults` brings it.
pub fn faketime() -> PathBuf {
    variable("DIAGFLOW_TEST_FAKETIME").into()
}

/// The `xtask` that started the tests.
pub fn xtask() -> PathBuf {
    variable("DIAGFLOW_TEST_XTASK").into()
}
