//! Server addresses and program paths provided by `cargo xtask test`.

use std::path::PathBuf;

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run the tests with `cargo xtask test`, which starts the servers")
    })
}

/// Returns the URL of the MariaDB server without a database, `mysql://root@127.0.0.1:PORT`.
pub fn mysql() -> String {
    variable("DIAGFLOW_TEST_MYSQL_URL").trim_end_matches('/').to_owned()
}

/// Returns the Temporal server's host and port.
pub fn temporal() -> String {
    variable("DIAGFLOW_TEST_TEMPORAL")
}

pub fn temporal_command() -> PathBuf {
    variable("DIAGFLOW_TEST_TEMPORAL_CLI").into()
}

/// Returns the path of the MariaDB server program, used to start dedicated servers.
pub fn mariadbd() -> PathBuf {
    variable("DIAGFLOW_TEST_MARIADBD").into()
}

pub fn mariadb_options() -> Vec<String> {
    variable("DIAGFLOW_TEST_MARIADB_OPTIONS").split(' ').map(str::to_owned).collect()
}

pub fn mariadb_install_db() -> PathBuf {
    variable("DIAGFLOW_TEST_MARIADB_INSTALL_DB").into()
}

/// Returns the folder containing MariaDB's client programs.
pub fn mariadb_clients() -> PathBuf {
    variable("DIAGFLOW_TEST_MARIADB_CLIENTS").into()
}

pub fn diagflow() -> PathBuf {
    variable("DIAGFLOW_BIN").into()
}

/// Returns the path of the library that changes a process's clock. It is provided only by `cargo xtask faults`.
pub fn faketime() -> PathBuf {
    variable("DIAGFLOW_TEST_FAKETIME").into()
}

pub fn chromium() -> PathBuf {
    variable("DIAGFLOW_TEST_CHROMIUM").into()
}

pub fn chromedriver() -> PathBuf {
    variable("DIAGFLOW_TEST_CHROMEDRIVER").into()
}

pub fn nginx() -> PathBuf {
    variable("DIAGFLOW_TEST_NGINX").into()
}

pub fn xtask() -> PathBuf {
    variable("DIAGFLOW_TEST_XTASK").into()
}
